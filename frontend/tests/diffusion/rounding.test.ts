import { describe, expect, it } from "vitest";

import { pixelOf } from "../../src/diffusion/rounding";

describe("pixelOf", () => {
  it("maps the range of images to bytes and clips what is outside", () => {
    expect([-2, -1, 0.5, 1, 7].map(pixelOf)).toEqual([0, 0, 191, 255, 255]);
  });
});
