import { expect, test } from "vitest";
import { jobBetween } from "../../src/ui/between";
import { spaced } from "../../src/ui/film";
import { cellsOf, ownSettings } from "../../src/ui/settings";
import { exampleManifest } from "../model/example";

const manifest = exampleManifest();
const cells = cellsOf({ ...ownSettings(manifest), mix: { first: 0, second: 1, share: 0.5 } }, manifest);
// Columns: calico, ginger, tabby, half calico and half ginger.
const [calico, ginger, tabby, half] = cells;
const below = cells[5]!;

test("noise and label go together from one image to another", () => {
  expect(jobBetween(calico!, below, 0.25)).toEqual({
    noise: { from: { seed: 0, index: 0 }, to: { seed: 0, index: 1 }, share: 0.25 },
    asked: { label: 0, other: 1, share: 0.25 },
  });
});

test("the ends are the images themselves", () => {
  expect(jobBetween(calico!, below, 0)?.asked).toEqual({ label: 0, other: 1, share: 0 });
  expect(jobBetween(calico!, below, 1)?.asked).toEqual({ label: 0, other: 1, share: 1 });
});

test("of one row the noise stays", () => {
  expect(jobBetween(calico!, ginger!, 0.5)?.noise).toEqual(calico!.job.noise);
});

test("a mix leads to its own classes, and to no third", () => {
  expect(jobBetween(half!, calico!, 0.5)?.asked).toEqual({ label: 0, other: 1, share: 0.25 });
  expect(jobBetween(half!, tabby!, 0.5)).toBeNull();
});

test("moments are spread evenly, with both ends", () => {
  expect(spaced(0, 5)).toEqual([]);
  expect(spaced(1, 5)).toEqual([0]);
  expect(spaced(3, 5)).toEqual([0, 1, 2]);
  expect(spaced(101, 5)).toEqual([0, 25, 50, 75, 100]);
});
