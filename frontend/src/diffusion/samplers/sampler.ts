import type { Denoiser } from "../denoiser";
import type { Noise } from "../image-noise";

/**
 * Integrates from pure noise to images, on `x = x_0 + sigma * noise`.
 *
 * @param denoiser - `D(x, sigma)`.
 * @param x - `sigmas[0] * N(0, I)`, (B, C, H, W).
 * @param sigmas - Noise levels, descending, the last one 0.
 * @param noise - Fresh noise for the stochastic samplers; the others never call it.
 * @param settings - Settings of some samplers.
 * @returns Images, (B, C, H, W), about in [-1, 1], not clipped.
 */
export type Sampler = (
  denoiser: Denoiser,
  x: Float32Array,
  sigmas: readonly number[],
  noise: Noise,
  settings: SamplerSettings,
) => Promise<Float32Array>;

/** What samplers may take. */
export interface SamplerSettings {
  readonly churn: Churn;
}

/** How much noise `stochastic_heun` renews: EDM, algorithm 2. */
export interface Churn {
  /** `S_churn`: over all steps the noise level is raised by this in total, as a multiple of itself. */
  readonly amount: number;
  /** `S_tmin`: no noise is added below this level. */
  readonly sigma_min: number;
  /** `S_tmax`: no noise is added above this level. */
  readonly sigma_max: number;
  /** `S_noise`: standard deviation of what is added. */
  readonly scale: number;
}

/** Each step's two noise levels. */
export function intervals(sigmas: readonly number[]): [number, number][] {
  return sigmas.slice(1).map((next, i) => [sigmas[i]!, next]);
}
