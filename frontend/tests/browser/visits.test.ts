/** The first visit's size, and visits without a network. */

import {
  copyFileSync,
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { expect, inject, test } from "vitest";
import { phase, shownImages, visit } from "./support/browser";
import { tinyRun } from "./support/pages";
import { SITE } from "./support/places";
import { plainServer } from "./support/servers";
import { staged } from "./support/stage";

const OWN_JAVASCRIPT = 60e3;
const FIRST_VISIT = 5e6;

const stage = staged();

test("our own JavaScript is small", () => {
  const assets = readdirSync(join(SITE, "assets")).filter(
    (name) => name.endsWith(".js") && !name.startsWith("ort"),
  );
  const files = [join(SITE, "sw.js"), ...assets.map((name) => join(SITE, "assets", name))];
  const bytes = files.reduce((sum, file) => sum + gzipSync(readFileSync(file)).length, 0);
  expect(files.length).toBeGreaterThan(2);
  expect(bytes).toBeLessThan(OWN_JAVASCRIPT);
});

test("a first visit needs little more than the model, and nothing of another host", async () => {
  const hosts = new Set<string>();
  const page = await visit(stage.browser, "about:blank");
  page.context().on("request", (request) => hosts.add(new URL(request.url()).host));
  const before = stage.server.said().length;
  await page.goto(`${stage.server.url}unconditional/page/#rows=1&steps=1`);
  await phase(page, "done");
  const asked = Array.from(
    stage.server
      .said()
      .slice(before)
      .matchAll(/"GET (\/[^ ?]*)\S* HTTP\S* 200/g),
    ([, path]) => path!,
  );
  const files = asked.map((path) =>
    join(inject("pages"), decodeURIComponent(path), path.endsWith("/") ? "index.html" : ""),
  );
  const others = files.filter((file) => !file.endsWith(".onnx"));
  expect(files.length - others.length).toBe(1);
  expect(others.length).toBeGreaterThan(4);
  expect(others.reduce((sum, file) => sum + statSync(file).size, 0)).toBeLessThan(FIRST_VISIT);
  expect([...hosts].filter(Boolean)).toEqual([new URL(stage.server.url).host]);
  await page.context().close();
});

test("it works without a network after the first visit, with threads on any host", async () => {
  const own = await plainServer(tinyRun("own-guide").page);
  const context = await stage.browser.newContext();
  const page = await context.newPage();
  await page.goto(`${own.url}#rows=1&classes=0&steps=3`);
  // The page loads itself again once it can be isolated.
  await page.waitForFunction(() => crossOriginIsolated && document.body.dataset["phase"] === "done");
  const first = await shownImages(page);
  expect(await page.locator("#machine [data-backend=wasm-threads]").getAttribute("data-state")).not.toBe(
    "skipped",
  );

  await own.close();
  await context.setOffline(true);
  await page.reload();
  await phase(page, "done");
  expect(await shownImages(page)).toEqual(first);
  await context.close();
});

test("a newer page that is not there as a whole does not break visits without a network", async () => {
  const folder = mkdtempSync(join(tmpdir(), "nine-lives-"));
  cpSync(tinyRun("own-guide").page, folder, { recursive: true });
  const own = await plainServer(folder);
  const context = await stage.browser.newContext();
  const page = await context.newPage();
  await page.goto(`${own.url}#rows=1&classes=0&steps=3`);
  await page.waitForFunction(() => crossOriginIsolated && document.body.dataset["phase"] === "done");

  // As in an upload that has begun: the page is the newer one, and its service worker is not there yet.
  const index = readFileSync(join(folder, "index.html"), "utf-8");
  const [, script] = /assets\/(index-[\w-]+\.js)/.exec(index)!;
  copyFileSync(join(folder, "assets", script!), join(folder, "assets", "newer.js"));
  writeFileSync(join(folder, "index.html"), index.replace(script!, "newer.js"));
  await page.reload();
  await phase(page, "done");
  expect(await page.locator("script[src*=newer]").count()).toBe(1);

  await own.close();
  await context.setOffline(true);
  await page.reload();
  await phase(page, "done");
  expect(await page.locator("script[src*=newer]").count()).toBe(0);
  await context.close();
  rmSync(folder, { recursive: true });
});
