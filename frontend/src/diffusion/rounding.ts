/**
 * Rounds values of model space to pixels, half to even, as Python's `RGB.decode` does.
 *
 * @param x - Values, about in [-1, 1]; what lies outside is clipped, and what is no number is 0.
 * @returns As many integers from 0 to 255, in the same order.
 */
export function toPixels(x: Float32Array): Uint8ClampedArray<ArrayBuffer> {
  // An array of this kind clips, and rounds half to even.
  return Uint8ClampedArray.from(x, (value) => Math.fround(Math.fround(value + 1) * 127.5));
}

/**
 * The pixels of one image as a canvas takes them.
 *
 * @param x - The image, (3, H, W), red, green and blue one after another.
 * @returns (H, W, 4), opaque.
 */
export function toRgba(x: Float32Array): Uint8ClampedArray<ArrayBuffer> {
  const pixels = toPixels(x);
  const size = pixels.length / 3;
  const rgba = new Uint8ClampedArray(4 * size);
  for (let i = 0; i < size; i++) {
    for (let channel = 0; channel < 3; channel++) rgba[4 * i + channel] = pixels[channel * size + i]!;
    rgba[4 * i + 3] = 255;
  }
  return rgba;
}
