import { ramp, type ScheduleSettings } from "./schedule";

/**
 * Spaces flow time evenly from `t(sigma_max)` to 0, then shifts it toward noise: Esser et al. 2024 (arXiv
 * 2403.03206), equation 23, which in noise levels is `sigma -> shift * sigma`.
 */
export function flowSchedule({ steps, sigma_max, shift }: ScheduleSettings): number[] {
  const longest = sigma_max / shift / (1 + sigma_max / shift);
  return ramp(steps + 1).map((share) => {
    const time = longest * (1 - share);
    return (shift * time) / (1 - time);
  });
}
