/** The page's images are those of `ninelives sample`, to 1 level of 255, in each backend of a real Chromium. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { difference, launch, phase, shownImages, withoutGpu } from "./support/browser";
import { type Asked, type RunName, RUNS, type TinyRun, tinyRun } from "./support/pages";
import { pageServer, plainServer, type Server } from "./support/servers";

const CASES = RUNS.flatMap((name) =>
  tinyRun(name).asked.map(({ link }, at): [RunName, number, string] => [name, at, link]),
);

/** Open a page at a link, wait for its images, and compare all that `ninelives sample` has made. */
async function compare(page: Page, url: string, run: TinyRun, asked: Asked): Promise<void> {
  await page.goto(`${url}#${asked.link}`);
  await phase(page, "done");
  const shown = await shownImages(page);
  expect(shown).toHaveLength(asked.images.length);
  for (const { label, index, rgb } of asked.images) {
    // Columns are classes; without classes each image has a column of its own.
    const column = run.classes.length ? label : index;
    const image = shown.find((each) => each.index === index && each.column === column);
    expect(image?.state).toBe("sampled");
    expect(difference(image!, rgb)).toBeLessThanOrEqual(1);
  }
}

/** Return the backend that the page has chosen, and what it says of it. */
async function chosen(page: Page): Promise<{ backend: string | null; said: string | null }> {
  const row = page.locator("#machine [data-state=chosen]");
  return { backend: await row.getAttribute("data-backend"), said: await row.textContent() };
}

describe("on a plain static host", () => {
  let server: Server;
  let browser: Browser;

  beforeAll(async () => {
    server = await plainServer(inject("pages"));
    browser = await launch();
  });

  afterAll(async () => {
    await browser.close();
    await server.close();
  });

  test.for(CASES)("%s in WebAssembly with one thread: link %s, %s", async ([name, at]) => {
    // Without service workers nothing isolates the page.
    const context = await browser.newContext({ serviceWorkers: "block" });
    const page = await context.newPage();
    await compare(page, `${server.url}${name}/page/`, tinyRun(name), tinyRun(name).asked[at]!);
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

  test.for(CASES.filter(([name]) => name === "own-guide"))(
    "%s in WebAssembly with threads: link %s, %s",
    async ([name, at]) => {
      const page = await browser.newPage();
      await compare(page, `${server.url}?backend=wasm-threads`, tinyRun(name), tinyRun(name).asked[at]!);
      const { backend, said } = await chosen(page);
      expect(backend).toBe("wasm-threads");
      expect(said).toMatch(/\d+ threads/);
      expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
      await page.close();
    },
  );
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

  test.for(CASES)("%s: link %s, %s", async ([name, at], { skip }) => {
    if (reason) skip(reason);
    const page = await browser.newPage();
    await compare(page, `${server.url}${name}/page/?backend=webgpu`, tinyRun(name), tinyRun(name).asked[at]!);
    expect((await chosen(page)).backend).toBe("webgpu");
    await page.close();
  });
});
