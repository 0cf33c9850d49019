/** The ways to evaluate the network: which of them this browser has. */

import type { BackendName } from "../worker/protocol";

/** All, in the order in which they are tried: what is surely there comes first. */
export const BACKENDS: readonly BackendName[] = ["wasm-threads", "wasm", "webgpu"];

/** Names for people. */
export const TITLES: Readonly<Record<BackendName, string>> = {
  webgpu: "WebGPU",
  "wasm-threads": "WebAssembly, threads",
  wasm: "WebAssembly, one thread",
};

/** The part of `navigator.gpu` that is used here. */
interface Gpu {
  requestAdapter(): Promise<GpuAdapter | null>;
}

interface GpuAdapter {
  readonly info?: {
    readonly isFallbackAdapter?: boolean;
    readonly vendor?: string;
    readonly architecture?: string;
  };
}

/** What of a browser decides. */
export interface Browser {
  readonly crossOriginIsolated: boolean;
  readonly hardwareConcurrency: number;
  readonly secure: boolean;
  readonly gpu: Gpu | undefined;
}

/** Return what this browser has. */
export function thisBrowser(): Browser {
  return {
    crossOriginIsolated: globalThis.crossOriginIsolated && typeof SharedArrayBuffer === "function",
    hardwareConcurrency: navigator.hardwareConcurrency,
    secure: globalThis.isSecureContext,
    gpu: (navigator as { gpu?: Gpu }).gpu,
  };
}

/**
 * Return why a backend cannot be tried here; null where it can.
 *
 * @param forced - Whether it was asked for by name: then a slow one is tried too.
 */
export async function unavailable(
  backend: BackendName,
  browser: Browser,
  forced: boolean,
): Promise<string | null> {
  if (backend === "wasm") return null;
  if (backend === "wasm-threads") {
    if (!browser.crossOriginIsolated)
      return "the page is not isolated from other origins, so there are no threads";
    if (browser.hardwareConcurrency < 2) return "there is one processor core";
    return null;
  }
  if (!browser.gpu) return browser.secure ? "this browser has no WebGPU" : "WebGPU needs https or localhost";
  const adapter = await browser.gpu.requestAdapter().catch(() => null);
  if (!adapter) return "the browser gives no GPU";
  if (adapter.info?.isFallbackAdapter && !forced) return "the GPU is emulated in software, which is slower";
  return null;
}

/** Return the backend that an address asks for, as in `?backend=wasm`; null where it asks for none. */
export function forcedBackend(search: string): { name: BackendName | null; unknown: string | null } {
  const asked = new URLSearchParams(search).get("backend");
  const name = BACKENDS.find((each) => each === asked) ?? null;
  return { name, unknown: asked !== null && name === null ? asked : null };
}
