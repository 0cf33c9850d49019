import { expect, test } from "vitest";
import { type Browser, forcedBackend, unavailable } from "../../src/model/backends";

type Adapter = { info?: { isFallbackAdapter?: boolean } } | null;

function browser(change: Partial<Browser> = {}, adapter?: Adapter): Browser {
  return {
    crossOriginIsolated: true,
    hardwareConcurrency: 8,
    secure: true,
    gpu: adapter === undefined ? undefined : { requestAdapter: () => Promise.resolve(adapter) },
    ...change,
  };
}

test("WebAssembly with one thread can always be tried", async () => {
  expect(await unavailable("wasm", browser({ crossOriginIsolated: false }), false)).toBeNull();
});

test.each([
  ["an isolated page", {}, null],
  ["a page that is not isolated", { crossOriginIsolated: false }, /not isolated/],
  ["one core", { hardwareConcurrency: 1 }, /one processor core/],
])("threads on %s", async (_, change, reason) => {
  const found = await unavailable("wasm-threads", browser(change), false);
  if (reason === null) expect(found).toBeNull();
  else expect(found).toMatch(reason);
});

test.each([
  ["no WebGPU", undefined, false, /no WebGPU/],
  ["no adapter", null, false, /gives no GPU/],
  ["an emulated GPU", { info: { isFallbackAdapter: true } }, false, /emulated/],
  ["an emulated GPU that is asked for", { info: { isFallbackAdapter: true } }, true, null],
  ["a GPU", { info: {} }, false, null],
] as [string, Adapter | undefined, boolean, RegExp | null][])(
  "WebGPU with %s",
  async (_, adapter, forced, reason) => {
    const found = await unavailable("webgpu", browser({}, adapter), forced);
    if (reason === null) expect(found).toBeNull();
    else expect(found).toMatch(reason);
  },
);

test("a backend can be asked for by the address", () => {
  expect(forcedBackend("?backend=wasm-threads")).toEqual({ name: "wasm-threads", unknown: null });
  expect(forcedBackend("?backend=magic")).toEqual({ name: null, unknown: "magic" });
  expect(forcedBackend("")).toEqual({ name: null, unknown: null });
});
