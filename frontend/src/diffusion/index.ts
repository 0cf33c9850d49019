/** Diffusion without a network: noise, schedules, samplers, guidance and rounding, with the results of Python. */

export type { Denoiser } from "./denoiser";
export { guided, mixed } from "./guidance";
export { imageNoise, interpolatedNoise, slerp, type Noise } from "./image-noise";
export { toPixels, toRgba } from "./rounding";
export { brokenImages, sample, type Step } from "./sample";
export type { Churn } from "./samplers/sampler";
export { SAMPLERS, type SamplerName } from "./samplers/table";
export { SCHEDULES, type ScheduleName } from "./schedules/table";
export {
  DEFAULTS,
  evaluations,
  networkEvaluations,
  plainOf,
  readSampling,
  sigmas,
  type Sampling,
} from "./settings";
export { THRESHOLDS, type ThresholdName } from "./thresholds";
