/** A real Chromium, and what it shows. */

import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { inject } from "vitest";

/** WebGPU on a software rasterizer, for machines without a GPU. */
const SWIFTSHADER = [
  "--enable-unsafe-webgpu",
  "--enable-features=Vulkan",
  "--use-vulkan=swiftshader",
  "--use-angle=swiftshader",
  "--use-webgpu-adapter=swiftshader",
  "--ignore-gpu-blocklist",
  "--disable-vulkan-surface",
];

/** Start Chromium. */
export function launch({ gpu = false } = {}): Promise<Browser> {
  // Chromium refuses to run as root with its sandbox, as in a container.
  const root = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
  return chromium.launch({
    executablePath: inject("chromium"),
    args: [...root, "--disable-dev-shm-usage", ...(gpu ? SWIFTSHADER : [])],
  });
}

/** Return why there is no WebGPU at an address; null where there is. */
export async function withoutGpu(browser: Browser, url: string): Promise<string | null> {
  const page = await browser.newPage();
  try {
    await page.goto(url);
    return await page.evaluate(async () => {
      const gpu = (navigator as { gpu?: { requestAdapter(): Promise<object | null> } }).gpu;
      if (!gpu) return "this Chromium has no WebGPU";
      return (await gpu.requestAdapter()) ? null : "Chromium gives no WebGPU adapter here";
    });
  } finally {
    await page.close();
  }
}

/**
 * Wait until the page is in one of some phases.
 *
 * @throws If it fails, with what it says, where that was not waited for.
 */
export async function phase(page: Page, ...phases: string[]): Promise<void> {
  await page.waitForFunction(
    (wanted) => wanted.includes(document.body.dataset["phase"] ?? ""),
    [...phases, "failed"],
  );
  if (!phases.includes("failed") && (await phaseOf(page)) === "failed") {
    throw new Error(`the page failed: ${await problem(page)}`);
  }
}

/** Go to an address; if that is a link of the page that is open, what it shows is not taken for the link's images. */
export async function follow(page: Page, address: string): Promise<void> {
  await page.evaluate(() => {
    document.body.dataset["phase"] = "left";
  });
  await page.goto(address);
}

export async function phaseOf(page: Page): Promise<string | undefined> {
  return page.evaluate(() => document.body.dataset["phase"]);
}

/** Return what the page says has gone wrong. */
export async function problem(page: Page): Promise<string> {
  return (await page.locator("#problem").textContent()) ?? "";
}

/**
 * Open a page without service workers, so that nothing isolates it and each visit is the first.
 *
 * @param address - With the link's settings after `#`.
 */
export async function visit(
  browser: Browser,
  address: string,
  options: BrowserContextOptions = {},
): Promise<Page> {
  const context = await browser.newContext({ serviceWorkers: "block", ...options });
  const page = await context.newPage();
  await page.goto(address);
  return page;
}

/** An image that the page shows. */
export interface Shown {
  readonly column: number;
  readonly index: number;
  readonly state: string;
  /** RGBA, row by row. */
  readonly rgba: readonly number[];
}

/** Return the pixels of canvases, RGBA, row by row. */
export function pixels(page: Page, selector: string): Promise<number[][]> {
  return page.evaluate(
    (chosen) =>
      Array.from(document.querySelectorAll<HTMLCanvasElement>(chosen), (canvas) =>
        Array.from(canvas.getContext("2d")!.getImageData(0, 0, canvas.width, canvas.height).data),
      ),
    selector,
  );
}

/** Return the images of the grid. */
export function shownImages(page: Page): Promise<Shown[]> {
  return page.evaluate(() =>
    Array.from(document.querySelectorAll<HTMLElement>("#grid [role=gridcell]"), (cell) => {
      const canvas = cell.querySelector("canvas")!;
      const { data } = canvas.getContext("2d")!.getImageData(0, 0, canvas.width, canvas.height);
      const { column, index, state = "" } = cell.dataset;
      return { column: Number(column), index: Number(index), state, rgba: Array.from(data) };
    }),
  );
}

/** Return the largest difference of a shown image and pixels in base64, in levels of 255. */
export function difference(shown: Shown, rgb: string): number {
  const expected = Buffer.from(rgb, "base64");
  const own = shown.rgba.filter((_, at) => at % 4 < 3);
  if (own.length !== expected.length) return NaN;
  return Math.max(...own.map((value, at) => Math.abs(value - expected[at]!)));
}
