/** LZW as GIF has it: codes of growing width, the first bit in the lowest place (GIF89a specification, appendix F). */

const MAX_CODES = 4096;

/** Packs codes into bytes. */
class Bits {
  readonly bytes: number[] = [];
  private held = 0;
  private count = 0;

  put(code: number, width: number): void {
    this.held |= code << this.count;
    this.count += width;
    for (; this.count >= 8; this.count -= 8) {
      this.bytes.push(this.held & 255);
      this.held >>>= 8;
    }
  }

  end(): number[] {
    if (this.count > 0) this.bytes.push(this.held & 255);
    return this.bytes;
  }
}

/**
 * Compress.
 *
 * @param values - Numbers below `2 ** width`.
 * @param width - Bits of a number, at least 2.
 */
export function compress(values: Uint8Array, width: number): number[] {
  const clear = 1 << width;
  const bits = new Bits();
  let codes = new Map<number, number>();
  let next = clear + 2;
  let size = width + 1;
  bits.put(clear, size);
  let prefix = values[0]!;
  for (const value of values.subarray(1)) {
    const key = (prefix << 8) | value;
    const known = codes.get(key);
    if (known !== undefined) {
      prefix = known;
      continue;
    }
    bits.put(prefix, size);
    prefix = value;
    if (next === MAX_CODES) {
      bits.put(clear, size);
      codes = new Map();
      next = clear + 2;
      size = width + 1;
      continue;
    }
    codes.set(key, next++);
    // The reader is one code behind: widen when the code that it is about to make does not fit any more.
    if (next > 1 << size && size < 12) size++;
  }
  bits.put(prefix, size);
  bits.put(clear + 1, size);
  return bits.end();
}
