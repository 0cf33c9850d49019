/** All that has to be downloaded before the model computes, with one progress. */

import wasmRuntime from "onnxruntime-web/ort-wasm-simd-threaded.wasm?part";
import webgpuRuntime from "onnxruntime-web/ort-wasm-simd-threaded.asyncify.wasm?part";
import { messageOf, PageError } from "../errors";
import type { BackendName } from "../worker/protocol";
import type { Files } from "./engine";
import { type Manifest, readManifest } from "./manifest";
import { type Download, downloadOf, load } from "./parts";
import type { PartStore } from "./store";

const MANIFEST = "model.json";

/**
 * Download the manifest.
 *
 * @throws {@link PageError} If it is not there, or not of this version.
 */
export async function loadManifest(base: URL): Promise<Manifest> {
  let text: string;
  try {
    const response = await fetch(new URL(MANIFEST, base), { cache: "no-cache" });
    if (!response.ok) {
      throw new PageError(
        `There is no model here: the server answered ${response.status} for ${MANIFEST}.`,
        "Write a folder with `ninelives page RUN`, which has the page and the model, and open or upload that.",
      );
    }
    text = await response.text();
  } catch (error) {
    if (error instanceof PageError) throw error;
    throw new PageError(
      `The file ${MANIFEST} could not be downloaded (${messageOf(error)}).`,
      location.protocol === "file:"
        ? "A browser does not load models from a file: serve the folder, with `ninelives page RUN --serve` or `python -m http.server`."
        : "Check the connection, then reload the page.",
      { cause: error },
    );
  }
  return readManifest(text);
}

/** Bytes that are here, of how many. */
export type Progress = (loaded: number, total: number) => void;

/**
 * Download the model, and onnxruntime for WebAssembly with it; that for WebGPU only when it is asked for.
 *
 * @param gpuFirst - Whether WebAssembly is not needed to begin with.
 * @throws {@link PageError} If something cannot be had.
 */
export async function loadFiles(
  manifest: Manifest,
  base: URL,
  store: PartStore,
  gpuFirst: boolean,
  progress: Progress,
): Promise<Files> {
  const loaded = new Map<Download, number>();
  const begun = new Map<string, Promise<Blob>>();
  const get = (file: Download): Promise<Blob> => {
    const known = begun.get(file.sha256);
    if (known) return known;
    loaded.set(file, 0);
    const told = (bytes: number): void => {
      loaded.set(file, bytes);
      progress(sum(loaded.values()), sum(Array.from(loaded.keys(), ({ bytes }) => bytes)));
    };
    const content = load(file, store, told).then((result) => result.content);
    begun.set(file.sha256, content);
    content.catch(() => begun.delete(file.sha256)); // Asked for again, it is tried again.
    return content;
  };
  const runtimes = { wasm: runtimeOf(wasmRuntime), webgpu: runtimeOf(webgpuRuntime) };
  const runtime = (backend: BackendName): Promise<Blob> =>
    get(runtimes[backend === "webgpu" ? "webgpu" : "wasm"]);
  const [denoiser, guide] = await Promise.all([
    get(downloadOf(manifest.denoiser, base)),
    manifest.guide && get(downloadOf(manifest.guide, base)),
    runtime(gpuFirst ? "webgpu" : "wasm"),
  ]);
  const kept = [manifest.denoiser, manifest.guide, wasmRuntime, webgpuRuntime];
  await store.keepOnly(kept.flatMap((each) => each?.sha256 ?? []));
  return { denoiser, guide, runtime };
}

function runtimeOf(part: typeof wasmRuntime): Download {
  return { ...part, url: new URL(part.url, import.meta.url).href };
}

function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
