/** Pixels of what a sampler sees. */

import { toRgba } from "../diffusion/rounding";

/**
 * Return the pixels of an image.
 *
 * @param image - (C, H, W), flattened, about in [-1, 1].
 * @param channels - C: 3, or 1 for gray.
 * @param scale - Factor before rounding.
 * @returns RGBA, row by row, as a canvas takes them.
 */
export function rgba(image: Float32Array, channels: number, scale = 1): Uint8ClampedArray<ArrayBuffer> {
  const scaled = scale === 1 ? image : image.map((value) => scale * value);
  if (channels === 3) return toRgba(scaled);
  const thrice = new Float32Array(3 * scaled.length);
  for (let channel = 0; channel < 3; channel++) thrice.set(scaled, channel * scaled.length);
  return toRgba(thrice);
}

/** Spread of training images, so that noisy ones can be shown with it. */
const SIGMA_DATA = 0.5;

/** Return the factor that gives noisy images `y + sigma * n` the spread of images without noise. */
export function viewingFactor(sigma: number): number {
  return SIGMA_DATA / Math.hypot(SIGMA_DATA, sigma);
}
