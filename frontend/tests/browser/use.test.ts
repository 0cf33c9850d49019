/** What a person does on the page: links, cancel, the film, interpolation, files. */

import { readFileSync } from "node:fs";
import type { Download, Page } from "playwright-core";
import { beforeAll, expect, test } from "vitest";
import { difference, follow, phase, pixels, shownImages, visit } from "./support/browser";
import { tinyRun } from "./support/pages";
import { staged } from "./support/stage";

const stage = staged();
/** The page is not at the root of its host. */
let address: string;

beforeAll(() => {
  address = `${stage.server.url}own-guide/page/`;
});

async function sampled(link: string): Promise<Page> {
  const page = await visit(stage.browser, `${address}#${link}`);
  await phase(page, "done");
  return page;
}

/** Return what was saved. */
async function saved(page: Page, click: () => Promise<void>): Promise<{ name: string; bytes: Buffer }> {
  const [download] = await Promise.all([page.waitForEvent("download"), click()]);
  return { name: download.suggestedFilename(), bytes: readFileSync(await pathOf(download)) };
}

async function pathOf(download: Download): Promise<string> {
  return download.path();
}

const cell = (page: Page, at: number) => page.locator("#grid [role=gridcell]").nth(at);

test("a link gives the same images to whoever opens it", async () => {
  const page = await sampled("rows=1&classes=0,2");
  await page.getByLabel("Seed", { exact: true }).fill("41");
  await page.getByLabel("Seed", { exact: true }).press("Enter");
  await page.getByLabel("Steps").fill("3");
  await page.waitForFunction(() => /seed=41&.*steps=3&/.test(location.hash));
  await phase(page, "done");
  const other = await visit(stage.browser, page.url());
  await phase(other, "done");
  expect(await shownImages(other)).toEqual(await shownImages(page));
  expect(await shownImages(other)).toHaveLength(2);
  await Promise.all([page.context().close(), other.context().close()]);
});

test("what of a link cannot be used is said, and the rest is used", async () => {
  const page = await visit(
    stage.browser,
    `${address}#rows=1&classes=0&steps=2&sampler=magic&seed=<b>&nothing=1`,
  );
  await phase(page, "done");
  const notes = await page.locator("#notes").textContent();
  for (const word of ["magic", "<b>", "nothing"]) expect(notes).toContain(word);
  expect(await shownImages(page)).toHaveLength(1);
  await page.context().close();
});

test("what was said of a link or of images goes when there are others", async () => {
  const page = await sampled("rows=1&classes=0&steps=2&seed=1e400&sigma_min=1e999");
  const notes = page.locator("#notes");
  expect(await notes.textContent()).toMatch(/seed=1e400.*sigma_min=1e999 was ignored: it is too large/);
  await follow(page, `${address}#rows=1&classes=0&steps=2&guidance=1e300`);
  await phase(page, "done");
  expect(await notes.textContent()).toMatch(
    /^1 image came out with values that are not finite[^.]*\.[^.]*\.Close$/,
  );
  await follow(page, `${address}#rows=1&classes=0&steps=2`);
  await phase(page, "done");
  expect(await notes.textContent()).toBe("");
  await page.context().close();
});

test("sliders say what is set, and have their own range again after a link beyond it", async () => {
  const page = await sampled("rows=1&classes=0&steps=60&guidance=1.55");
  const slider = (name: string) => page.getByLabel(name, { exact: true });
  expect(await slider("Guidance").getAttribute("aria-valuetext")).toBe("1.55");
  expect(await slider("Steps").getAttribute("aria-valuetext")).toMatch(/^60 /);
  await follow(page, `${address}#rows=1&classes=0&steps=2&guidance=3`);
  await phase(page, "done");
  expect(await slider("Steps").getAttribute("max")).toBe("50");
  await page.context().close();
});

test("boxes for numbers show what is set, or say why a number is not taken", async () => {
  const page = await sampled("rows=1&classes=0&steps=2&interval=0.5,5&seed=9007199254740991");
  const hash = () => page.evaluate(() => location.hash);
  await page.getByRole("button", { name: "Next seed" }).click();
  expect(await hash()).toContain("seed=0&");
  const seed = page.getByLabel("Seed", { exact: true });
  await seed.fill("");
  await seed.press("Enter");
  expect(await seed.inputValue()).toBe("0");

  await page.locator("summary").click();
  const high = page.getByLabel("Guidance up to noise level");
  await high.fill("0.1");
  await high.press("Enter");
  const message = await high.evaluate((input: HTMLInputElement) => input.validationMessage);
  expect(message).toMatch(/low < high/);
  expect(await hash()).toContain("interval=0.5,5&");
  await high.fill("");
  await high.press("Enter");
  expect(await hash()).toContain("interval=0.5,&");
  await phase(page, "done");
  await page.context().close();
});

test("sampling can be canceled at any moment, and goes on", async () => {
  const page = await visit(stage.browser, `${address}#rows=16&steps=50`);
  await phase(page, "sampling");
  await page.locator("#grid [data-state=sampled]").first().waitFor();
  await page.locator("#cancel").click();
  await phase(page, "canceled");
  const states = (await shownImages(page)).map(({ state }) => state);
  expect(states).toContain("sampled");
  expect(states.at(-1)).toBe("noise");
  await cell(page, states.length - 1).click();
  expect(await page.locator("#film .moment").textContent()).toBe("It is not sampled yet.");
  expect(await page.locator("#film").textContent()).toContain("the last of 16:");
  expect(await page.locator("#facts").textContent()).toContain("It samples the first 4 rows.");
  await follow(page, `${address}#rows=1&steps=2`);
  await phase(page, "done");
  await page.context().close();
});

test("new settings end what was being sampled", async () => {
  const page = await visit(stage.browser, `${address}#rows=16&steps=50`);
  await phase(page, "sampling");
  const { link, images } = tinyRun("own-guide").asked[1]!;
  await follow(page, `${address}#${link}`);
  await phase(page, "done");
  for (const shown of await shownImages(page)) {
    const { rgb } = images.find(({ label }) => label === shown.column)!;
    expect(difference(shown, rgb)).toBeLessThanOrEqual(1);
  }
  await page.context().close();
});

test("a share of nothing of another class is the class", async () => {
  const page = await sampled("rows=1&classes=0,1&mix=0,1,0");
  const [first, , mixed] = await pixels(page, "#grid canvas");
  expect(mixed).toEqual(first);
  await follow(page, `${address}#rows=1&classes=0,1&mix=0,1,0.5`);
  await phase(page, "done");
  expect((await pixels(page, "#grid canvas"))[2]).not.toEqual(first);
  await page.context().close();
});

test("an image's film leads from noise to the image, and both can be saved", async () => {
  const page = await sampled("rows=1&classes=0,1");
  const evaluations = 6;
  await cell(page, 1).click();
  const film = page.locator("#film");
  await film.waitFor();
  const scrub = film.locator("input[type=range]");
  expect(await scrub.getAttribute("max")).toBe(`${evaluations}`);
  await scrub.fill("0");
  const [noise, estimate] = await pixels(page, "#film figure canvas");
  expect(noise).not.toEqual(estimate);
  await scrub.fill(`${evaluations}`);
  const own = (await pixels(page, "#grid canvas"))[1]!;
  expect((await pixels(page, "#film figure canvas"))[1]).toEqual(own);
  expect(await film.locator(".thumb").count()).toBe(evaluations + 1);

  const image = await saved(page, () => page.locator("#save-image").click());
  expect(image.name).toMatch(/^[^<>/"']+-seed0-0\.png$/);
  expect(await decoded(page, image.bytes, "image/png")).toEqual({
    frames: 1,
    width: 16,
    height: 16,
    pixels: own,
  });

  const gif = await saved(page, () => page.locator("#save-film").click());
  expect(gif.name).toMatch(/\.gif$/);
  expect(gif.bytes.subarray(0, 6).toString("latin1")).toBe("GIF89a");
  expect(gif.bytes.at(-1)).toBe(0x3b);
  expect((await decoded(page, gif.bytes, "image/gif")).frames).toBe(evaluations + 1);
  await page.context().close();
});

test("the grid can be saved", async () => {
  const page = await sampled("rows=1&classes=0,1&steps=2");
  const { name, bytes } = await saved(page, () => page.locator("#save-grid").click());
  expect(name).toBe("own-guide-seed0.png");
  expect((await decoded(page, bytes, "image/png")).width).toBeGreaterThan(2 * 16);
  await page.context().close();
});

test("an interpolation begins and ends with the two images", async () => {
  const page = await sampled("rows=2&classes=0,1&steps=3");
  await cell(page, 0).click();
  await page.getByRole("button", { name: "Interpolate to another" }).click();
  await cell(page, 3).click();
  await page.locator("#between button:enabled", { hasText: "Save animation" }).waitFor();
  const between = await pixels(page, "#between .thumb canvas");
  const grid = await pixels(page, "#grid canvas");
  expect(between).toHaveLength(9);
  expect(between[0]).toEqual(grid[0]);
  expect(between[8]).toEqual(grid[3]);
  expect(between[4]).not.toEqual(grid[0]);
  const gif = await saved(page, () => page.locator("#between button", { hasText: "Save animation" }).click());
  expect((await decoded(page, gif.bytes, "image/gif")).frames).toBe(16);
  await page.getByRole("button", { name: "Next seed" }).click();
  expect(await page.locator("#between").isVisible()).toBe(false);
  await phase(page, "done");
  await page.context().close();
});

/** What the browser's decoder finds in a file. */
interface Decoded {
  readonly frames: number;
  readonly width: number;
  readonly height: number;
  /** The first frame, RGBA; empty for a large one. */
  readonly pixels: readonly number[];
}

function decoded(page: Page, bytes: Buffer, type: string): Promise<Decoded> {
  return page.evaluate(
    async ([base64, kind]) => {
      const data = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
      const decoder = new ImageDecoder({ data, type: kind });
      await Promise.all([decoder.completed, decoder.tracks.ready]);
      const frames = decoder.tracks.selectedTrack!.frameCount;
      for (let frameIndex = 1; frameIndex < frames; frameIndex++) await decoder.decode({ frameIndex });
      const { image } = await decoder.decode();
      const { displayWidth: width, displayHeight: height } = image;
      const context = new OffscreenCanvas(width, height).getContext("2d")!;
      context.drawImage(image, 0, 0);
      const pixels = width > 64 ? [] : Array.from(context.getImageData(0, 0, width, height).data);
      return { frames, width, height, pixels };
    },
    [bytes.toString("base64"), type] as const,
  );
}
