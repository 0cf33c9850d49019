import { readFileSync } from "node:fs";
import * as ort from "onnxruntime-web/wasm";

import type { Runtime } from "../../src/worker/runtime";

/** onnxruntime's WebAssembly with one thread, which node runs as browsers do. */
export function nodeRuntime(): Runtime {
  ort.env.wasm.numThreads = 1;
  const binary = new URL(import.meta.resolve("onnxruntime-web/ort-wasm-simd-threaded.wasm"));
  ort.env.wasm.wasmBinary = new Uint8Array(readFileSync(binary)).buffer;
  return {
    createSession: (model) => ort.InferenceSession.create(model, { executionProviders: ["wasm"] }),
    tensor: (type: "float32" | "int64", data: Float32Array | BigInt64Array, dims: readonly number[]) =>
      new ort.Tensor(type, data as never, dims),
    threads: 1,
    lost: () => new Promise<never>(() => undefined),
  };
}
