/** Sampling one image. */

import { imageNoise, interpolatedNoise, type Noise } from "../diffusion/image-noise";
import { brokenImages, sample } from "../diffusion/sample";
import type { Sampling } from "../diffusion/settings";
import { type Model, Stopwatch } from "./denoiser";
import { rgba, viewingFactor } from "./frames";
import type { Frame, ImageJob, NoiseOf, Sampled } from "./protocol";

/** What `sampleImage` works with. */
export interface Task {
  readonly model: Model;
  readonly settings: Sampling;
  readonly image: ImageJob;
  readonly signal: AbortSignal;
  readonly onFrame: (frame: Frame, number: number) => void;
  /** Lets messages in, such as one that cancels. */
  readonly pause: () => Promise<void>;
}

/**
 * Sample one image.
 *
 * @throws The signal's reason where it was given.
 */
export async function sampleImage(task: Task): Promise<Sampled> {
  const { model, settings, image, signal } = task;
  const [channels, height, width] = model.shape;
  const perImage = channels * height * width;
  const stopwatch = new Stopwatch();
  const result = await sample(
    settings,
    model.denoiser(image.asked, stopwatch),
    settings.guidance === 1 ? null : model.weak(image.asked, settings, stopwatch),
    noiseOf(image.noise, perImage),
    ({ x, denoised, sigma, evaluation }) => {
      const seen = rgba(x, channels, viewingFactor(sigma));
      task.onFrame({ x: seen, denoised: rgba(denoised, channels), sigma }, evaluation);
      return task.pause();
    },
    signal,
  );
  return {
    pixels: rgba(result, channels),
    finite: brokenImages(result, perImage).length === 0,
    evaluations: stopwatch.evaluations,
    milliseconds: stopwatch.milliseconds,
  };
}

/** Return the noise of one image. */
export function noiseOf({ from, to, share }: NoiseOf, perImage: number): Noise {
  const first = imageNoise(from.seed, [from.index], perImage);
  if (!to) return first;
  return interpolatedNoise(first, imageNoise(to.seed, [to.index], perImage), [share]);
}
