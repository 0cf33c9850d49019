/** What a person can set, and which images that gives. */

import type { Sampling } from "../diffusion/settings";
import type { Manifest } from "../model/manifest";
import type { ImageJob } from "../worker/protocol";

/** Two classes, mixed. */
export interface Mix {
  readonly first: number;
  readonly second: number;
  /** How much of the second, from 0 to 1. */
  readonly share: number;
}

export interface Settings {
  readonly seed: number;
  /** Rows of the grid. */
  readonly rows: number;
  /** Labels of the columns; empty where the model is unconditional. */
  readonly classes: readonly number[];
  /** One more column; null has none. */
  readonly mix: Mix | null;
  readonly sampling: Sampling;
}

export const MAX_ROWS = 16;
export const MAX_COLUMNS = 20;
/** Columns to begin with, of a model with more classes, or with none. */
const FIRST_COLUMNS = 6;
const FIRST_ROWS = 3;

/** Return the settings that a visit begins with: the run's own. */
export function ownSettings(manifest: Manifest): Settings {
  const count = manifest.classes.length;
  return {
    seed: 0,
    rows: FIRST_ROWS,
    classes: Array.from({ length: count > MAX_COLUMNS ? FIRST_COLUMNS : count }, (_, label) => label),
    mix: null,
    sampling: manifest.sampling,
  };
}

/** Return whether the model can be guided as `ninelives sample` guides it. */
export function canGuide(manifest: Manifest): boolean {
  if (manifest.sampling.guide_length !== null) return manifest.guide !== null;
  return manifest.labelGuidance && manifest.nullLabel !== null && manifest.classes.length > 0;
}

/** A column of the grid. */
export interface Column {
  readonly title: string;
  readonly asked: ImageJob["asked"];
}

/** Return the columns of the grid. */
export function columnsOf(settings: Settings, manifest: Manifest): Column[] {
  const { classes, mix } = settings;
  const name = (label: number): string => manifest.classes[label] ?? `class ${label}`;
  if (manifest.classes.length === 0) {
    return Array.from({ length: FIRST_COLUMNS }, () => ({ title: "", asked: only(0) }));
  }
  const columns = classes.map((label) => ({ title: name(label), asked: only(label) }));
  if (!mix) return columns;
  const { first, second, share } = mix;
  const title = `${percent(1 - share)} ${name(first)}, ${percent(share)} ${name(second)}`;
  return [...columns, { title, asked: { label: first, other: second, share } }];
}

/** One image of the grid. */
export interface Cell {
  readonly row: number;
  readonly column: number;
  /** Number of the image in the set of the seed. */
  readonly index: number;
  /** What a person reads, such as `calico, row 1`. */
  readonly title: string;
  readonly job: ImageJob;
}

/**
 * Return the images of the grid, row by row.
 *
 * A row is a stream of noise, the same for each class; without classes each image has its own.
 */
export function cellsOf(settings: Settings, manifest: Manifest): Cell[] {
  const columns = columnsOf(settings, manifest);
  const { seed, rows } = settings;
  return Array.from({ length: rows }, (_, row) =>
    columns.map(({ title, asked }, column): Cell => {
      const index = manifest.classes.length ? row : row * columns.length + column;
      const noise = { from: { seed, index }, to: null, share: 0 };
      return {
        row,
        column,
        index,
        title: title ? `${title}, row ${row + 1}` : `image ${index}`,
        job: { noise, asked },
      };
    }),
  ).flat();
}

function only(label: number): ImageJob["asked"] {
  return { label, other: label, share: 0 };
}

export function percent(share: number): string {
  return `${Math.round(100 * share)}%`;
}
