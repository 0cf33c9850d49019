/**
 * Samplers that extrapolate from the evaluations of the last steps: high order for one evaluation a step.
 *
 * DPM-Solver++ and UniPC work in `h = ln(sigma / sigma_next)`, in which a step of the ODE has the exact solution
 * `x_next = e^-h x + h * integral of e^(-h (1 - u)) D(u) du`, `u` from 0 to 1 (Lu et al. 2022, arXiv 2211.01095,
 * proposition 4.1), with `D` replaced by a polynomial in `u`. The step to `sigma = 0` ends at `D`.
 */

import { minus, over, plus, times } from "../arithmetic";
import type { Denoiser } from "../denoiser";
import { solved } from "./linear-equations";
import { intervals, type Sampler } from "./sampler";

/** An estimate and the noise level it was made at. */
interface Evaluation {
  readonly sigma: number;
  readonly denoised: Float32Array;
}

/** DPM-Solver++(2M), second order, one evaluation a step: Lu et al. 2022, arXiv 2211.01095, algorithm 2. */
export const dpmpp2m: Sampler = (denoiser, x, sigmas) => dpmpp(denoiser, x, sigmas, 2);

/**
 * DPM-Solver++(3M), one evaluation a step: the multistep form, over three evaluations. The quadratic term has
 * half the weight of the exact integral, as in the authors' program.
 */
export const dpmpp3m: Sampler = (denoiser, x, sigmas) => dpmpp(denoiser, x, sigmas, 3);

/**
 * UniPC-3 with `B_2(h)`, one evaluation a step: Zhao et al. 2023, arXiv 2302.04867, algorithms 1 and 2, for data
 * prediction. The order rises over the first steps and falls over the last.
 */
export const unipc: Sampler = async (denoiser, start, sigmas) => {
  let x = start;
  let predicted = x;
  let past: Evaluation[] = [];
  let order = 0;
  const steps = intervals(sigmas);
  for (const [index, [sigma, next]] of steps.entries()) {
    const here = { sigma, denoised: await denoiser(predicted, sigma) };
    if (order > 0) x = unipcStep(x, past.slice(-order), sigma, here);
    past = [...past.slice(-2), here];
    order = Math.min(3, index + 1, steps.length - index);
    predicted = unipcStep(x, past.slice(-order), next);
  }
  return predicted;
};

/** Improved PNDM of order 4, one evaluation a step: Zhang & Chen 2023 ("DEIS", arXiv 2204.13902). */
export const ipndm: Sampler = async (denoiser, start, sigmas) => {
  let x = start;
  let past: Float32Array[] = [];
  for (const [sigma, next] of intervals(sigmas)) {
    past = [...past.slice(-3), over(minus(x, await denoiser(x, sigma)), sigma)];
    // The last step is many times as long as the one before it, and is Euler's.
    if (next === 0) past = past.slice(-1);
    const weights = ADAMS_BASHFORTH[past.length - 1]!;
    const slope = past
      .toReversed()
      .reduce((sum, d, i) => plus(sum, times(weights[i]!, d)), new Float32Array(x.length));
    x = plus(x, times(next - sigma, slope));
  }
  return x;
};

/** Weights of the last slopes, newest first, for one to four of them. */
const ADAMS_BASHFORTH = [
  [1],
  [3 / 2, -1 / 2],
  [23 / 12, -16 / 12, 5 / 12],
  [55 / 24, -59 / 24, 37 / 24, -9 / 24],
] as const;

async function dpmpp(
  denoiser: Denoiser,
  start: Float32Array,
  sigmas: readonly number[],
  evaluations: number,
): Promise<Float32Array> {
  let x = start;
  let past: Evaluation[] = [];
  for (const [sigma, next] of intervals(sigmas)) {
    past = [...past.slice(1 - evaluations), { sigma, denoised: await denoiser(x, sigma) }];
    x = dpmppStep(x, past, next);
  }
  return x;
}

/** Steps from the newest of up to three evaluations, oldest first, to `next`. */
function dpmppStep(x: Float32Array, past: readonly Evaluation[], next: number): Float32Array {
  const { sigma, denoised } = past.at(-1)!;
  if (next === 0) return denoised;
  const h = Math.log(sigma / next);
  const [zeroth, first, second] = moments(h, 3) as [number, number, number];
  const step = plus(times(next / sigma, x), times(zeroth, denoised));
  const differences = past
    .slice(1)
    .map((b, i) => times(h / Math.log(past[i]!.sigma / b.sigma), minus(b.denoised, past[i]!.denoised)));
  const newest = differences.at(-1);
  if (newest === undefined) return step;
  // The paper's weight for the linear term of the second-order method, equal to `first` to leading order.
  if (differences.length === 1) return plus(step, times(zeroth / 2, newest));
  const span = Math.log(past[0]!.sigma / sigma) / h;
  const quadratic = over(minus(newest, differences[0]!), span);
  const linear = plus(newest, times(Math.log(past[1]!.sigma / sigma) / h, quadratic));
  return plus(plus(step, times(first, linear)), times(second / 2, quadratic));
}

/**
 * Steps from the newest evaluation to `next`, of the order of their number: UniP, or UniC.
 *
 * @param x - Images at the noise level of the newest evaluation, (B, C, H, W).
 * @param past - Evaluations, oldest first.
 * @param next - Noise level to arrive at.
 * @param arrived - The evaluation at `next`; with it the step is the corrector's.
 */
function unipcStep(
  x: Float32Array,
  past: readonly Evaluation[],
  next: number,
  arrived?: Evaluation,
): Float32Array {
  const { sigma, denoised } = past.at(-1)!;
  if (next === 0) return denoised;
  const h = Math.log(sigma / next);
  const others = past.slice(0, -1).reverse();
  if (arrived !== undefined) others.push(arrived);
  const all = moments(h, others.length + 1);
  const places = others.map((other) => Math.log(sigma / other.sigma) / h);
  const weights = placeWeights(places, all);
  return others.reduce(
    (step, other, k) => plus(step, times(weights[k]! / places[k]!, minus(other.denoised, denoised))),
    plus(times(next / sigma, x), times(all[0]!, denoised)),
  );
}

/**
 * The weights `a` for which `sum of a_k * place_k^(j - 1) = moment_j`, `j` from 1 on: the condition of UniPC's
 * theorem 3.1, times `B(h)`. With one place the authors take half of `B_2(h)`.
 */
function placeWeights(places: readonly number[], all: readonly number[]): number[] {
  if (places.length === 0) return [];
  if (places.length === 1) return [all[0]! / 2];
  return solved(
    places.map((_, j) => places.map((place) => place ** j)),
    all.slice(1),
  );
}

/** `h * integral of e^(-h (1 - u)) u^j du` for `u` in [0, 1], `j` from 0 to `count - 1`. */
function moments(h: number, count: number): number[] {
  const all = [-Math.expm1(-h)];
  for (let j = 1; j < count; j++) all.push(1 - (j * all[j - 1]!) / h);
  return all;
}
