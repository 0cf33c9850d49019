/**
 * The pixel of a value in model space.
 *
 * @param value - A value; the range of images is [-1, 1], and what is outside is clipped.
 * @returns An integer from 0 to 255.
 */
export function pixelOf(value: number): number {
  return Math.round(Math.min(Math.max((Math.fround(value) + 1) * 127.5, 0), 255));
}
