import type { PCG64 } from "./pcg64";

const LAYERS = 256;
/** Where the tail begins, and the area of each layer, of the ziggurat of 256 layers below exp(-x^2 / 2). */
const TAIL = 3.6541528853610088;
const AREA = 0.004928673233974655;
const TAIL_32 = Math.fround(TAIL);
const INVERSE_TAIL_32 = Math.fround(1 / TAIL);

/** The tables of numpy's float32 ziggurat; bits below `LIMIT` of a layer are accepted at once. */
interface Ziggurat {
  /** Of 23 random bits those below are under the curve for sure. */
  readonly limit: Uint32Array;
  /** What 23 random bits are multiplied by. */
  readonly width: Float32Array;
  /** The density, which is 1 at 0, at the right edge of each layer. */
  readonly density: Float32Array;
}

/**
 * Draws from N(0, 1) in float32 as numpy's `Generator.standard_normal(dtype=float32)` does, bit for bit: the
 * ziggurat of Marsaglia & Tsang 2000.
 *
 * The logarithm of the tail, once in some 4,000 draws, is that of the C library in numpy, and not rounded correctly
 * in each: with glibc 2.36 one number in a million differs, in its last bit.
 *
 * @param bits - The generator.
 * @param count - How many numbers.
 * @returns (count,), float32.
 */
export function standardNormal(bits: PCG64, count: number): Float32Array {
  const values = new Float32Array(count);
  for (let i = 0; i < count; i++) values[i] = next(bits);
  return values;
}

function next(bits: PCG64): number {
  for (;;) {
    const word = bits.nextUint32();
    const layer = word & 0xff;
    const magnitude = (word >>> 9) & 0x7fffff;
    const value = Math.fround(magnitude * ZIGGURAT.width[layer]!) * (word & 0x100 ? -1 : 1);
    if (magnitude < ZIGGURAT.limit[layer]!) return value;
    if (layer === 0) return (magnitude & 0x100 ? -1 : 1) * fromTail(bits);
    const bottom = ZIGGURAT.density[layer]!;
    const height = Math.fround(ZIGGURAT.density[layer - 1]! - bottom);
    const level = Math.fround(Math.fround(height * bits.nextFloat()) + bottom);
    if (level < Math.exp(-0.5 * value * value)) return value;
  }
}

function fromTail(bits: PCG64): number {
  for (;;) {
    const x = Math.fround(-INVERSE_TAIL_32 * Math.fround(Math.log1p(-bits.nextFloat())));
    const y = -Math.fround(Math.log1p(-bits.nextFloat()));
    if (y + y > Math.fround(x * x)) return Math.fround(TAIL_32 + x);
  }
}

/**
 * Computes the tables from the ziggurat's definition. Each value is far enough from where float32, or an
 * integer, would round it otherwise that any engine's `Math.exp` and `Math.log` give the same.
 */
function ziggurat(): Ziggurat {
  const density = (x: number): number => Math.exp(-0.5 * x * x);
  const edges = new Float64Array(LAYERS);
  edges[LAYERS - 1] = TAIL;
  for (let i = LAYERS - 2; i > 0; i--) {
    edges[i] = Math.sqrt(-2 * Math.log(AREA / edges[i + 1]! + density(edges[i + 1]!)));
  }
  // The lowest layer holds the tail too: as a rectangle of the same area it would be so wide.
  const widest = AREA / density(TAIL);
  const limit = Uint32Array.from(edges, (edge, i) => Math.round((edges[i - 1]! / edge) * 2 ** 23));
  limit[0] = Math.round((TAIL / widest) * 2 ** 23);
  const width = Float32Array.from(edges, (edge, i) => (i === 0 ? widest : edge) / 2 ** 23);
  return { limit, width, density: Float32Array.from(edges, density) };
}

const ZIGGURAT = ziggurat();
