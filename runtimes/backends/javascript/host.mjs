// Runs a model with ONNX Runtime for JavaScript: the model and the images come from nin-onnx, the outputs go back to it.

export async function serve(ort, home, provider, host) {
  const send = (what, body) => fetch(`${home}/${what}`, { method: "POST", body });
  try {
    const { threads } = await (await fetch(`${home}/settings`)).json();
    const options = { executionProviders: [provider] };
    if (provider === "wasm") ort.env.wasm.numThreads = threads;
    else options.intraOpNumThreads = threads;
    const model = new Uint8Array(await (await fetch(`${home}/model`)).arrayBuffer());
    const session = await ort.InferenceSession.create(model, options);
    const told = { host, versions: ort.env.versions, provider, inputs: session.inputNames, outputs: session.outputNames };
    if (provider === "wasm") told.threads = ort.env.wasm.numThreads; // 1 where the page may not share memory, whatever was asked
    await send("ready", JSON.stringify(told));
    for (;;) {
      const job = await fetch(`${home}/images`);
      if (job.status !== 200) return;
      const dims = JSON.parse(job.headers.get("x-shape"));
      const type = job.headers.get("x-type");
      const bytes = await job.arrayBuffer();
      const data = type === "uint8" ? new Uint8Array(bytes) : new Float32Array(bytes);
      const outputs = await session.run({ [session.inputNames[0]]: new ort.Tensor(type, data, dims) });
      const names = session.outputNames;
      const head = JSON.stringify(names.map((name) => ({ name, type: outputs[name].type, dims: outputs[name].dims })));
      await send("outputs", new Blob([head, "\n", ...names.map((name) => outputs[name].data)]));
    }
  } catch (error) {
    await send("error", String(error?.message ?? error));
  }
}
