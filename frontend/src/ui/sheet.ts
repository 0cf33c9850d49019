/** The grid as one picture to save. */

import { context, newCanvas } from "../files/save";
import type { Column } from "./settings";

/** Images are enlarged by a whole factor to about this size. */
const VIEWING_SIZE = 128;
const GAP = 6;
const HEAD = 34;

/**
 * Return images on a canvas, with the names of the columns above them.
 *
 * @param images - Row by row, each at its own size.
 */
export function sheetOf(columns: readonly Column[], images: readonly HTMLCanvasElement[]): HTMLCanvasElement {
  const { width, height } = images[0]!;
  const scale = Math.max(1, Math.floor(VIEWING_SIZE / width));
  const [wide, high] = [width * scale, height * scale];
  const head = columns.some(({ title }) => title) ? HEAD : 0;
  const rows = images.length / columns.length;
  const sheet = newCanvas(columns.length * (wide + GAP) + GAP, head + rows * (high + GAP) + GAP);
  const drawn = context(sheet);
  drawn.fillStyle = "#fff";
  drawn.fillRect(0, 0, sheet.width, sheet.height);
  drawn.fillStyle = "#1d2129";
  drawn.font = "14px system-ui, sans-serif";
  drawn.textAlign = "center";
  drawn.imageSmoothingEnabled = false;
  columns.forEach(({ title }, i) => {
    drawn.fillText(title, GAP + i * (wide + GAP) + wide / 2, head - 10, wide);
  });
  images.forEach((image, i) => {
    const column = i % columns.length;
    const row = Math.floor(i / columns.length);
    drawn.drawImage(image, GAP + column * (wide + GAP), head + GAP + row * (high + GAP), wide, high);
  });
  return sheet;
}
