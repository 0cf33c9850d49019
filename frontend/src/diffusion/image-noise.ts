import { plus } from "./arithmetic";
import { PCG64 } from "./random/pcg64";
import { fold, Stream } from "./random/seeds";
import { standardNormal } from "./random/standard-normal";

/** The noise of a batch of images: each call returns the next draw of N(0, I), the images one after another. */
export interface Noise {
  (): Float32Array;
  /** How many numbers an image has, `C * H * W`. */
  readonly perImage: number;
}

/**
 * Noise for sampling, of which each image has a stream of its own: image `i` of `ninelives sample --seed SEED`
 * has the noise of `imageNoise(SEED, [i], ...)`, in any batch.
 *
 * @param seed - Seed of the whole set of images, an integer in [0, 2^64).
 * @param indices - Numbers of this batch's images in the set, B of them.
 * @param perImage - How many numbers an image has, `C * H * W`.
 * @returns Draws, (B, C, H, W).
 */
export function imageNoise(seed: number | bigint, indices: readonly number[], perImage: number): Noise {
  const generators = indices.map((index) => new PCG64(fold(seed, Stream.IMAGE, index)));
  const draw = (): Float32Array => {
    const draws = new Float32Array(generators.length * perImage);
    generators.forEach((generator, i) => {
      draws.set(standardNormal(generator, perImage), i * perImage);
    });
    return draws;
  };
  return Object.assign(draw, { perImage });
}

/**
 * Noise on the way from one set of streams to another, along great circles.
 *
 * @param first - Streams of B images.
 * @param second - Streams of as many.
 * @param shares - How far each image is on its way, B numbers: 0 is `first` and 1 is `second`.
 */
export function interpolatedNoise(first: Noise, second: Noise, shares: readonly number[]): Noise {
  const { perImage } = first;
  return Object.assign(() => slerp(first(), second(), shares, perImage), { perImage });
}

/**
 * Interpolates between images along the great circle through each pair (Shoemake 1985).
 *
 * @param start - Images, (B, C, H, W).
 * @param end - As many.
 * @param shares - How far along, B numbers.
 * @param perImage - `C * H * W`.
 */
export function slerp(
  start: Float32Array,
  end: Float32Array,
  shares: readonly number[],
  perImage: number,
): Float32Array {
  const near = new Float32Array(start.length);
  const far = new Float32Array(end.length);
  shares.forEach((share, image) => {
    const from = image * perImage;
    const angle = angleBetween(start.subarray(from, from + perImage), end.subarray(from, from + perImage));
    const nearShare = Math.fround(arcShare(1 - Math.fround(share), angle));
    const farShare = Math.fround(arcShare(Math.fround(share), angle));
    for (let i = from; i < from + perImage; i++) {
      near[i] = nearShare * start[i]!;
      far[i] = farShare * end[i]!;
    }
  });
  return plus(near, far);
}

function angleBetween(one: Float32Array, other: Float32Array): number {
  let product = 0;
  let oneSquared = 0;
  let otherSquared = 0;
  one.forEach((value, i) => {
    product += value * other[i]!;
    oneSquared += value * value;
    otherSquared += other[i]! * other[i]!;
  });
  const cosine = product / Math.sqrt(oneSquared * otherSquared);
  return Math.acos(Math.min(Math.max(cosine, -1), 1));
}

/** `sin(share * angle) / sin(angle)`, and its limit between images that are the same. */
function arcShare(share: number, angle: number): number {
  return angle === 0 ? share : Math.sin(share * angle) / Math.sin(angle);
}
