/** The page on a phone, in the dark, by keyboard, for a screen reader. */

import { createRequire } from "node:module";
import type { AxeResults } from "axe-core";
import type { BrowserContextOptions, Page } from "playwright-core";
import { expect, test } from "vitest";
import { phase, visit } from "./support/browser";
import { staged } from "./support/stage";

const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

const stage = staged();

/** Open a page with everything on it that there is to see: grid, film, interpolation. */
async function full(options: BrowserContextOptions = {}): Promise<Page> {
  const link = "rows=2&steps=2&mix=0,1,0.5";
  const calm = { reducedMotion: "reduce", bypassCSP: true, ...options } as const;
  const page = await visit(stage.browser, `${stage.server.url}own-guide/page/#${link}`, calm);
  await phase(page, "done");
  const cells = page.locator("#grid [role=gridcell]");
  await cells.nth(0).click();
  await page.getByRole("button", { name: "Interpolate to another" }).click();
  await cells.nth(1).click();
  await page.locator("#between button:enabled", { hasText: "Save animation" }).waitFor();
  await cells.nth(0).click();
  await page.locator("#film").waitFor();
  await page.getByText("More settings").click();
  return page;
}

/** Return what axe finds, in words. */
async function violations(page: Page): Promise<string[]> {
  await page.addScriptTag({ path: AXE });
  const found = await page.evaluate(() =>
    (globalThis as unknown as { axe: { run(): Promise<AxeResults> } }).axe.run(),
  );
  return found.violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
}

test.each(["light", "dark"] as const)("axe finds nothing, %s", async (colorScheme) => {
  const page = await full({ colorScheme });
  expect(await violations(page)).toEqual([]);
  await page.context().close();
});

test("axe finds nothing on a page that failed", async () => {
  const context = await stage.browser.newContext({ serviceWorkers: "block", bypassCSP: true });
  await context.route("**/denoiser.onnx", (route) => route.fulfill({ status: 404 }));
  const page = await context.newPage();
  await page.goto(`${stage.server.url}own-guide/page/`);
  await phase(page, "failed");
  expect(await violations(page)).toEqual([]);
  await context.close();
});

test.each([320, 390])("nothing is cut or scrolls sideways at a width of %i pixels", async (width) => {
  const page = await full({ viewport: { width, height: 800 }, isMobile: true, hasTouch: true });
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(width);
  expect(await page.evaluate(() => visualViewport?.width)).toBe(width);
  await page.context().close();
});

test("it is dark where a person wants it dark", async () => {
  const page = await full({ colorScheme: "dark" });
  const brightness = (): Promise<number> =>
    page.evaluate(() => {
      const color = getComputedStyle(document.body).backgroundColor;
      const values = color
        .match(/[\d.]+/g)!
        .slice(0, 3)
        .map(Number);
      return Math.max(...values);
    });
  expect(await brightness()).toBeLessThan(60);
  await page.emulateMedia({ colorScheme: "light" });
  expect(await brightness()).toBeGreaterThan(200);
  await page.context().close();
});

test("all can be done with a keyboard", async () => {
  const page = await visit(stage.browser, `${stage.server.url}own-guide/page/#rows=2&classes=0,1&steps=2`);
  await phase(page, "done");
  const focused = (): Promise<string | null> =>
    page.evaluate(() => document.activeElement!.getAttribute("aria-label") ?? document.activeElement!.id);
  for (let tabs = 0; tabs < 10 && !(await focused())?.includes("sampled"); tabs++)
    await page.keyboard.press("Tab");
  expect(await focused()).toMatch(/row 1: sampled/);
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowRight");
  const chosen = await focused();
  expect(chosen).toMatch(/row 2: sampled/);
  await page.keyboard.press("Enter");
  await page.locator("#film").waitFor();
  expect(await focused()).toBe("film-title");
  await page.keyboard.press("Escape");
  await page.locator("#film").waitFor({ state: "hidden" });
  expect(await focused()).toBe(chosen);
  await page.context().close();
});
