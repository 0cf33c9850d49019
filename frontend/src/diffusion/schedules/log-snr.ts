import { ramp, type ScheduleSettings } from "./schedule";

/** Spaces `ln sigma` evenly, and ends with 0: Lu et al. 2022 ("DPM-Solver", arXiv 2206.00927). */
export function logSnrSchedule({ steps, sigma_min, sigma_max }: ScheduleSettings): number[] {
  return [...ramp(steps).map((share) => sigma_max * (sigma_min / sigma_max) ** share), 0];
}
