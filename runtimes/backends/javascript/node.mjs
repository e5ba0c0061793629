// In Node: node node.mjs PACKAGE PROVIDER, where PACKAGE is the folder of an npm package.
// NIN_ONNX_HOME is nin-onnx's address: in the environment, since every user of the machine can read a command line.

import { createRequire } from "node:module";
import { serve } from "./host.mjs";

const home = process.env.NIN_ONNX_HOME;
const [folder, provider] = process.argv.slice(2);
let ort;
try {
  ort = createRequire(import.meta.url)(folder);
} catch (error) {
  await fetch(`${home}/error`, { method: "POST", body: `cannot load it: ${error.message}` });
  process.exit(1);
}
await serve(ort, home, provider, `Node ${process.versions.node}`);
process.exit(0);
