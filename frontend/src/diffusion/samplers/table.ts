import { dpmpp2m, dpmpp3m, ipndm, unipc } from "./multistep";
import type { Sampler } from "./sampler";
import { ancestral, euler, heun, stochasticHeun } from "./single-step";

/** A sampler, and what is known of it. */
export interface NamedSampler {
  readonly title: string;
  readonly sampler: Sampler;
  /** Evaluations of the denoiser a step; the last step, to 0, takes one. */
  readonly stages: number;
  /** Whether it draws noise on the way. */
  readonly stochastic: boolean;
}

/** The samplers there are, by the names that Python's table has. */
export const SAMPLERS = {
  euler: { title: "DDIM", sampler: euler, stages: 1, stochastic: false },
  ancestral: { title: "DDPM", sampler: ancestral, stages: 1, stochastic: true },
  heun: { title: "EDM", sampler: heun, stages: 2, stochastic: false },
  stochastic_heun: { title: "EDM with churn", sampler: stochasticHeun, stages: 2, stochastic: true },
  dpmpp_2m: { title: "DPM-Solver++(2M)", sampler: dpmpp2m, stages: 1, stochastic: false },
  dpmpp_3m: { title: "DPM-Solver++(3M)", sampler: dpmpp3m, stages: 1, stochastic: false },
  unipc: { title: "UniPC-3", sampler: unipc, stages: 1, stochastic: false },
  ipndm: { title: "iPNDM-4", sampler: ipndm, stages: 1, stochastic: false },
} as const satisfies Record<string, NamedSampler>;

/** The name of a sampler. */
export type SamplerName = keyof typeof SAMPLERS;
