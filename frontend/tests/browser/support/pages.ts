/** What `tests/helpers/drawing_pages.py` has written. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { inject } from "vitest";

/** An image as `ninelives sample` has made it. */
export interface Expected {
  readonly label: number;
  readonly index: number;
  /** Pixels, row by row, in base64. */
  readonly rgb: string;
}

/** Images by the settings of a link. */
export interface Asked {
  readonly link: string;
  readonly images: readonly Expected[];
}

export interface TinyRun {
  /** The run directory. */
  readonly run: string;
  /** The folder of its page. */
  readonly page: string;
  readonly classes: readonly string[];
  readonly asked: readonly Asked[];
}

export type RunName = "own-guide" | "by-label" | "unconditional";
export const RUNS: readonly RunName[] = ["own-guide", "by-label", "unconditional"];

/** Return what is known of a run. */
export function tinyRun(name: RunName): TinyRun {
  const told = JSON.parse(readFileSync(join(inject("pages"), "pages.json"), "utf-8")) as Record<
    RunName,
    TinyRun
  >;
  return told[name];
}
