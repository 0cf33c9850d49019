/** The command that gives the same images as the page. */

import type { Sampling } from "../diffusion/settings";
import type { Manifest } from "../model/manifest";
import type { Cell, Settings } from "./settings";

/**
 * Return the command for the grid: every class from the same noise, and the first images of the set.
 *
 * @returns null where the command has no option for one of the settings.
 */
export function gridCommand(settings: Settings, manifest: Manifest): string | null {
  const options = optionsOf(settings.sampling, manifest);
  if (!options) return null;
  const all = manifest.classes.length ? ["--classes"] : ["--n", `${settings.rows * 6}`];
  return command(manifest, [...all, "--seed", `${settings.seed}`, ...options]);
}

/** Return the command for one image, which is the last one that it writes; null where there is none. */
export function imageCommand(cell: Cell, sampling: Sampling, manifest: Manifest): string | null {
  const options = optionsOf(sampling, manifest);
  const { asked, noise } = cell.job;
  if (!options || asked.share !== 0 || noise.to) return null;
  const name = manifest.classes[asked.label];
  const labels = name === undefined ? [] : [`--labels=${spelled(name)}`];
  const { seed, index } = noise.from;
  return command(manifest, [...labels, "--n", `${index + 1}`, "--seed", `${seed}`, ...options]);
}

function command(manifest: Manifest, options: readonly string[]): string | null {
  const base = manifest.commands.get("sample");
  return base === undefined ? null : [base, ...options.map(quoted)].join(" ");
}

/** Return the options for what is not the run's own; null where there is none for a difference. */
function optionsOf(sampling: Sampling, manifest: Manifest): string[] | null {
  const own = manifest.sampling;
  if (sampling.sigma_max !== own.sigma_max || sampling.percentile !== own.percentile) return null;
  const differs = (name: keyof Sampling): boolean =>
    JSON.stringify(sampling[name]) !== JSON.stringify(own[name]);
  const options: string[] = [];
  for (const name of [
    "sampler",
    "steps",
    "schedule",
    "shift",
    "sigma_min",
    "guidance",
    "threshold",
  ] as const) {
    if (differs(name)) options.push(`--${name.replace("_", "-")}`, `${sampling[name]}`);
  }
  if (sampling.guidance === 1) return options; // Where nothing guides, the command refuses options of guidance.
  if (differs("guidance_interval")) {
    const [low, high] = sampling.guidance_interval;
    options.push("--interval", `${low}`, high === Infinity ? "inf" : `${high}`);
  }
  // The page has the run's average only where the run's own settings guide by it.
  if (own.guidance === 1 && sampling.guide_length === null) options.push("--guide-length", "0");
  return options;
}

/** Return how `--labels` takes a class's name: in double quotes where it has commas, quotes or blanks at an end. */
function spelled(name: string): string {
  const plain = name !== "" && !name.includes(",") && !name.startsWith('"') && name === name.trim();
  return plain ? name : `"${name.replaceAll('"', '""')}"`;
}

/** Return a word as a shell takes it. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`;
}
