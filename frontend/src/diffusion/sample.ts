import { times } from "./arithmetic";
import type { Denoiser } from "./denoiser";
import { guided } from "./guidance";
import type { Noise } from "./image-noise";
import { SAMPLERS } from "./samplers/table";
import { sigmas, type Sampling } from "./settings";
import { THRESHOLDS } from "./thresholds";

/** What is seen at an evaluation of the denoiser. */
export interface Step {
  /** The noisy images, (B, C, H, W). */
  readonly x: Float32Array;
  /** The estimate of the images in them, guided and thresholded, (B, C, H, W). */
  readonly denoised: Float32Array;
  /** The noise level. */
  readonly sigma: number;
  /** The number of the evaluation, from 0. */
  readonly evaluation: number;
}

/**
 * Samples one batch of images, as Python's `Sampling.sample`.
 *
 * @param settings - Sampler, steps, guidance.
 * @param denoiser - `D(x, sigma)`.
 * @param weak - The weaker denoiser to guide away from; needed where `guidance` is not 1.
 * @param noise - The images' noise streams, such as `imageNoise`.
 * @param watch - Called after each evaluation. A promise that it returns is awaited, so that a worker can let
 *   messages in.
 * @param signal - Cancels before or after an evaluation.
 * @returns Images, (B, C, H, W), about in [-1, 1], not clipped.
 * @throws RangeError if there is nothing to guide away from.
 * @throws The signal's reason where it was given.
 */
export async function sample(
  settings: Sampling,
  denoiser: Denoiser,
  weak: Denoiser | null,
  noise: Noise,
  watch?: (step: Step) => void | Promise<void>,
  signal?: AbortSignal,
): Promise<Float32Array> {
  if (settings.guidance !== 1 && weak === null) {
    throw new RangeError(`guidance ${settings.guidance} needs a weaker denoiser to guide away from`);
  }
  const strong = abortable(denoiser, signal);
  const { guidance, guidance_interval } = settings;
  const pushed =
    weak === null ? strong : guided(strong, abortable(weak, signal), guidance, guidance_interval);
  const estimate = watched(thresholded(pushed, settings, noise.perImage), watch);
  const levels = sigmas(settings);
  const { sampler } = SAMPLERS[settings.sampler];
  return sampler(estimate, times(levels[0]!, noise()), levels, noise, settings);
}

/** Of images one after another those, by their numbers, that have a value which is not finite, and show nothing. */
export function brokenImages(x: Float32Array, perImage: number): number[] {
  const images = Array.from({ length: x.length / perImage }, (_, image) => image);
  return images.filter(
    (image) => !x.subarray(image * perImage, (image + 1) * perImage).every(Number.isFinite),
  );
}

function abortable(denoiser: Denoiser, signal: AbortSignal | undefined): Denoiser {
  return async (x, sigma) => {
    signal?.throwIfAborted();
    const denoised = await denoiser(x, sigma);
    signal?.throwIfAborted();
    return denoised;
  };
}

function thresholded(denoiser: Denoiser, settings: Sampling, perImage: number): Denoiser {
  const { threshold, percentile } = settings;
  if (threshold === "none") return denoiser;
  return THRESHOLDS[threshold].threshold(denoiser, { percentile, perImage });
}

function watched(denoiser: Denoiser, watch: ((step: Step) => void | Promise<void>) | undefined): Denoiser {
  let evaluation = 0;
  return async (x, level) => {
    // A network takes its noise level in float32, and where guidance acts is decided by that.
    const sigma = Math.fround(level);
    const denoised = await denoiser(x, sigma);
    await watch?.({ x, denoised, sigma, evaluation: evaluation++ });
    return denoised;
  };
}
