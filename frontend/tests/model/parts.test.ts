import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { afterEach, expect, test, vi } from "vitest";
import { PageError } from "../../src/errors";
import { type Download, load } from "../../src/model/parts";
import { NO_STORE, type PartStore } from "../../src/model/store";

const CONTENT = Buffer.from("the weights of a model");
const FILE: Download = {
  name: "model/denoiser.onnx",
  url: "https://example.org/model/denoiser.onnx",
  bytes: CONTENT.length,
  sha256: createHash("sha256").update(CONTENT).digest("hex"),
};

/** Answer requests one after the other. */
function serve(...answers: (Uint8Array | number | Error)[]) {
  const fetched = vi.fn<typeof fetch>(() => {
    const answer = answers.shift()!;
    if (answer instanceof Error) return Promise.reject(answer);
    if (typeof answer === "number") return Promise.resolve(new Response("", { status: answer }));
    return Promise.resolve(new Response(new Uint8Array(answer)));
  });
  vi.stubGlobal("fetch", fetched);
  return fetched;
}

class Store implements PartStore {
  readonly kept = new Map<string, Blob>();

  get(sha256: string): Promise<Blob | undefined> {
    return Promise.resolve(this.kept.get(sha256));
  }

  put(sha256: string, content: Blob): Promise<void> {
    this.kept.set(sha256, content);
    return Promise.resolve();
  }

  keepOnly(): Promise<void> {
    return Promise.resolve();
  }
}

afterEach(() => {
  vi.unstubAllGlobals();
});

const textOf = async (content: Blob): Promise<string> => content.text();

test("a file is downloaded once, and then kept", async () => {
  const fetched = serve(CONTENT);
  const store = new Store();
  const seen: number[] = [];
  const first = await load(FILE, store, (bytes) => seen.push(bytes));
  expect(await textOf(first.content)).toBe(CONTENT.toString());
  expect(seen.at(-1)).toBe(FILE.bytes);
  const second = await load(FILE, store, () => undefined);
  expect(second.kept).toBe(true);
  expect(fetched).toHaveBeenCalledTimes(1);
});

test("what is compressed is unpacked, and its content is checked", async () => {
  serve(gzipSync(CONTENT));
  const { content } = await load(FILE, NO_STORE, () => undefined);
  expect(await textOf(content)).toBe(CONTENT.toString());
});

test.each([
  ["a damaged file", Buffer.from("the weights of a modem")],
  ["a lost connection", new TypeError("Failed to fetch")],
  ["a server's error", 503],
])("%s is tried again, past the browser's cache", async (_, failure) => {
  const fetched = serve(failure, CONTENT);
  const { content } = await load(FILE, NO_STORE, () => undefined);
  expect(await textOf(content)).toBe(CONTENT.toString());
  expect(fetched.mock.calls[1]![1]).toMatchObject({ cache: "reload" });
});

test.each([
  ["is damaged", Buffer.from("x"), /damaged: its SHA-256/],
  ["is not there", 404, /answered 404/],
  ["cannot be reached", new TypeError("Failed to fetch"), /could not be downloaded/],
])("a file that %s twice is a sentence", async (_, failure, message) => {
  serve(failure, failure);
  const loading = load(FILE, NO_STORE, () => undefined);
  await expect(loading).rejects.toBeInstanceOf(PageError);
  await expect(loading).rejects.toThrow(message);
});

test("a kept file that was damaged is downloaded again", async () => {
  const store = new Store();
  store.kept.set(FILE.sha256, new Blob(["something else"]));
  serve(CONTENT);
  const { content, kept } = await load(FILE, store, () => undefined);
  expect(kept).toBe(false);
  expect(await textOf(content)).toBe(CONTENT.toString());
});

test("without crypto.subtle it is checked all the same", async () => {
  vi.stubGlobal("crypto", {});
  serve(Buffer.from("x"), CONTENT);
  expect((await load(FILE, NO_STORE, () => undefined)).kept).toBe(false);
});
