/** onnxruntime for a backend: only what that backend needs is downloaded. */

import type { InferenceSession, Tensor } from "onnxruntime-web";
import wasmGlue from "onnxruntime-web/ort-wasm-simd-threaded.mjs?url";
import webgpuGlue from "onnxruntime-web/ort-wasm-simd-threaded.asyncify.mjs?url";
import type { BackendName } from "./protocol";
import { widened } from "./widen";

type Ort = typeof import("onnxruntime-web");

/** onnxruntime, set up for one backend. */
export interface Runtime {
  createSession(model: Uint8Array): Promise<InferenceSession>;
  tensor(type: "float32", data: Float32Array, dims: readonly number[]): Tensor;
  tensor(type: "int64", data: BigInt64Array, dims: readonly number[]): Tensor;
  readonly threads: number;
  /** Resolves with the reason when the GPU is lost; never on other backends. */
  lost(): Promise<string>;
}

/** Level of onnxruntime's log. */
const ERRORS = 3;
/** More threads than this do not make a small network faster. */
const MAX_THREADS = 8;

/**
 * Load onnxruntime.
 *
 * @param backend - What evaluates.
 * @param binary - Its WebAssembly.
 */
export async function loadRuntime(backend: BackendName, binary: ArrayBuffer): Promise<Runtime> {
  const ort = await importOrt(backend);
  const threads = backend === "wasm-threads" ? Math.min(navigator.hardwareConcurrency, MAX_THREADS) : 1;
  ort.env.logLevel = "error";
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.wasmBinary = binary;
  ort.env.wasm.wasmPaths = { mjs: absolute(backend === "webgpu" ? webgpuGlue : wasmGlue) };
  const provider = backend === "webgpu" ? "webgpu" : "wasm";
  return {
    createSession: (model) =>
      ort.InferenceSession.create(backend === "webgpu" ? widened(model) : model, {
        executionProviders: [provider],
        logSeverityLevel: ERRORS,
      }),
    tensor: (type: "float32" | "int64", data: Float32Array | BigInt64Array, dims: readonly number[]) =>
      new ort.Tensor(type, data as never, dims),
    threads,
    lost: () => (backend === "webgpu" ? lostDevice(ort) : new Promise<never>(() => undefined)),
  };
}

function importOrt(backend: BackendName): Promise<Ort> {
  return backend === "webgpu" ? import("onnxruntime-web/webgpu") : import("onnxruntime-web/wasm");
}

/** Addresses of assets are relative to this script. */
function absolute(url: string): string {
  return new URL(url, import.meta.url).href;
}

async function lostDevice(ort: Ort): Promise<string> {
  const device = (await ort.env.webgpu.device) as { lost: Promise<{ reason: string; message: string }> };
  const { reason, message } = await device.lost;
  return message || reason;
}
