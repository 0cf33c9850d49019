/** Pixels of what a sampler sees. */

import { pixelOf } from "../diffusion/rounding";

/**
 * Return the pixels of an image.
 *
 * @param image - (C, H, W), flattened, about in [-1, 1]; one channel is gray.
 * @param channels - C, 1 or 3.
 * @param scale - Factor before rounding.
 * @returns RGBA, row by row, as a canvas takes them.
 */
export function rgba(image: Float32Array, channels: number, scale = 1): Uint8ClampedArray<ArrayBuffer> {
  const size = image.length / channels;
  const pixels = new Uint8ClampedArray(4 * size);
  for (let i = 0; i < size; i++) {
    for (let channel = 0; channel < 3; channel++) {
      pixels[4 * i + channel] = pixelOf(scale * image[i + (channels === 1 ? 0 : channel * size)]!);
    }
    pixels[4 * i + 3] = 255;
  }
  return pixels;
}

/** Spread of training images, so that noisy ones can be shown with it. */
const SIGMA_DATA = 0.5;

/** Return the factor that gives noisy images `y + sigma * n` the spread of images without noise. */
export function viewingFactor(sigma: number): number {
  return SIGMA_DATA / Math.hypot(SIGMA_DATA, sigma);
}

/** Return whether all values of an image are finite. */
export function allFinite(image: Float32Array): boolean {
  return image.every(Number.isFinite);
}
