/** What goes wrong is a sentence on the page, with what to do. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Page, Route } from "playwright-core";
import { expect, test } from "vitest";
import { follow, phase, problem } from "./support/browser";
import { tinyRun } from "./support/pages";
import { staged } from "./support/stage";

const stage = staged();
const folder = tinyRun("own-guide").page;

/** Open the page where some files are answered in another way. */
async function opened(pattern: string, answer: (route: Route) => Promise<void>): Promise<Page> {
  const context = await stage.browser.newContext({ serviceWorkers: "block" });
  await context.route(pattern, answer);
  const page = await context.newPage();
  await page.goto(`${stage.server.url}own-guide/page/#rows=1&classes=0&steps=2`);
  return page;
}

function manifest(change: Record<string, unknown>): (route: Route) => Promise<void> {
  const told = JSON.parse(readFileSync(join(folder, "model.json"), "utf-8")) as Record<string, unknown>;
  return (route) => route.fulfill({ json: { ...told, ...change } });
}

function damaged(change: (bytes: Buffer) => Buffer): (route: Route) => Promise<void> {
  const bytes = readFileSync(join(folder, "model/denoiser.onnx"));
  return (route) => route.fulfill({ body: change(bytes) });
}

function flipped(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  copy[copy.length >> 1]! ^= 1;
  return copy;
}

const absent = (route: Route): Promise<void> => route.fulfill({ status: 404, body: "nothing" });

test.each([
  ["no model.json", "**/model.json", absent, /no model here.*ninelives page/],
  ["another version", "**/model.json", manifest({ format_version: 99 }), /version/],
  ["no JSON", "**/model.json", (route: Route) => route.fulfill({ body: "<!doctype html>" }), /model\.json/],
  ["a manifest without images", "**/model.json", manifest({ image: null }), /image/],
  ["no model file", "**/denoiser.onnx", absent, /denoiser\.onnx is not there.*404.*Upload/],
  ["a wrong byte", "**/denoiser.onnx", damaged(flipped), /denoiser\.onnx is damaged.*SHA-256.*Reload/],
  [
    "a truncated file",
    "**/denoiser.onnx",
    damaged((bytes) => bytes.subarray(0, 999)),
    /denoiser\.onnx is damaged/,
  ],
  ["no guide", "**/guide.onnx", absent, /guide\.onnx is not there/],
  ["no runtime", "**/*.wasm*", absent, /not there.*assets/],
  [
    "a lost connection",
    "**/denoiser.onnx",
    (route: Route) => route.abort(),
    /could not be downloaded.*connection/,
  ],
])("%s", async (_, pattern, answer, sentence) => {
  const page = await opened(pattern, answer);
  await phase(page, "failed");
  expect(await problem(page)).toMatch(sentence);
  expect(await page.getByRole("alert").isVisible()).toBe(true);
  await page.context().close();
});

test("what is still being loaded does not hide a failure", async () => {
  const context = await stage.browser.newContext({ serviceWorkers: "block" });
  const page = await context.newPage();
  const runtime = "**/*.wasm*";
  await context.route("**/denoiser.onnx", absent);
  await context.route(runtime, async (route) => {
    await phase(page, "failed");
    await route.continue();
  });
  const loaded = page.waitForEvent("requestfinished", (request) => request.url().includes(".wasm"));
  await page.goto(`${stage.server.url}own-guide/page/#rows=1&classes=0&steps=2`);
  await loaded;
  await page.waitForLoadState("networkidle");
  expect(await page.locator("#status").textContent()).toBe("It did not work.");
  expect(await page.locator("#progress").isVisible()).toBe(false);
  await context.close();
});

test("a backend that gives a wrong answer is not used", async () => {
  const { probe } = JSON.parse(readFileSync(join(folder, "model.json"), "utf-8")) as {
    probe: { x: string; denoised: string };
  };
  const page = await opened("**/model.json", manifest({ probe: { ...probe, denoised: probe.x } }));
  await phase(page, "failed");
  expect(await problem(page)).toMatch(/cannot be computed in this browser.*one thread/);
  await page.context().close();
});

test("names are text, whatever they hold", async () => {
  const { classes } = tinyRun("own-guide");
  const title = '<script>window.hacked = 1</script><img src=x onerror="window.hacked = 1">';
  const page = await opened("**/model.json", manifest({ title, run: title, weights: title }));
  await phase(page, "done");
  await follow(page, `${stage.server.url}own-guide/page/#rows=1&steps=2&seed=1`);
  await phase(page, "done");
  expect(await page.locator("h1").textContent()).toBe(title);
  expect(await page.locator("#grid [role=columnheader]").allTextContents()).toEqual([...classes].sort());
  await page.locator("#grid [role=gridcell]").nth(0).click();
  await page.locator("#film").waitFor();
  expect(await page.evaluate(() => "hacked" in window)).toBe(false);
  expect(await page.locator("img[src=x], header script, main script").count()).toBe(0);
  await page.context().close();
});
