/** A reader of GIF89a for tests, written from the specification. */

export interface DecodedFrame {
  readonly delay: number;
  readonly rgb: [number, number, number][];
}

export interface Decoded {
  readonly width: number;
  readonly height: number;
  readonly frames: DecodedFrame[];
}

export function decode(bytes: Uint8Array): Decoded {
  const short = (at: number): number => bytes[at]! | (bytes[at + 1]! << 8);
  if (String.fromCharCode(...bytes.slice(0, 6)) !== "GIF89a") throw new Error("not a GIF");
  const frames: DecodedFrame[] = [];
  let at = 13;
  let delay = 0;
  const blocks = (): number[] => {
    const data: number[] = [];
    for (let size = bytes[at++]!; size > 0; size = bytes[at++]!) {
      data.push(...bytes.slice(at, at + size));
      at += size;
    }
    return data;
  };
  for (;;) {
    const kind = bytes[at++];
    if (kind === 0x3b) break;
    if (kind === 0x21) {
      if (bytes[at++] === 0xf9) delay = short(at + 2);
      blocks();
    } else if (kind === 0x2c) {
      const flags = bytes[at + 8]!;
      at += 9;
      const count = 2 ** ((flags & 7) + 1);
      const palette = bytes.slice(at, at + 3 * count);
      at += 3 * count;
      const width = bytes[at++]!;
      const rgb = expand(blocks(), width).map(
        (i) => [...palette.slice(3 * i, 3 * i + 3)] as [number, number, number],
      );
      frames.push({ delay, rgb });
    } else throw new Error(`unknown block ${kind}`);
  }
  if (at !== bytes.length) throw new Error("more bytes after the end");
  return { width: short(6), height: short(8), frames };
}

function expand(data: number[], width: number): number[] {
  const clear = 1 << width;
  const fresh = (): number[][] => [...Array.from({ length: clear }, (_, i) => [i]), [], []];
  let table = fresh();
  let size = width + 1;
  let previous: number[] | null = null;
  const result: number[] = [];
  let held = 0;
  let count = 0;
  for (const byte of data) {
    held |= byte << count;
    count += 8;
    while (count >= size) {
      const code = held & ((1 << size) - 1);
      held >>>= size;
      count -= size;
      if (code === clear) {
        table = fresh();
        size = width + 1;
        previous = null;
        continue;
      }
      if (code === clear + 1) return result;
      const entry: number[] = table[code] ?? [...previous!, previous![0]!];
      result.push(...entry);
      if (previous && table.length < 4096) table.push([...previous, entry[0]!]);
      previous = entry;
      if (table.length === 1 << size && size < 12) size++;
    }
  }
  throw new Error("no end of the data");
}
