import { describe, expect, it } from "vitest";

import { toPixels, toRgba } from "../../src/diffusion";
import { golden } from "../helpers/golden";

describe("toPixels", () => {
  it("maps the range of images to bytes and clips what is outside", () => {
    expect([...toPixels(Float32Array.of(-2, -1, 0.5, 1, 7, NaN))]).toEqual([0, 0, 191, 255, 255, 0]);
  });

  it("gives Python's pixels, of which many lie in the middle between two", () => {
    for (const record of golden("pixels") as { values: number[]; pixels: number[] }[]) {
      expect([...toPixels(Float32Array.from(record.values))]).toEqual(record.pixels);
    }
  });

  it("rounds half to even", () => {
    expect([...toPixels(Float32Array.of(-1 + 1 / 255, 0))]).toEqual([0, 128]);
  });
});

describe("toRgba", () => {
  it("puts the channels of each pixel together", () => {
    expect([...toRgba(Float32Array.of(-1, 1, 1, -1, 0, 1))]).toEqual([0, 255, 128, 255, 255, 0, 255, 255]);
  });
});
