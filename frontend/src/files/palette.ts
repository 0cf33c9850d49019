/** At most 256 colors for an image: all of its own, or boxes of similar ones (median cut, Heckbert 1982). */

/** An image in colors of a palette. */
export interface Indexed {
  /** RGB of each color. */
  readonly palette: Uint8Array;
  /** Color of each pixel. */
  readonly indices: Uint8Array;
}

interface Color {
  readonly rgb: number;
  readonly count: number;
}

const MAX_COLORS = 256;

/**
 * Return an image in at most 256 colors; exactly, where it has no more.
 *
 * @param pixels - RGBA.
 */
export function indexed(pixels: Uint8ClampedArray): Indexed {
  const counts = new Map<number, number>();
  const colors = new Uint32Array(pixels.length / 4);
  for (let i = 0; i < colors.length; i++) {
    const rgb = (pixels[4 * i]! << 16) | (pixels[4 * i + 1]! << 8) | pixels[4 * i + 2]!;
    colors[i] = rgb;
    counts.set(rgb, (counts.get(rgb) ?? 0) + 1);
  }
  const boxes = split(Array.from(counts, ([rgb, count]) => ({ rgb, count })));
  const palette = new Uint8Array(3 * boxes.length);
  const place = new Map<number, number>();
  for (const [at, box] of boxes.entries()) {
    for (let channel = 0; channel < 3; channel++) palette[3 * at + channel] = mean(box, channel);
    for (const { rgb } of box) place.set(rgb, at);
  }
  return { palette, indices: Uint8Array.from(colors, (rgb) => place.get(rgb)!) };
}

function split(colors: Color[]): Color[][] {
  if (colors.length <= MAX_COLORS) return colors.map((color) => [color]);
  const boxes = [spread(colors)];
  while (boxes.length < MAX_COLORS) {
    boxes.sort((a, b) => a.weight - b.weight);
    const { box, channel } = boxes.pop()!;
    box.sort((a, b) => value(a, channel) - value(b, channel));
    const middle = halfway(box);
    boxes.push(spread(box.slice(0, middle)), spread(box.slice(middle)));
  }
  return boxes.map(({ box }) => box);
}

/** Return a box with its widest channel, and how much there is to gain from splitting it. */
function spread(box: Color[]): { box: Color[]; channel: number; weight: number } {
  let channel = 0;
  let widest = -1;
  for (let each = 0; each < 3; each++) {
    let low = 255;
    let high = 0;
    for (const color of box) {
      low = Math.min(low, value(color, each));
      high = Math.max(high, value(color, each));
    }
    if (high - low > widest) [channel, widest] = [each, high - low];
  }
  const pixels = box.reduce((sum, { count }) => sum + count, 0);
  return { box, channel, weight: box.length === 1 ? -1 : widest * Math.sqrt(pixels) };
}

/** Return where a sorted box has half of its pixels on each side, never at an end. */
function halfway(box: Color[]): number {
  const pixels = box.reduce((sum, { count }) => sum + count, 0);
  let seen = 0;
  const middle = box.findIndex(({ count }) => (seen += count) * 2 >= pixels);
  return Math.min(Math.max(middle + 1, 1), box.length - 1);
}

function value({ rgb }: Color, channel: number): number {
  return (rgb >> (16 - 8 * channel)) & 255;
}

function mean(box: Color[], channel: number): number {
  let sum = 0;
  let pixels = 0;
  for (const color of box) {
    sum += value(color, channel) * color.count;
    pixels += color.count;
  }
  return Math.round(sum / pixels);
}
