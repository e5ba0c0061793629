// In Node: node node.mjs HOME PACKAGE PROVIDER, where HOME is nin-onnx's address and PACKAGE the folder of an npm package.

import { createRequire } from "node:module";
import { serve } from "./peer.mjs";

const [home, folder, provider] = process.argv.slice(2);
let ort;
try {
  ort = createRequire(import.meta.url)(folder);
} catch (error) {
  await fetch(`${home}/error`, { method: "POST", body: `cannot load it: ${error.message}` });
  process.exit(1);
}
await serve(ort, home, provider, `Node ${process.versions.node}`);
process.exit(0);
