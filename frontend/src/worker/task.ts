/** Sampling one image. */

import { imageNoise, interpolatedNoise, type Noise } from "../diffusion/noise";
import { sample } from "../diffusion/sample";
import type { Sampling } from "../diffusion/settings";
import { Canceled } from "../errors";
import { type Model, Stopwatch } from "./denoiser";
import { allFinite, rgba, viewingFactor } from "./frames";
import type { Frame, ImageJob, NoiseOf, Sampled } from "./protocol";

/** What `sampleImage` works with. */
export interface Task {
  readonly model: Model;
  readonly settings: Sampling;
  readonly image: ImageJob;
  /** (C, H, W). */
  readonly shape: readonly [number, number, number];
  readonly signal: AbortSignal;
  readonly onFrame: (frame: Frame, number: number) => void;
  /** Lets messages in, such as one that cancels. */
  readonly pause: () => Promise<void>;
}

/**
 * Sample one image.
 *
 * @throws {@link Canceled} If the signal was given.
 */
export async function sampleImage(task: Task): Promise<Sampled> {
  const { model, settings, image, shape, signal } = task;
  const [channels, height, width] = shape;
  const watch = new Stopwatch();
  const denoiser = model.denoiser(image.asked, watch);
  const weak = settings.guidance === 1 ? null : model.weak(image.asked, watch);
  const responsive = async (x: Float32Array, sigma: number): Promise<Float32Array> => {
    await task.pause();
    if (signal.aborted) throw new Canceled();
    return denoiser(x, sigma);
  };
  const noise = noiseOf(image.noise, channels * height * width);
  const result = await sample(settings, responsive, weak, noise, ({ x, denoised, sigma, evaluation }) => {
    const seen = { x: rgba(x, channels, viewingFactor(sigma)), denoised: rgba(denoised, channels), sigma };
    task.onFrame(seen, evaluation);
  });
  return {
    pixels: rgba(result, channels),
    finite: allFinite(result),
    evaluations: watch.evaluations,
    milliseconds: watch.milliseconds,
  };
}

function noiseOf({ from, to, share }: NoiseOf, size: number): Noise {
  const first = imageNoise(from.seed, [from.index], size);
  if (!to) return first;
  return interpolatedNoise(first, imageNoise(to.seed, [to.index], size), [share]);
}
