/** Evaluating a known input: is the answer right, and how long does it take? */

import type { Probe } from "../model/manifest";
import { type Model, Stopwatch } from "./denoiser";
import type { ProbeResult } from "./protocol";

const TIMED = 5;
const ENOUGH_MS = 1500;

/** Evaluate a known input once for the answer, then a few times for the time: the first compiles. */
export async function probeModel(model: Model, probe: Probe): Promise<ProbeResult> {
  const denoiser = model.denoiser({ label: probe.label, other: probe.label, share: 0 }, new Stopwatch());
  const answer = await denoiser(probe.x, probe.sigma);
  const times: number[] = [];
  const start = performance.now();
  while (times.length < TIMED && performance.now() - start < ENOUGH_MS) {
    const watch = new Stopwatch();
    await watch.time(() => denoiser(probe.x, probe.sigma));
    times.push(watch.milliseconds);
  }
  times.sort((a, b) => a - b);
  return {
    difference: largestDifference(answer, probe.denoised),
    milliseconds: times[Math.floor(times.length / 2)]!,
  };
}

/** Return how far two tensors are from each other at most; NaN where a value is not finite. */
export function largestDifference(answer: Float32Array, known: Float32Array): number {
  if (answer.length !== known.length) return NaN;
  let largest = 0;
  for (let i = 0; i < known.length; i++) {
    const difference = Math.abs(answer[i]! - known[i]!);
    if (Number.isNaN(difference)) return NaN;
    largest = Math.max(largest, difference);
  }
  return largest;
}
