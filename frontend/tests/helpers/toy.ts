import type { Denoiser } from "../../src/diffusion";
import { plus, times } from "../../src/diffusion/arithmetic";

/** The denoiser that the golden samples are made with: Python's `tests/frontend/golden.py`, `toy`. */
export function toy(scale: number, perImage: number): Denoiser {
  return (x, sigma) => {
    const share = 1 / (1 + 4 * sigma ** 2);
    const pattern = x.map((_, i) => ((((7 * (i % perImage)) % 11) - 5) / 4) * scale);
    const y = plus(times(share, x), times(1 - share, pattern));
    return Promise.resolve(y.map((value) => value / Math.fround(Math.fround(Math.abs(value) * 0.25) + 1)));
  };
}

/** Notes the noise levels at which a denoiser is evaluated. */
export function noting(denoiser: Denoiser, levels: number[]): Denoiser {
  return (x, sigma) => {
    levels.push(sigma);
    return denoiser(x, sigma);
  };
}
