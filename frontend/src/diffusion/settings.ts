import { SAMPLERS, type SamplerName } from "./samplers/table";
import type { Churn, SamplerSettings } from "./samplers/sampler";
import type { ScheduleSettings } from "./schedules/schedule";
import { SCHEDULES, type ScheduleName } from "./schedules/table";
import { THRESHOLDS, type ThresholdName } from "./thresholds";

/** More steps are a typing error. */
const MAX_STEPS = 100_000;
/** Relative length of the plain mean of all steps, the longest average there is. */
const LONGEST_AVERAGE = 1 / Math.sqrt(12);

/**
 * How images are sampled from a denoiser: Python's `Sampling`, with its names, which are those of a manifest, a
 * link and the command line's options.
 */
export interface Sampling extends ScheduleSettings, SamplerSettings {
  readonly sampler: SamplerName;
  readonly schedule: ScheduleName;
  /** Scale of guidance; 1: none. */
  readonly guidance: number;
  /** Relative length of the run's own average to guide away from; null guides away from the null label. */
  readonly guide_length: number | null;
  /** Noise levels between which guidance acts, `low < sigma <= high`; `high` may be infinite. */
  readonly guidance_interval: readonly [number, number];
  readonly threshold: ThresholdName;
  /** Quantile of an image's magnitudes that dynamic thresholding brings to 1. */
  readonly percentile: number;
}

/** The settings that Python takes where none are given. */
export const DEFAULTS: Sampling = {
  sampler: "dpmpp_2m",
  steps: 20,
  schedule: "karras",
  guidance: 1,
  guide_length: null,
  guidance_interval: [0, Infinity],
  sigma_min: 0.002,
  sigma_max: 80,
  shift: 1,
  threshold: "none",
  percentile: 0.995,
  churn: { amount: 40, sigma_min: 0.05, sigma_max: 50, scale: 1.003 },
};

type Plain = Readonly<Record<string, unknown>>;

/**
 * Makes settings from plain values, as Python's `Sampling.to_dict` or a link has them, and checks each.
 *
 * @param plain - The values by their names; what is left out is the default. An interval that ends with null
 *   has no end.
 * @throws RangeError if a value is not what it must be, or there is one of another name, with the name.
 */
export function readSampling(plain: unknown): Sampling {
  const given = known(plain, DEFAULTS, "");
  const churn = known(given["churn"] ?? {}, DEFAULTS.churn, "churn.");
  const read = numberIn(given, DEFAULTS, "");
  const sigma_max = read("sigma_max", "above 0 and finite", (value) => value > 0);
  return {
    sampler: nameIn(given, "sampler", Object.keys(SAMPLERS) as SamplerName[]),
    steps: read(
      "steps",
      `a whole number from 1 to ${MAX_STEPS}`,
      (value) => Number.isInteger(value) && 1 <= value && value <= MAX_STEPS,
    ),
    schedule: nameIn(given, "schedule", Object.keys(SCHEDULES) as ScheduleName[]),
    guidance: read("guidance", "a finite number; 1: no guidance", () => true),
    guide_length: guideLength(given["guide_length"] ?? null),
    guidance_interval: interval(given["guidance_interval"] ?? DEFAULTS.guidance_interval),
    sigma_max,
    sigma_min: read(
      "sigma_min",
      `above 0 and below sigma_max, which is ${sigma_max}`,
      (value) => 0 < value && value < sigma_max,
    ),
    shift: read("shift", "above 0 and finite", (value) => value > 0),
    threshold: nameIn(given, "threshold", ["none", ...Object.keys(THRESHOLDS)] as ThresholdName[]),
    percentile: read("percentile", "above 0 and at most 1", (value) => 0 < value && value <= 1),
    churn: churnOf(churn),
  };
}

/** The settings as plain values that JSON has, as Python's `Sampling.to_dict`. */
export function plainOf(settings: Sampling): Plain {
  const [low, high] = settings.guidance_interval;
  return { ...settings, guidance_interval: [low, high === Infinity ? null : high] };
}

/** The noise levels, `steps + 1` of them, descending to 0. */
export function sigmas(settings: Sampling): number[] {
  return SCHEDULES[settings.schedule].schedule(settings);
}

/** Evaluations of the denoiser per image. */
export function evaluations(settings: Sampling): number {
  return SAMPLERS[settings.sampler].stages * (settings.steps - 1) + 1;
}

/** Evaluations of the network per image (NFE): as Python counts, a guided one of the denoiser is two. */
export function networkEvaluations(settings: Sampling): number {
  return evaluations(settings) * (settings.guidance === 1 ? 1 : 2);
}

function known(plain: unknown, names: object, prefix: string): Plain {
  if (typeof plain !== "object" || plain === null || Array.isArray(plain)) {
    throw new RangeError(`${prefix || "sampling "}has values by their names`);
  }
  const unknown = Object.keys(plain).find((name) => !Object.hasOwn(names, name));
  if (unknown !== undefined) throw new RangeError(`there is no setting ${prefix}${unknown}`);
  return plain as Plain;
}

function nameIn<Name extends string>(given: Plain, key: keyof Sampling, names: readonly Name[]): Name {
  const value = given[key] ?? DEFAULTS[key];
  const found = names.find((name) => name === value);
  if (found === undefined)
    throw new RangeError(`${key} is one of ${names.join(", ")}, not ${JSON.stringify(value)}`);
  return found;
}

/** Returns a reader of finite numbers by their keys, which checks each by `fits`. */
function numberIn<Defaults extends object>(given: Plain, defaults: Defaults, prefix: string) {
  return (key: keyof Defaults & string, wanted: string, fits: (value: number) => boolean): number => {
    const value = given[key] ?? defaults[key];
    if (typeof value !== "number" || !Number.isFinite(value) || !fits(value)) {
      throw new RangeError(`${prefix}${key} is ${wanted}, not ${JSON.stringify(value)}`);
    }
    return value;
  };
}

function guideLength(value: unknown): number | null {
  if (value === null || (typeof value === "number" && 0 < value && value <= LONGEST_AVERAGE)) return value;
  throw new RangeError(
    `guide_length is above 0 and at most ${LONGEST_AVERAGE}, not ${JSON.stringify(value)}`,
  );
}

function interval(value: unknown): [number, number] {
  const [low, end] = Array.isArray(value) && value.length === 2 ? (value as unknown[]) : [];
  const high = end === null ? Infinity : end;
  if (typeof low === "number" && typeof high === "number" && 0 <= low && low < high) return [low, high];
  throw new RangeError(`guidance_interval is [low, high] with 0 <= low < high, not ${JSON.stringify(value)}`);
}

function churnOf(given: Plain): Churn {
  const read = numberIn(given, DEFAULTS.churn, "churn.");
  const sigma_max = read("sigma_max", "at least 0 and finite", (value) => value >= 0);
  return {
    amount: read("amount", "at least 0 and finite", (value) => value >= 0),
    sigma_max,
    sigma_min: read(
      "sigma_min",
      `from 0 to churn.sigma_max, which is ${sigma_max}`,
      (value) => 0 <= value && value <= sigma_max,
    ),
    scale: read("scale", "above 0 and finite", (value) => value > 0),
  };
}
