import { expect, test } from "vitest";
import {
  type Bench,
  chooseBackend,
  firstVerdicts,
  type Opened,
  type Verdict,
  withoutFailed,
} from "../../src/model/probing";
import type { BackendName, ProbeResult } from "../../src/worker/protocol";

/** What a backend does: its answer, or why it fails. */
type World = Partial<Record<BackendName, ProbeResult | string>>;

class Fake implements Opened {
  closed = false;

  constructor(
    readonly name: BackendName,
    private readonly result: ProbeResult | string,
  ) {}

  probe(): Promise<ProbeResult> {
    if (typeof this.result === "string") return Promise.reject(new Error(this.result));
    return Promise.resolve(this.result);
  }

  close(): void {
    this.closed = true;
  }
}

class FakeBench implements Bench<Fake> {
  readonly opened: Fake[] = [];
  readonly reports: (readonly Verdict[])[] = [];

  constructor(private readonly world: World) {}

  unavailable(backend: BackendName): Promise<string | null> {
    return Promise.resolve(this.world[backend] === undefined ? "it is not there" : null);
  }

  open(backend: BackendName): Promise<Fake> {
    const fake = new Fake(backend, this.world[backend]!);
    this.opened.push(fake);
    return Promise.resolve(fake);
  }

  report(verdicts: readonly Verdict[]): void {
    this.reports.push(verdicts);
  }
}

const RIGHT = { difference: 1e-5, milliseconds: 10 };

async function choose(world: World, asked: BackendName | null = null) {
  const bench = new FakeBench(world);
  const verdicts = firstVerdicts(asked);
  const chosen = await chooseBackend(verdicts, bench);
  const of = (name: BackendName) => verdicts.find(({ backend }) => backend === name)!;
  return { bench, verdicts, chosen, of };
}

test("the fastest right one is taken, and the others are closed", async () => {
  const { bench, chosen, of } = await choose({
    wasm: { ...RIGHT, milliseconds: 30 },
    "wasm-threads": RIGHT,
    webgpu: { ...RIGHT, milliseconds: 12 },
  });
  expect(chosen?.name).toBe("wasm-threads");
  expect(of("wasm-threads").state).toBe("chosen");
  expect(of("webgpu")).toMatchObject({ state: "right", reason: "but slower", milliseconds: 12 });
  expect(bench.opened.filter(({ closed }) => !closed)).toEqual([chosen]);
});

test.each([
  ["wrong", { difference: 0.01, milliseconds: 1 }, /wrong by 0\.010/],
  ["not finite", { difference: NaN, milliseconds: 1 }, /not finite/],
  ["a failure", "no kernel", /no kernel/],
])("a fast one whose answer is %s is left, with the reason", async (_, result, reason) => {
  const { bench, chosen, of } = await choose({ wasm: RIGHT, webgpu: result });
  expect(chosen?.name).toBe("wasm");
  expect(of("webgpu").state).toBe("left");
  expect(of("webgpu").reason).toMatch(reason);
  expect(bench.opened.find(({ name }) => name === "webgpu")!.closed).toBe(true);
});

test("one that is asked for is tried alone", async () => {
  const { bench, chosen, of } = await choose(
    { wasm: RIGHT, webgpu: { ...RIGHT, milliseconds: 99 } },
    "webgpu",
  );
  expect(chosen?.name).toBe("webgpu");
  expect(bench.opened).toHaveLength(1);
  expect(of("wasm").state).toBe("skipped");
});

test("without a right one there is none", async () => {
  const { chosen, verdicts } = await choose({ wasm: "too little memory" });
  expect(chosen).toBeNull();
  expect(verdicts.every(({ state }) => state === "left")).toBe(true);
});

test("after a failure the others are tried, also those that were not asked for", async () => {
  const { verdicts } = await choose({ wasm: RIGHT, webgpu: RIGHT }, "webgpu");
  const bench = new FakeBench({ wasm: RIGHT, webgpu: RIGHT });
  const again = withoutFailed(verdicts, "webgpu", "it lost its GPU device");
  const chosen = await chooseBackend(again, bench);
  expect(chosen?.name).toBe("wasm");
  expect(again.find(({ backend }) => backend === "webgpu")).toMatchObject({
    state: "left",
    reason: "it lost its GPU device",
  });
});
