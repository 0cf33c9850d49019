/** Before all tests: tiny runs, their pages and their images, written by Python. */

import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { findChromium, findPython, REPOSITORY, SITE } from "./places";

declare module "vitest" {
  export interface ProvidedContext {
    /** The folder that `tests/helpers/drawing_pages.py` has written. */
    pages: string;
    chromium: string;
  }
}

/** Names a folder to keep, so that a second run need not train again. */
const KEPT = process.env["NINELIVES_BROWSER_PAGES"];

export default function setup(project: TestProject): () => void {
  const chromium = findChromium();
  if (!chromium) throw new Error("there is no Chromium: install it, or name it with the variable CHROMIUM");
  if (!existsSync(join(SITE, "index.html"))) throw new Error("the page is not built: run `make frontend`");
  const folder = KEPT ?? mkdtempSync(join(tmpdir(), "ninelives-pages-"));
  if (!existsSync(join(folder, "pages.json"))) python("-m", "tests.helpers.drawing_pages", folder);
  project.provide("pages", folder);
  project.provide("chromium", chromium);
  return () => {
    if (KEPT === undefined) rmSync(folder, { recursive: true, force: true });
  };
}

function python(...args: string[]): void {
  const environment = { ...process.env, OMP_NUM_THREADS: "1" };
  const options = { cwd: REPOSITORY, env: environment, encoding: "utf-8" } as const;
  const { status, stdout, stderr, error } = spawnSync(findPython(), args, options);
  if (status !== 0)
    throw new Error(`python ${args.join(" ")} failed: ${error?.message ?? ""}\n${stdout}\n${stderr}`);
}
