/** Samplers that remember nothing from one step to the next. */

import { minus, over, plus, times } from "../arithmetic";
import type { Denoiser } from "../denoiser";
import { intervals, type Churn, type Sampler } from "./sampler";

/** Euler's method, first order, one evaluation a step: DDIM with eta 0 (Song et al. 2021, arXiv 2010.02502). */
export const euler: Sampler = async (denoiser, start, sigmas) => {
  let x = start;
  for (const [sigma, next] of intervals(sigmas)) {
    const denoised = await denoiser(x, sigma);
    x = plus(denoised, times(next / sigma, minus(x, denoised)));
  }
  return x;
};

/** Draws from the posterior `q(x_next | x, x_0 = denoised)`: DDPM (Ho et al. 2020), algorithm 2. */
export const ancestral: Sampler = async (denoiser, start, sigmas, noise) => {
  let x = start;
  for (const [sigma, next] of intervals(sigmas)) {
    const denoised = await denoiser(x, sigma);
    const kept = (next / sigma) ** 2;
    x = plus(denoised, times(kept, minus(x, denoised)));
    if (next > 0) x = plus(x, times(next * Math.sqrt(1 - kept), noise()));
  }
  return x;
};

/** Heun's method, second order, two evaluations a step but one at the last: EDM, algorithm 1. */
export const heun: Sampler = async (denoiser, start, sigmas) => {
  let x = start;
  for (const [sigma, next] of intervals(sigmas)) x = await heunStep(denoiser, x, sigma, next);
  return x;
};

/** Adds noise, then takes Heun's step from the raised noise level: EDM, algorithm 2. */
export const stochasticHeun: Sampler = async (denoiser, start, sigmas, noise, { churn }) => {
  let x = start;
  const steps = intervals(sigmas);
  for (const [sigma, next] of steps) {
    const higher = raised(churn, sigma, steps.length);
    if (higher > sigma) {
      x = plus(x, times(churn.scale * Math.sqrt(higher ** 2 - sigma ** 2), noise()));
    }
    x = await heunStep(denoiser, x, higher, next);
  }
  return x;
};

function raised(churn: Churn, sigma: number, steps: number): number {
  if (sigma < churn.sigma_min || sigma > churn.sigma_max) return sigma;
  return sigma * (1 + Math.min(churn.amount / steps, Math.SQRT2 - 1));
}

async function heunStep(
  denoiser: Denoiser,
  x: Float32Array,
  sigma: number,
  next: number,
): Promise<Float32Array> {
  const slope = over(minus(x, await denoiser(x, sigma)), sigma);
  const predicted = plus(x, times(next - sigma, slope));
  if (next === 0) return predicted;
  const slopeNext = over(minus(predicted, await denoiser(predicted, next)), next);
  return plus(x, over(times(next - sigma, plus(slope, slopeNext)), 2));
}
