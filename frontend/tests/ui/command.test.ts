import { expect, test } from "vitest";
import { gridCommand, imageCommand } from "../../src/ui/command";
import { changed } from "../../src/ui/link";
import { cellsOf, ownSettings } from "../../src/ui/settings";
import { exampleManifest } from "../model/example";

const manifest = exampleManifest({ classes: ["calico", "a, b's", "tabby"] });
const own = ownSettings(manifest);

test("the run's own settings need no options", () => {
  expect(gridCommand(own, manifest)).toBe("ninelives sample runs/cats --classes --seed 0");
});

test("what differs is an option", () => {
  const sampling = changed(own.sampling, {
    steps: 3,
    sigma_min: 0.1,
    guidance_interval: [0.5, null],
    schedule: "flow",
  });
  expect(gridCommand({ ...own, seed: 7, sampling }, manifest)).toBe(
    "ninelives sample runs/cats --classes --seed 7 --steps 3 --schedule flow --sigma-min 0.1 --interval 0.5 inf",
  );
});

test("an image is the last of its set", () => {
  const cell = cellsOf(own, manifest)[4]!;
  expect(imageCommand(cell, own.sampling, manifest)).toBe(
    `ninelives sample runs/cats '--labels="a, b'"'"'s"' --n 2 --seed 0`,
  );
});

test("a mix has no command, nor has a setting without an option", () => {
  const mixed = { ...own, classes: [0], mix: { first: 0, second: 1, share: 0.5 } };
  expect(imageCommand(cellsOf(mixed, manifest)[1]!, own.sampling, manifest)).toBeNull();
  expect(gridCommand({ ...own, sampling: changed(own.sampling, { sigma_max: 50 }) }, manifest)).toBeNull();
});

test("where nothing guides there are no options of guidance", () => {
  const sampling = changed(own.sampling, { guidance: 1, guidance_interval: [1, 2] });
  expect(gridCommand({ ...own, sampling }, manifest)).toBe(
    "ninelives sample runs/cats --classes --seed 0 --guidance 1",
  );
});

test("guidance that the run has not is by label, as on the page", () => {
  const unguided = exampleManifest({ sampling: { guidance: 1 } });
  const settings = ownSettings(unguided);
  expect(
    gridCommand({ ...settings, sampling: changed(settings.sampling, { guidance: 3 }) }, unguided),
  ).toMatch(/--guidance 3 --guide-length 0$/);
});

test("without classes the images are numbered", () => {
  const plain = exampleManifest({ classes: [], null_label: null });
  const settings = ownSettings(plain);
  expect(gridCommand(settings, plain)).toBe("ninelives sample runs/cats --n 18 --seed 0");
  expect(imageCommand(cellsOf(settings, plain)[4]!, settings.sampling, plain)).toBe(
    "ninelives sample runs/cats --n 5 --seed 0",
  );
});
