/** Where things are: the repository, its Python, Chromium. */

import { accessSync, constants, existsSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";

export const REPOSITORY = resolve(import.meta.dirname, "../../../..");
export const SITE = join(REPOSITORY, "lightning_modules/page/site");

/** Names of the programs, by how likely it is that playwright-core's protocol fits them. */
const BROWSERS = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome"];
const ELSEWHERE = [
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/** Return the program of Chromium: what the variable CHROMIUM names, or the first that is found; null without one. */
export function findChromium(): string | null {
  const named = process.env["CHROMIUM"];
  if (named) return named;
  const folders = [
    ...(process.env["PATH"] ?? "").split(delimiter),
    "/usr/bin",
    "/usr/local/bin",
    "/snap/bin",
  ];
  const places = BROWSERS.flatMap((name) => folders.filter(Boolean).map((folder) => join(folder, name)));
  return [...places, ...ELSEWHERE].find(executable) ?? null;
}

/** Return the Python that has the project: what the variable NINELIVES_PYTHON names, that of `.venv`, or the shell's. */
export function findPython(): string {
  const own = join(REPOSITORY, ".venv/bin/python");
  return process.env["NINELIVES_PYTHON"] ?? (existsSync(own) ? own : "python3");
}

function executable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
