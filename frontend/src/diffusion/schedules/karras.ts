import { ramp, type ScheduleSettings } from "./schedule";

const RHO = 7;

/** Spaces `sigma^(1/7)` evenly: EDM (Karras et al. 2022, arXiv 2206.00364), equation 5. */
export function karrasSchedule({ steps, sigma_min, sigma_max }: ScheduleSettings): number[] {
  const high = sigma_max ** (1 / RHO);
  const low = sigma_min ** (1 / RHO);
  return [...ramp(steps).map((share) => (high + share * (low - high)) ** RHO), 0];
}
