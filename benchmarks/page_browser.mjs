// Chromium with the page open in each backend, which samples when it is told to: a line of JSON in, one out.
// node page_browser.mjs FRONTEND URL CHROMIUM   FRONTEND is the folder whose node_modules has playwright-core

import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [frontend, url, program] = process.argv.slice(2);
const { chromium } = await import(pathToFileURL(`${frontend}/node_modules/playwright-core/index.mjs`).href);

const QUIET = ["--disable-background-timer-throttling", "--disable-renderer-backgrounding"];
// A GPU where there is one; a software rasterizer where WebGPU has no other.
const GPU = ["--enable-unsafe-webgpu", "--enable-features=Vulkan", "--ignore-gpu-blocklist", "--disable-vulkan-surface"];
const SOFTWARE = ["--use-vulkan=swiftshader", "--use-angle=swiftshader", "--use-webgpu-adapter=swiftshader"];

const root = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
const browsers = [];
const pages = new Map();

function say(value) {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

async function open(backend) {
  const gpu = backend === "webgpu" ? [...GPU, ...SOFTWARE] : [];
  const browser = await chromium.launch({ executablePath: program, args: [...root, ...QUIET, ...gpu] });
  browsers.push(browser);
  const context = await browser.newContext({ serviceWorkers: "block" });
  const page = await context.newPage();
  page.setDefaultTimeout(600_000);
  await page.goto(`${url}?backend=${backend}#rows=1&classes=0&steps=1`);
  await page.waitForFunction(() => ["done", "failed"].includes(document.body.dataset.phase));
  if ((await page.evaluate(() => document.body.dataset.phase)) === "failed") {
    throw new Error(await page.locator("#problem").textContent());
  }
  pages.set(backend, page);
  return { version: browser.version(), said: await page.locator("#machine [data-state=chosen]").textContent() };
}

// In the page: follow a link, wait for its images, and return the seconds that took, and their pixels if wanted.
async function sample([link, wanted]) {
  const begun = performance.now();
  await new Promise((resolve) => {
    new MutationObserver((_, observer) => {
      if (!["done", "failed"].includes(document.body.dataset.phase)) return;
      observer.disconnect();
      resolve();
    }).observe(document.body, { attributes: true, attributeFilter: ["data-phase"] });
    location.hash = link;
  });
  const seconds = (performance.now() - begun) / 1000;
  const phase = document.body.dataset.phase;
  const canvases = wanted ? Array.from(document.querySelectorAll("#grid canvas")) : [];
  const images = canvases.map((canvas) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return btoa(Array.from(data, (byte) => String.fromCharCode(byte)).join(""));
  });
  return { phase, seconds, images };
}

try {
  for await (const line of createInterface({ input: process.stdin })) {
    const { backend, link, wanted = false } = JSON.parse(line);
    say(link === undefined ? await open(backend) : await pages.get(backend).evaluate(sample, [link, wanted]));
  }
} catch (error) {
  say({ failed: error instanceof Error ? error.message : String(error) });
  process.exitCode = 1;
} finally {
  for (const browser of browsers) await browser.close();
}
