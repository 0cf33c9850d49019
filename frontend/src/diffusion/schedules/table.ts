import { flowSchedule } from "./flow";
import { karrasSchedule } from "./karras";
import { logSnrSchedule } from "./log-snr";
import type { Schedule } from "./schedule";

/** A schedule, and what to say of it. */
export interface NamedSchedule {
  readonly title: string;
  readonly schedule: Schedule;
}

/** The schedules there are, by the names that Python's table has. */
export const SCHEDULES = {
  karras: { title: "EDM, rho 7", schedule: karrasSchedule },
  log_snr: { title: "even in ln sigma", schedule: logSnrSchedule },
  flow: { title: "even in flow time", schedule: flowSchedule },
} as const satisfies Record<string, NamedSchedule>;

/** The name of a schedule. */
export type ScheduleName = keyof typeof SCHEDULES;
