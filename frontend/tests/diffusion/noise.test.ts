import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";

import { imageNoise, interpolatedNoise, slerp } from "../../src/diffusion";
import { fold, Stream } from "../../src/diffusion/random/seeds";
import { golden, largestDifference } from "../helpers/golden";

const PER_IMAGE = 12;
/** Numbers beyond come from the tail, by a logarithm that C libraries round differently. */
const TAIL = 3.65;

interface Draws {
  seed: string;
  indices: number[];
  draws: number[][];
}

interface Long {
  seed: string;
  indices: number[];
  count: number;
  inside: number;
  sha256: string;
}

const records = golden("noise") as (Draws | Long)[];

describe("fold", () => {
  it("derives Python's seeds", () => {
    for (const record of golden("folds") as { seed: string; index: string; folded: string }[]) {
      expect(fold(BigInt(record.seed), Stream.IMAGE, BigInt(record.index))).toBe(BigInt(record.folded));
    }
  });

  it("takes a number for a bigint, and refuses what is no seed", () => {
    expect(fold(7, Stream.IMAGE, 3)).toBe(fold(7n, Stream.IMAGE, 3n));
    for (const seed of [-1, 0.5, NaN, 2 ** 53, -1n, 2n ** 64n]) {
      expect(() => fold(seed, Stream.IMAGE, 0)).toThrow(RangeError);
    }
  });
});

describe("imageNoise", () => {
  it("draws Python's numbers, bit for bit, one draw after another", () => {
    for (const record of records.filter((each) => "draws" in each)) {
      const noise = imageNoise(BigInt(record.seed), record.indices, PER_IMAGE);
      for (const draw of record.draws) expect([...noise()]).toEqual([...Float32Array.from(draw)]);
    }
  });

  it("draws them bit for bit in a long stream", () => {
    for (const record of records.filter((each) => "sha256" in each)) {
      const draw = imageNoise(BigInt(record.seed), record.indices, record.count)();
      const inside = draw.filter((value) => Math.abs(value) < Math.fround(TAIL));
      expect(inside.length).toBe(record.inside);
      expect(createHash("sha256").update(inside).digest("hex")).toBe(record.sha256);
      const beyond = draw.filter((value) => Math.abs(value) >= 3.7);
      expect(beyond.length).toBeGreaterThan(0);
      expect(beyond.every((value) => Math.abs(value) < 6)).toBe(true);
    }
  });

  it("gives an image the same noise in any batch", () => {
    const [both, alone] = [imageNoise(0, [4, 5], PER_IMAGE)(), imageNoise(0, [5], PER_IMAGE)()];
    expect([...both.subarray(PER_IMAGE)]).toEqual([...alone]);
  });
});

describe("interpolatedNoise", () => {
  it("goes Python's way from one image's noise to another's", () => {
    type Interpolation = { seed: string; first: number; second: number; shares: number[]; draws: number[][] };
    for (const record of golden("interpolations") as Interpolation[]) {
      const ends = [record.first, record.second].map((index) =>
        imageNoise(
          BigInt(record.seed),
          record.shares.map(() => index),
          PER_IMAGE,
        ),
      );
      const noise = interpolatedNoise(ends[0]!, ends[1]!, record.shares);
      expect(noise.perImage).toBe(PER_IMAGE);
      for (const draw of record.draws) expect(largestDifference(noise(), draw)).toBeLessThan(1e-6);
    }
  });

  it("stays where both ends are the same", () => {
    const same = imageNoise(0, [0], PER_IMAGE)();
    expect(largestDifference(slerp(same, same, [0.3], PER_IMAGE), same)).toBeLessThan(1e-6);
  });
});
