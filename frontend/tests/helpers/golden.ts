import { readFileSync } from "node:fs";

/**
 * Reads what Python computes; `make golden` writes it.
 *
 * @param name - The file's name without its ending.
 */
export function golden(name: string): unknown {
  return JSON.parse(readFileSync(new URL(`../golden/${name}.json`, import.meta.url), "utf-8"));
}

/** The largest difference between two arrays; of those above 1 the relative one; infinite if lengths differ. */
export function largestDifference(one: ArrayLike<number>, other: ArrayLike<number>): number {
  if (one.length !== other.length) return Infinity;
  const differences = Array.from(one, (value, i) => {
    const difference = Math.abs(value - other[i]!);
    return Number.isNaN(difference) ? Infinity : difference / Math.max(1, Math.abs(value));
  });
  return Math.max(0, ...differences);
}
