/**
 * The noise levels at which a sampler evaluates the denoiser: `steps + 1` of them, descending to 0.
 *
 * @param settings - What schedules take.
 */
export type Schedule = (settings: ScheduleSettings) => number[];

/** What schedules may take. */
export interface ScheduleSettings {
  /** Number of denoising steps, at least 1. */
  readonly steps: number;
  /** Last noise level before 0. */
  readonly sigma_min: number;
  /** First noise level. */
  readonly sigma_max: number;
  /** Shift of the `flow` schedule; larger puts more of the steps at large noise levels. */
  readonly shift: number;
}

/** Evenly spaced numbers from 0 to 1, `count` of them; 0 if it is one. */
export function ramp(count: number): number[] {
  return Array.from({ length: count }, (_, i) => (i === 0 ? 0 : i / (count - 1)));
}
