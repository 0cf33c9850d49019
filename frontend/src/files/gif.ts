/** Animations as GIF89a (specification of CompuServe, 1990), each frame with colors of its own. */

import { compress } from "./lzw";
import { indexed } from "./palette";

/** An image for a canvas: RGBA, row by row. */
export interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8ClampedArray<ArrayBuffer>;
}

export interface GifFrame {
  readonly image: Pixels;
  /** Hundredths of a second. */
  readonly delay: number;
}

/**
 * Return an animation that repeats.
 *
 * @param frames - All of one size.
 * @param scale - Each pixel becomes a square of so many.
 */
export function gif(frames: readonly GifFrame[], scale: number): Uint8Array<ArrayBuffer> {
  const { width, height } = frames[0]!.image;
  const bytes: number[] = [];
  bytes.push(...ascii("GIF89a"), ...short(width * scale), ...short(height * scale));
  bytes.push(0x70, 0, 0); // No global palette, 8 bits a channel.
  bytes.push(0x21, 0xff, 11, ...ascii("NETSCAPE2.0"), 3, 1, ...short(0), 0); // Repeat without end.
  for (const { image, delay } of frames) {
    append(bytes, [0x21, 0xf9, 4, 0x04, ...short(delay), 0, 0]); // Frames cover each other.
    append(bytes, [0x2c, ...short(0), ...short(0), ...short(width * scale), ...short(height * scale)]);
    append(bytes, picture(image, scale));
  }
  bytes.push(0x3b);
  return Uint8Array.from(bytes);
}

function picture(image: Pixels, scale: number): number[] {
  const { palette, indices } = indexed(image.data);
  const width = Math.max(2, Math.ceil(Math.log2(palette.length / 3)));
  const bytes = [0x80 | (width - 1), ...palette];
  while (bytes.length < 1 + 3 * 2 ** width) bytes.push(0);
  bytes.push(width);
  const compressed = compress(enlarged(indices, image, scale), width);
  for (let at = 0; at < compressed.length; at += 255) {
    const block = compressed.slice(at, at + 255);
    append(bytes, [block.length, ...block]);
  }
  bytes.push(0);
  return bytes;
}

function enlarged(indices: Uint8Array, { width, height }: Pixels, scale: number): Uint8Array {
  const wide = width * scale;
  const result = new Uint8Array(wide * height * scale);
  for (let i = 0; i < result.length; i++) {
    const row = Math.floor(i / wide / scale);
    result[i] = indices[row * width + Math.floor((i % wide) / scale)]!;
  }
  return result;
}

function append(bytes: number[], more: readonly number[]): void {
  for (const byte of more) bytes.push(byte);
}

function ascii(text: string): number[] {
  return Array.from(text, (letter) => letter.charCodeAt(0));
}

function short(value: number): [number, number] {
  return [value & 255, value >> 8];
}
