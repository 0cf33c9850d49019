/** Settings as the part of an address after `#`, and back: a link gives the same images to whoever opens it. */

import { readSampling, type Sampling } from "../diffusion/settings";
import { messageOf } from "../errors";
import type { Manifest } from "../model/manifest";
import { canGuide, MAX_COLUMNS, MAX_ROWS, type Mix, ownSettings, type Settings } from "./settings";

/** Settings of sampling that a link has, by their names there, which are those of the command's options. */
const NUMBERS = ["steps", "guidance", "sigma_min", "sigma_max", "shift", "percentile"] as const;
const NAMES = ["sampler", "schedule", "threshold"] as const;
/** More steps than this are a slip of the hand, or meant to keep somebody's browser busy. */
export const MAX_STEPS = 1000;
/** Digits of the model's digest that a link has. */
const DIGITS = 8;

/**
 * Return the part of an address after `#` that stands for settings.
 *
 * All that images depend on is in it, also what is the run's own: the page may be of another run one day.
 */
export function hashOf(settings: Settings, manifest: Manifest): string {
  const { seed, rows, classes, mix, sampling } = settings;
  const entries: [string, string][] = [["seed", `${seed}`], ["rows", `${rows}`]]; // prettier-ignore
  if (manifest.classes.length) entries.push(["classes", classes.join(",")]);
  if (mix) entries.push(["mix", [mix.first, mix.second, mix.share].join(",")]);
  for (const name of NAMES) entries.push([name, sampling[name]]);
  for (const name of NUMBERS) entries.push([name, `${sampling[name]}`]);
  const [low, high] = sampling.guidance_interval;
  entries.push(["interval", `${low},${high === Infinity ? "" : high}`]);
  entries.push(["model", modelOf(manifest)]);
  return `#${entries.map(([name, value]) => `${name}=${value}`).join("&")}`;
}

/** Return what tells the model from others in a link. */
export function modelOf(manifest: Manifest): string {
  return manifest.denoiser.sha256.slice(0, DIGITS);
}

/** What a link says. */
export interface Linked {
  readonly settings: Settings;
  /** What of it was ignored, and why, as sentences. */
  readonly notes: readonly string[];
}

/** A value of a link cannot be used; the message says what it is meant to be. */
class Refused extends Error {}

type Change = (settings: Settings, value: string) => Settings;

/**
 * Read the part of an address after `#`.
 *
 * What it leaves out is the run's own. What is malformed is ignored, with a note.
 */
export function settingsOf(hash: string, manifest: Manifest): Linked {
  const changes = changesFor(manifest);
  const entries = hash.replace(/^#/, "").split("&").filter(Boolean).map(split);
  let settings = ownSettings(manifest);
  let refused = new Map<string, string>();
  // Twice: a value can be out of range until a later one is set, as sigma_min above the run's own sigma_max.
  for (let time = 0; time < 2; time++) {
    refused = new Map();
    for (const [name, value] of entries) {
      try {
        const change = changes.get(name);
        if (!change) throw new Refused("there is no such setting");
        settings = change(settings, value);
      } catch (error) {
        if (!(error instanceof Refused || error instanceof RangeError)) throw error;
        refused.set(`${short(name)}=${short(value)}`, messageOf(error));
      }
    }
  }
  return { settings, notes: Array.from(refused, ([what, why]) => `The link's ${what} was ignored: ${why}.`) };
}

function split(entry: string): [string, string] {
  const at = entry.indexOf("=");
  return at < 0 ? [entry, ""] : [entry.slice(0, at), decoded(entry.slice(at + 1))];
}

function changesFor(manifest: Manifest): Map<string, Change> {
  const { length } = manifest.classes;
  const changes: [string, Change][] = [
    ["seed", (settings, value) => ({ ...settings, seed: whole(value, 0, Number.MAX_SAFE_INTEGER) })],
    ["rows", (settings, value) => ({ ...settings, rows: whole(value, 1, MAX_ROWS) })],
    ["model", (settings, value) => sameModel(settings, value, manifest)],
    ["steps", (settings, value) => sampling(settings, { steps: whole(value, 1, MAX_STEPS) })],
    ["interval", (settings, value) => sampling(settings, { guidance_interval: interval(value) })],
  ];
  if (length) {
    changes.push(["classes", (settings, value) => ({ ...settings, classes: labels(value, length) })]);
    changes.push(["mix", (settings, value) => ({ ...settings, mix: mix(value, length) })]);
  }
  for (const name of NAMES) changes.push([name, (settings, value) => sampling(settings, { [name]: value })]);
  for (const name of NUMBERS) {
    if (name === "steps") continue;
    changes.push([name, (settings, value) => sampling(settings, { [name]: number(value) })]);
  }
  return new Map(changes).set("guidance", (settings, value) => guidance(settings, value, manifest));
}

function sampling(settings: Settings, change: Readonly<Record<string, unknown>>): Settings {
  return { ...settings, sampling: changed(settings.sampling, change) };
}

/**
 * Return settings of sampling with some values changed.
 *
 * @throws RangeError If a value is out of its range.
 */
export function changed(own: Sampling, change: Readonly<Record<string, unknown>>): Sampling {
  return readSampling({ ...own, ...change });
}

function guidance(settings: Settings, value: string, manifest: Manifest): Settings {
  const scale = number(value);
  if (scale !== 1 && !canGuide(manifest)) throw new Refused("this model cannot be guided");
  return sampling(settings, { guidance: scale });
}

function sameModel(settings: Settings, value: string, manifest: Manifest): Settings {
  if (value === modelOf(manifest)) return settings;
  throw new Refused("the page has another model now, so its images are not those that the link was made for");
}

function labels(value: string, count: number): number[] {
  const found = value.split(",").map((each) => whole(each, 0, count - 1));
  if (found.length > MAX_COLUMNS) throw new Refused(`there are at most ${MAX_COLUMNS} columns`);
  return [...new Set(found)];
}

function mix(value: string, count: number): Mix {
  const [first = "", second = "", share = "", more] = value.split(",");
  if (more !== undefined) throw new Refused("it is two classes and a share");
  const part = number(share);
  if (part < 0 || part > 1) throw new Refused("the share is from 0 to 1");
  return { first: whole(first, 0, count - 1), second: whole(second, 0, count - 1), share: part };
}

function interval(value: string): [number, number | null] {
  const [low = "", high, more] = value.split(",");
  if (high === undefined || more !== undefined) throw new Refused("it is two noise levels");
  return [number(low), high === "" ? null : number(high)];
}

function number(value: string): number {
  if (!/^-?\d+(\.\d+)?(e[+-]?\d+)?$/i.test(value)) throw new Refused("it is not a number");
  if (!Number.isFinite(Number(value))) throw new Refused("it is too large");
  return Number(value);
}

function whole(value: string, least: number, most: number): number {
  if (!/^\d{1,16}$/.test(value) || Number(value) < least || Number(value) > most) {
    throw new Refused(`it is not a whole number from ${least} to ${most}`);
  }
  return Number(value);
}

function decoded(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}

function short(text: string): string {
  return text.length > 30 ? `${text.slice(0, 30)}…` : text;
}
