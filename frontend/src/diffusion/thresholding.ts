import type { Denoiser } from "./denoiser";

/** Keeps a denoiser's estimates in the range of images. */
export type Threshold = (denoiser: Denoiser, settings: ThresholdSettings) => Denoiser;

/** What thresholds may take. */
export interface ThresholdSettings {
  /** Quantile of an image's magnitudes that dynamic thresholding brings to 1, in (0, 1]. */
  readonly percentile: number;
  /** How many numbers an image has, `C * H * W`. */
  readonly perImage: number;
}

/** Clips estimates to [-1, 1]. */
export function staticThresholding(denoiser: Denoiser): Denoiser {
  return async (x, sigma) => (await denoiser(x, sigma)).map((value) => clamp(value, 1));
}

/**
 * Clips each image's estimate to [-s, s] and divides it by s, where `s` is a quantile of its magnitudes and at
 * least 1: Saharia et al. 2022 ("Imagen", arXiv 2205.11487), section 2.3.
 */
export function dynamicThresholding(denoiser: Denoiser, settings: ThresholdSettings): Denoiser {
  const { percentile, perImage } = settings;
  return async (x, sigma) => {
    const denoised = await denoiser(x, sigma);
    const thresholded = new Float32Array(denoised.length);
    for (let from = 0; from < denoised.length; from += perImage) {
      const image = denoised.subarray(from, from + perImage);
      const limit = Math.max(quantile(image.map(Math.abs), percentile), 1);
      thresholded.set(
        image.map((value) => clamp(value, limit) / limit),
        from,
      );
    }
    return thresholded;
  };
}

/** The quantile of numbers, between two of them on a straight line, as `torch.quantile` computes it in float32. */
export function quantile(values: Float32Array, share: number): number {
  const sorted = values.toSorted();
  if (Number.isNaN(sorted.at(-1))) return NaN;
  const rank = Math.fround(Math.fround(share) * (sorted.length - 1));
  const below = sorted[Math.floor(rank)]!;
  const above = sorted[Math.ceil(rank)]!;
  const weight = rank - Math.floor(rank);
  const difference = Math.fround(above - below);
  return Math.fround(weight < 0.5 ? below + weight * difference : above - (1 - weight) * difference);
}

function clamp(value: number, limit: number): number {
  return Math.min(Math.max(value, -limit), limit);
}
