import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { Sha256 } from "../../src/model/sha256";

test.each([0, 1, 55, 56, 63, 64, 65, 119, 120, 1000])("the digest of %i bytes is node's", (length) => {
  const bytes = Uint8Array.from({ length }, (_, i) => (i * 31 + 7) & 255);
  expect(new Sha256().update(bytes).digest()).toBe(createHash("sha256").update(bytes).digest("hex"));
});

test("pieces give the digest of the whole", () => {
  const bytes = Uint8Array.from({ length: 1000 }, (_, i) => i & 255);
  const hash = new Sha256();
  for (const [from, to] of [
    [0, 3],
    [3, 3],
    [3, 64],
    [64, 777],
    [777, 1000],
  ] as const) {
    hash.update(bytes.subarray(from, to));
  }
  expect(hash.digest()).toBe(createHash("sha256").update(bytes).digest("hex"));
});
