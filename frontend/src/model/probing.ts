/** Which backend computes: each is tried with a known input, and the fastest that gives the known answer is taken. */

import { messageOf } from "../errors";
import type { BackendName, ProbeResult } from "../worker/protocol";
import { BACKENDS } from "./backends";

/** Largest difference from the known answer that is right, on [-1, 1]: an eighth of a level of 255. */
export const TOLERANCE = 1e-3;

/** What became of a backend. */
export interface Verdict {
  readonly backend: BackendName;
  readonly state: "skipped" | "waiting" | "trying" | "right" | "chosen" | "left";
  /** Why it was left, or null. */
  readonly reason: string | null;
  /** Milliseconds per evaluation of the network, where it was measured. */
  readonly milliseconds: number | null;
  /** Largest difference from the known answer, where there was one. */
  readonly difference: number | null;
}

/** An open backend. */
export interface Opened {
  probe(): Promise<ProbeResult>;
  close(): void;
}

/** What probing needs of the world. */
export interface Bench<T extends Opened> {
  /** Return why a backend cannot be tried; null where it can. */
  unavailable(backend: BackendName): Promise<string | null>;
  open(backend: BackendName): Promise<T>;
  /** Told each time a verdict changes. */
  report(verdicts: readonly Verdict[]): void;
}

/** Return the verdicts before anything was tried; where one is asked for, the others are skipped. */
export function firstVerdicts(asked: BackendName | null): Verdict[] {
  return BACKENDS.map((backend) => ({
    backend,
    ...(asked === null || asked === backend
      ? ({ state: "waiting", reason: null } as const)
      : ({ state: "skipped", reason: "the address asks for another" } as const)),
    milliseconds: null,
    difference: null,
  }));
}

function left(reason: string): { state: "left"; reason: string } {
  return { state: "left", reason };
}

/** Return why an answer is not right; null where it is. */
export function wrongBecause({ difference }: ProbeResult): string | null {
  if (Number.isNaN(difference)) return "its answer to the known input has values that are not finite";
  if (difference <= TOLERANCE) return null;
  return `its answer to the known input is wrong by ${difference.toPrecision(2)}`;
}

/**
 * Try the backends that wait, one after the other, and take the fastest right one.
 *
 * Fastest, not first: for a small network WebGPU's start of each kernel can cost more than the arithmetic, so
 * that WebAssembly wins, and only a measurement here says so. At most two are open at a time.
 *
 * @param verdicts - Changed in place.
 * @returns The open backend; null where none was right.
 */
export async function chooseBackend<T extends Opened>(
  verdicts: Verdict[],
  bench: Bench<T>,
): Promise<T | null> {
  let best: { opened: T; at: number; milliseconds: number } | null = null;
  const set = (at: number, change: Partial<Verdict>): void => {
    verdicts[at] = { ...verdicts[at]!, ...change };
    bench.report([...verdicts]);
  };
  for (let at = 0; at < verdicts.length; at++) {
    const { backend, state } = verdicts[at]!;
    if (state !== "waiting") continue;
    set(at, { state: "trying" });
    const reason = await bench.unavailable(backend);
    if (reason !== null) {
      set(at, left(reason));
      continue;
    }
    const tried = await attempt(backend, bench);
    if ("failure" in tried) {
      set(at, { ...left(tried.failure), difference: tried.result?.difference ?? null });
      continue;
    }
    const { milliseconds, difference } = tried.result;
    set(at, { state: "right", milliseconds, difference });
    if (best && best.milliseconds <= milliseconds) {
      tried.opened.close();
      continue;
    }
    best?.opened.close();
    best = { opened: tried.opened, at, milliseconds };
  }
  if (!best) return null;
  for (const [at, { state }] of verdicts.entries()) {
    if (at === best.at) set(at, { state: "chosen" });
    else if (state === "right") set(at, { state: "right", reason: "but slower" });
  }
  return best.opened;
}

type Attempt<T> = { opened: T; result: ProbeResult } | { failure: string; result?: ProbeResult };

async function attempt<T extends Opened>(backend: BackendName, bench: Bench<T>): Promise<Attempt<T>> {
  let opened: T | undefined;
  try {
    opened = await bench.open(backend);
    const result = await opened.probe();
    const failure = wrongBecause(result);
    if (failure === null) return { opened, result };
    opened.close();
    return { failure, result };
  } catch (error) {
    opened?.close();
    return { failure: `it failed: ${messageOf(error)}` };
  }
}

/** After a failure: the failed backend is left, those that were right or skipped wait again. */
export function withoutFailed(verdicts: readonly Verdict[], failed: BackendName, reason: string): Verdict[] {
  return verdicts.map((each) => {
    if (each.backend === failed) return { ...each, ...left(reason) };
    return each.state === "right" || each.state === "skipped"
      ? { ...each, state: "waiting", reason: null }
      : each;
  });
}
