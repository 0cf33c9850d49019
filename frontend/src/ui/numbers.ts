/** Numbers for people. */

/** Return bytes in MB. */
export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/** Return a duration. */
export function duration(milliseconds: number): string {
  if (milliseconds < 100) return `${milliseconds.toFixed(1)} ms`;
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  const seconds = milliseconds / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

/** Return a whole number with its thousands. */
export function grouped(value: number): string {
  return value.toLocaleString("en-US");
}

/** Return a noise level. */
export function level(sigma: number): string {
  return sigma === 0 ? "0" : Number(sigma.toPrecision(3)).toString();
}

/** Return how many of something there are. */
export function counted(count: number, noun: string): string {
  return `${grouped(count)} ${noun}${count === 1 ? "" : "s"}`;
}
