/** The page's images are those of `ninelives sample`, to 1 level of 255, in each backend of a real Chromium. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { difference, follow, launch, phase, shownImages, withoutGpu } from "./support/browser";
import { RUNS, type TinyRun, tinyRun } from "./support/pages";
import { pageServer, plainServer, type Server } from "./support/servers";
import { staged } from "./support/stage";

/** Open a page at all links of a run, and compare what it shows with all that `ninelives sample` has made. */
async function compare(page: Page, url: string, run: TinyRun): Promise<void> {
  for (const { link, images } of run.asked) {
    await follow(page, `${url}#${link}`);
    await phase(page, "done");
    const shown = await shownImages(page);
    expect(shown, link).toHaveLength(images.length);
    for (const { label, index, rgb } of images) {
      // Columns are classes; without classes each image has a column of its own.
      const column = run.classes.length ? label : index;
      const image = shown.find((each) => each.index === index && each.column === column);
      expect(image?.state, link).toBe("sampled");
      expect(difference(image!, rgb), link).toBeLessThanOrEqual(1);
    }
  }
}

/** Return the backend that the page has chosen, and what it says of it. */
async function chosen(page: Page): Promise<{ backend: string | null; said: string | null }> {
  const row = page.locator("#machine [data-state=chosen]");
  return { backend: await row.getAttribute("data-backend"), said: await row.textContent() };
}

describe("on a plain static host", () => {
  const stage = staged();

  test.each(RUNS)("%s, in WebAssembly with one thread", async (name) => {
    // Without service workers nothing isolates the page.
    const context = await stage.browser.newContext({ serviceWorkers: "block" });
    const page = await context.newPage();
    await compare(page, `${stage.server.url}${name}/page/`, tinyRun(name));
    expect((await chosen(page)).backend).toBe("wasm");
    expect(await page.evaluate(() => crossOriginIsolated)).toBe(false);
    expect(await page.locator("#machine [data-backend=wasm-threads]").textContent()).toMatch(/isolated/);
    await context.close();
  });
});

describe("served by `ninelives page --serve`", () => {
  let server: Server;
  let browser: Browser;
  const folder = mkdtempSync(join(tmpdir(), "ninelives-served-"));

  beforeAll(async () => {
    server = await pageServer(tinyRun("own-guide").run, join(folder, "page"));
    browser = await launch();
  });

  afterAll(async () => {
    await browser.close();
    await server.close();
    rmSync(folder, { recursive: true });
  });

  test("in WebAssembly with threads", async () => {
    const page = await browser.newPage();
    await compare(page, `${server.url}?backend=wasm-threads`, tinyRun("own-guide"));
    const { backend, said } = await chosen(page);
    expect(backend).toBe("wasm-threads");
    expect(said).toMatch(/\d+ threads/);
    expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
    await page.close();
  });
});

describe("on WebGPU", () => {
  let server: Server;
  let browser: Browser;
  let reason: string | null;

  beforeAll(async () => {
    server = await plainServer(inject("pages"));
    browser = await launch({ gpu: true });
    reason = await withoutGpu(browser, `${server.url}pages.json`);
  });

  afterAll(async () => {
    await browser.close();
    await server.close();
  });

  test.for(RUNS)("%s", async (name, { skip }) => {
    if (reason) skip(reason);
    const page = await browser.newPage();
    await compare(page, `${server.url}${name}/page/?backend=webgpu`, tinyRun(name));
    expect((await chosen(page)).backend).toBe("webgpu");
    await page.close();
  });
});
