import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { describe, expect, it } from "vitest";

import { readSampling } from "../src/diffusion";
import { Model } from "../src/worker/denoiser";
import { sampleImage } from "../src/worker/task";
import { nodeRuntime } from "./helpers/node-runtime";

/** Images that Python has sampled, with what and from which network. */
interface Pictures {
  network: string;
  guide: string | null;
  shape: [number, number, number];
  null_label: number | null;
  labels: number[];
  seed: string;
  indices: number[];
  /** The image to whose noise they are `share` of the way; null where they are not. */
  toward: number | null;
  share: number;
  settings: unknown;
  /** Of each image (C, H, W), integers from 0 to 255. */
  pixels: number[][];
}

/** A folder with `pictures.json` of the same form; `python -m tests.frontend.parity` makes one of a run. */
const given = process.env["NINE_LIVES_PICTURES"];
const folder = given === undefined ? new URL("golden/", import.meta.url) : pathToFileURL(`${given}/`);
const records = JSON.parse(readFileSync(new URL("pictures.json", folder), "utf-8")) as Pictures[];

describe("sampleImage", () => {
  records.forEach((record, number) => {
    const { sampler, steps, guidance } = readSampling(record.settings);
    const name = `${record.network}, ${sampler}, ${steps} steps, guidance ${guidance}`;
    it(`gives the pixels of Python, up to 1 level of 255: ${name}`, { timeout: 600_000 }, async () => {
      const differences = await largestDifferences(record);
      if (given !== undefined) {
        writeFileSync(new URL(`differences-${number}.json`, folder), JSON.stringify(differences));
      }
      expect(Math.max(...differences)).toBeLessThanOrEqual(1);
    });
  });
});

/** The largest difference of a pixel in each image. */
async function largestDifferences(record: Pictures): Promise<number[]> {
  const part = (path: string): Blob => new Blob([new Uint8Array(readFileSync(new URL(path, folder)))]);
  const model = await Model.open(nodeRuntime(), {
    backend: "wasm",
    runtime: new Blob(),
    denoiser: part(record.network),
    guide: record.guide === null ? null : part(record.guide),
    shape: record.shape,
    nullLabel: record.null_label,
  });
  const settings = readSampling(record.settings);
  const { toward, share } = record;
  const seed = Number(record.seed);
  const differences: number[] = [];
  for (const [i, index] of record.indices.entries()) {
    const label = record.labels[i]!;
    const { pixels, finite } = await sampleImage({
      model,
      settings,
      image: {
        noise: { from: { seed, index }, to: toward === null ? null : { seed, index: toward }, share },
        asked: { label, other: label, share: 0 },
      },
      signal: new AbortController().signal,
      onFrame: () => undefined,
      pause: () => Promise.resolve(),
    });
    expect(finite).toBe(true);
    differences.push(largestDifference(pixels, record.pixels[i]!));
  }
  return differences;
}

/**
 * @param rgba - (H, W, 4).
 * @param planes - Red, green and blue, one after another.
 */
function largestDifference(rgba: Uint8ClampedArray, planes: readonly number[]): number {
  const size = rgba.length / 4;
  const differences = planes.map((value, i) =>
    Math.abs(value - rgba[4 * (i % size) + Math.floor(i / size)]!),
  );
  return Math.max(...differences);
}
