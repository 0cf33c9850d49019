import { lerp, plus } from "./arithmetic";
import type { Denoiser } from "./denoiser";

/**
 * Pushes an estimate away from a weaker one: `D = D_weak + scale * (D_denoiser - D_weak)`.
 *
 * Classifier-free guidance (Ho & Salimans 2022, arXiv 2207.12598) where `weak` is the same model with nothing
 * asked of it, autoguidance (Karras et al. 2024, arXiv 2406.02507) where it is a worse model, such as an average
 * that lags behind; only inside an interval of noise levels (Kynkaanniemi et al. 2024, arXiv 2404.07724).
 *
 * @param denoiser - The denoiser to improve.
 * @param weak - The weaker one.
 * @param scale - 1 returns `denoiser` itself; outside the interval it counts as 1.
 * @param interval - Guidance acts where `interval[0] < sigma <= interval[1]`.
 */
export function guided(
  denoiser: Denoiser,
  weak: Denoiser,
  scale: number,
  interval: readonly [number, number],
): Denoiser {
  if (scale === 1) return denoiser;
  return async (x, sigma) => {
    if (!(interval[0] < sigma && sigma <= interval[1])) return denoiser(x, sigma);
    const strong = await denoiser(x, sigma);
    return lerp(await weak(x, sigma), strong, scale);
  };
}

/**
 * Mixes the estimates of two denoisers, image by image: `D = (1 - share) * D_first + share * D_second`.
 *
 * @param first - A denoiser.
 * @param second - Another, such as the same model asked for another class.
 * @param shares - The second one's share in each image of a batch, B numbers from 0 to 1. Where all are 0, or
 *   all 1, one denoiser alone is evaluated.
 */
export function mixed(first: Denoiser, second: Denoiser, shares: readonly number[]): Denoiser {
  if (shares.every((share) => share === 0)) return first;
  if (shares.every((share) => share === 1)) return second;
  return async (x, sigma) => {
    const one = await first(x, sigma);
    const other = await second(x, sigma);
    const perImage = x.length / shares.length;
    const shareAt = (i: number): number => Math.fround(shares[Math.floor(i / perImage)]!);
    return plus(
      one.map((value, i) => Math.fround(1 - shareAt(i)) * value),
      other.map((value, i) => shareAt(i) * value),
    );
  };
}
