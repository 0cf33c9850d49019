import { expect, test } from "vitest";
import { PageError } from "../../src/errors";
import { readManifest } from "../../src/model/manifest";
import { exampleManifest, plainManifest } from "./example";

test("a manifest is read", () => {
  const manifest = exampleManifest();
  expect(manifest.classes).toEqual(["calico", "ginger", "tabby"]);
  expect(manifest.sampling.sampler).toBe("heun");
  expect(manifest.sampling.guidance_interval).toEqual([0, Infinity]);
  expect([...manifest.probe.x]).toEqual([0.5, -0.5, 1, 0, 0.25, 2]);
  expect(manifest.guide).toBeNull();
});

test("a model of one class has no labels", () => {
  expect(exampleManifest({ classes: ["cat"] }).classes).toEqual([]);
});

test("an unconditional probe has no label", () => {
  const { probe } = plainManifest() as { probe: object };
  expect(
    exampleManifest({ classes: [], null_label: null, probe: { ...probe, label: null } }).nullLabel,
  ).toBeNull();
});

test("names stay what they are", () => {
  const name = "<img src=x onerror=alert(1)>";
  expect(exampleManifest({ title: name, classes: [name, "b"] }).classes[0]).toBe(name);
});

test.each([
  ["another version", { format_version: 2 }, /format 1.*format 2/],
  ["no version", { format_version: undefined }, /format 1.*none/],
  ["a name that is no text", { title: 3 }, /title is not a string/],
  ["a path outside", { denoiser: { path: "../x", bytes: 1, sha256: "ab".repeat(32) } }, /not a path inside/],
  [
    "an address",
    { denoiser: { path: "https://x/y", bytes: 1, sha256: "ab".repeat(32) } },
    /not a path inside/,
  ],
  ["no digest", { denoiser: { path: "x", bytes: 1, sha256: "abc" } }, /SHA-256 of x/],
  ["a probe of another size", { image: { channels: 3, height: 2, width: 2 } }, /probe\.x is not one image/],
  ["a setting out of range", { sampling: { steps: 0 } }, /steps/],
  ["an unknown sampler", { sampling: { sampler: "magic" } }, /sampler/],
])("%s is refused in a sentence", (_, change, message) => {
  expect(() => exampleManifest(change)).toThrow(PageError);
  expect(() => exampleManifest(change)).toThrow(message);
});

test("what is not JSON is refused", () => {
  expect(() => readManifest("<!doctype html>")).toThrow(PageError);
});
