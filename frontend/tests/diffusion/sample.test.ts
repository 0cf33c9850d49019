import { describe, expect, it } from "vitest";

import {
  brokenImages,
  DEFAULTS,
  evaluations,
  imageNoise,
  mixed,
  networkEvaluations,
  readSampling,
  sample,
  sigmas,
  type Step,
} from "../../src/diffusion";
import { golden, largestDifference } from "../helpers/golden";
import { noting, toy } from "../helpers/toy";

const PER_IMAGE = 12;
/** Two units in the last place of a float32 near 1. */
const ULPS = 2 * 2 ** -23;

interface Sample {
  settings: Record<string, unknown>;
  nfe: number;
  sigmas: number[];
  images: number[];
}

const noise = () => imageNoise(4, [0, 9], PER_IMAGE);

describe("sigmas", () => {
  it("are Python's", () => {
    for (const record of golden("schedules") as { settings: unknown; sigmas: number[] }[]) {
      const levels = sigmas(readSampling(record.settings));
      expect(levels.length).toBe(record.sigmas.length);
      record.sigmas.forEach((sigma, i) => {
        expect(Math.abs(levels[i]! - sigma)).toBeLessThanOrEqual(1e-12 * sigma);
      });
    }
  });
});

describe("sample", () => {
  for (const record of golden("samples") as Sample[]) {
    const settings = readSampling(record.settings);
    const { sampler, steps, schedule, guidance, threshold } = settings;
    it(`makes Python's images: ${sampler}, ${steps} ${schedule} steps, ${guidance}, ${threshold}`, async () => {
      const seen: Step[] = [];
      const strong = toy(1, PER_IMAGE);
      const images = await sample(settings, strong, toy(0.5, PER_IMAGE), noise(), (step) => {
        seen.push(step);
      });
      expect(largestDifference(images, Float32Array.from(record.images))).toBeLessThanOrEqual(ULPS);
      expect(
        largestDifference(
          record.sigmas,
          seen.map((step) => step.sigma),
        ),
      ).toBeLessThan(1e-7);
      expect(seen.map((step) => step.evaluation)).toEqual([...seen.keys()]);
      expect(evaluations(settings)).toBe(seen.length);
      expect(networkEvaluations(settings)).toBe(record.nfe);
    });
  }

  it("ends where it is told to, before the next evaluation", async () => {
    const control = new AbortController();
    const levels: number[] = [];
    const images = sample(
      { ...DEFAULTS, steps: 9 },
      noting(toy(1, PER_IMAGE), levels),
      null,
      noise(),
      ({ evaluation }) => {
        if (evaluation === 3) control.abort(new Error("enough"));
      },
      control.signal,
    );
    await expect(images).rejects.toThrow("enough");
    expect(levels.length).toBe(4);
  });

  it("awaits the watcher", async () => {
    let waited = 0;
    await sample({ ...DEFAULTS, steps: 3 }, toy(1, PER_IMAGE), null, noise(), async () => {
      await new Promise((done) => setTimeout(done));
      waited += 1;
    });
    expect(waited).toBe(3);
  });

  it("evaluates the weak denoiser where guidance acts alone", async () => {
    const levels: number[] = [];
    const settings = { ...DEFAULTS, steps: 9, guidance: 2, guidance_interval: [0.5, 10] as const };
    await sample(settings, toy(1, PER_IMAGE), noting(toy(0.5, PER_IMAGE), levels), noise());
    expect(levels).toEqual(
      sigmas(settings)
        .map(Math.fround)
        .filter((sigma) => 0.5 < sigma && sigma <= 10),
    );
  });

  it("refuses guidance away from nothing", async () => {
    const images = sample({ ...DEFAULTS, guidance: 2 }, toy(1, PER_IMAGE), null, noise());
    await expect(images).rejects.toThrow("guidance 2 needs a weaker denoiser");
  });
});

describe("mixed", () => {
  it("is one of both at the ends, and each image's own mix between", async () => {
    const [one, other] = [toy(1, PER_IMAGE), toy(-1, PER_IMAGE)];
    expect(mixed(one, other, [0, 0])).toBe(one);
    expect(mixed(one, other, [1, 1])).toBe(other);
    const x = noise()();
    const [first, second, both] = [
      await one(x, 1),
      await other(x, 1),
      await mixed(one, other, [0, 0.25])(x, 1),
    ];
    const wanted = first.map((value, i) => (i < PER_IMAGE ? value : 0.75 * value + 0.25 * second[i]!));
    expect(largestDifference(both, wanted)).toBeLessThan(1e-6);
  });
});

describe("brokenImages", () => {
  it("names the images with values that are not finite", () => {
    expect(brokenImages(Float32Array.of(0, 1, NaN, 1, 2, -Infinity), 2)).toEqual([1, 2]);
  });
});
