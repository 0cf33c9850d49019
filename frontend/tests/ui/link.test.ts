import { expect, test } from "vitest";
import { changed, hashOf, modelOf, settingsOf } from "../../src/ui/link";
import { cellsOf, columnsOf, ownSettings, type Settings } from "../../src/ui/settings";
import { exampleManifest } from "../model/example";

const manifest = exampleManifest();

const settings: Settings = {
  seed: 123456789012,
  rows: 5,
  classes: [2, 0],
  mix: { first: 0, second: 2, share: 0.35 },
  sampling: changed(manifest.sampling, {
    sampler: "unipc",
    schedule: "flow",
    steps: 11,
    guidance: 1.7,
    guidance_interval: [0.3, 5],
    sigma_max: 70,
    sigma_min: 30,
    threshold: "dynamic",
    percentile: 0.9,
    shift: 2.5,
  }),
};

test("settings come back from their link", () => {
  expect(settingsOf(hashOf(settings, manifest), manifest)).toEqual({ settings, notes: [] });
  const own = ownSettings(manifest);
  expect(settingsOf(hashOf(own, manifest), manifest)).toEqual({ settings: own, notes: [] });
});

test("the order of a link's values does not matter", () => {
  const entries = hashOf(settings, manifest).slice(1).split("&").reverse();
  expect(settingsOf(`#${entries.join("&")}`, manifest).settings).toEqual(settings);
});

test("an empty link is the run's own settings", () => {
  for (const hash of ["", "#", "#&&"]) {
    expect(settingsOf(hash, manifest)).toEqual({ settings: ownSettings(manifest), notes: [] });
  }
});

test.each([
  "seed=-1",
  "seed=1.5",
  "seed=1e3",
  "seed=99999999999999999999",
  "seed",
  "steps=0",
  "steps=1000000",
  "rows=400",
  "guidance=NaN",
  "guidance=Infinity",
  "guidance=%ZZ",
  "sampler=magic",
  "sampler=__proto__",
  "schedule=constructor",
  "interval=3",
  "interval=5,1",
  "interval=1,2,3",
  "sigma_min=50",
  "classes=7",
  "classes=",
  "mix=0,1",
  "mix=0,9,0.5",
  "mix=0,1,2",
  "model=00000000",
  "__proto__=1",
  "<img src=x>=1",
])("%s is ignored, with a note", (entry) => {
  const { settings: found, notes } = settingsOf(`#seed=3&${entry}`, manifest);
  expect(found).toEqual({ ...ownSettings(manifest), seed: 3 });
  expect(notes).toHaveLength(1);
});

test("the model's own link has no note", () => {
  expect(settingsOf(`#model=${modelOf(manifest)}`, manifest).notes).toEqual([]);
});

test("a model that cannot be guided is not", () => {
  const unguided = exampleManifest({ label_guidance: false, sampling: { guidance: 1 } });
  expect(settingsOf("#guidance=3", unguided).notes).toHaveLength(1);
  expect(settingsOf("#guidance=1", unguided).notes).toEqual([]);
});

test("a row of the grid is one stream of noise for all columns", () => {
  const cells = cellsOf(settings, manifest);
  expect(columnsOf(settings, manifest).map(({ title }) => title)).toEqual([
    "tabby",
    "calico",
    "65% calico, 35% tabby",
  ]);
  expect(cells.map(({ index }) => index)).toEqual([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]);
  expect(cells[2]!.job.asked).toEqual({ label: 0, other: 2, share: 0.35 });
});

test("without classes each image has a stream of its own", () => {
  const plain = exampleManifest({ classes: [], null_label: null });
  const indices = cellsOf(ownSettings(plain), plain).map(({ index }) => index);
  expect(indices).toEqual(Array.from({ length: 18 }, (_, i) => i));
});
