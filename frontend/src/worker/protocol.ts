/** What page and worker say to each other. Each request has an id, and its replies carry it. */

import type { Probe } from "../model/manifest";
import type { Sampling } from "../diffusion/settings";

/** Ways to evaluate the network. */
export type BackendName = "webgpu" | "wasm-threads" | "wasm";

/** Noise of one image: that of image `index` of the set of `seed`. */
export interface Stream {
  readonly seed: number;
  readonly index: number;
}

/** Noise of an image, or `share` of the way from one image's noise to another's. */
export interface NoiseOf {
  readonly from: Stream;
  readonly to: Stream | null;
  readonly share: number;
}

/** What is asked of an image: a label, or the estimates of two mixed, `share` of them `other`'s. */
export interface Asked {
  readonly label: number;
  readonly other: number;
  readonly share: number;
}

/** One image to sample. */
export interface ImageJob {
  readonly noise: NoiseOf;
  readonly asked: Asked;
}

/** Where a worker finds its runtime and the model. */
export interface Opening {
  readonly backend: BackendName;
  /** WebAssembly of onnxruntime, unpacked. */
  readonly runtime: Blob;
  readonly denoiser: Blob;
  readonly guide: Blob | null;
  /** (C, H, W) of one image. */
  readonly shape: readonly [number, number, number];
  /** The label that asks for nothing; null where the graph has no labels. */
  readonly nullLabel: number | null;
}

/** What a sampler sees at one evaluation of the denoiser: pixels of one image, RGBA. */
export interface Frame {
  /** The noisy image, scaled to the spread of images. */
  readonly x: Uint8ClampedArray<ArrayBuffer>;
  /** The estimate of the image without noise. */
  readonly denoised: Uint8ClampedArray<ArrayBuffer>;
  readonly sigma: number;
}

/** A sampled image. */
export interface Sampled {
  /** RGBA. */
  readonly pixels: Uint8ClampedArray<ArrayBuffer>;
  /** Whether all its values were finite. */
  readonly finite: boolean;
  /** Evaluations of the network. */
  readonly evaluations: number;
  /** Milliseconds that those took. */
  readonly milliseconds: number;
}

export interface ProbeResult {
  /** Largest difference from the known answer, on [-1, 1]; NaN where the answer had values that are not finite. */
  readonly difference: number;
  /** Median of a few evaluations after the first. */
  readonly milliseconds: number;
}

/** Requests by kind, with what they take and give. */
export interface Calls {
  open: { take: Opening; give: { threads: number } };
  probe: { take: Probe; give: ProbeResult };
  sample: { take: { settings: Sampling; image: ImageJob }; give: Sampled };
}

export type CallName = keyof Calls;

export type Request =
  | { [K in CallName]: { readonly id: number; readonly kind: K; readonly take: Calls[K]["take"] } }[CallName]
  | { readonly id: number; readonly kind: "cancel" };

/** Why a call failed. */
export type FailureReason = "canceled" | "device-lost" | "memory" | "other";

export interface Failure {
  readonly reason: FailureReason;
  readonly message: string;
}

export type Reply =
  | { readonly id: number; readonly kind: "gave"; readonly give: Calls[CallName]["give"] }
  | { readonly id: number; readonly kind: "frame"; readonly frame: Frame; readonly number: number }
  | { readonly id: number; readonly kind: "failed"; readonly failure: Failure };

/** Return the buffers of a reply that can be handed over instead of copied. */
export function transferables(reply: Reply): ArrayBuffer[] {
  if (reply.kind === "frame") return [reply.frame.x.buffer, reply.frame.denoised.buffer];
  if (reply.kind === "gave" && "pixels" in reply.give) return [reply.give.pixels.buffer];
  return [];
}

const LONGEST = 200;

/** Return what onnxruntime says, without the places in its sources that it says it with. */
export function plainMessage(message: string): string {
  const plain = message
    .replace(/\/\S+\.(?:cc|h):\d+ [^]*? was false\./g, "")
    .replace(/\s+/g, " ")
    .replace(/[\s.]+$/, "");
  return plain.length > LONGEST ? `${plain.slice(0, LONGEST)}…` : plain;
}

/** Sort an error of onnxruntime, of WebAssembly or of WebGPU by what to do about it. */
export function reasonOf(message: string): FailureReason {
  if (/device.{0,20}lost|lost.{0,20}device|DeviceLost|device was destroyed/i.test(message))
    return "device-lost";
  if (
    /out of memory|\boom\b|bad_alloc|allocation fail|failed to allocate|cannot enlarge memory/i.test(message)
  ) {
    return "memory";
  }
  return "other";
}
