import { generateState } from "./seed-sequence";
import { seedWords } from "./seeds";

/** 0x2360ed051fc65da44385df649fccf645 in limbs of 16 bits, the lowest first. */
const MULTIPLIER = [0xf645, 0x9fcc, 0xdf64, 0x4385, 0x5da4, 0x1fc6, 0xed05, 0x2360] as const;
const LIMBS = 8;

/**
 * PCG XSL RR 128/64 (O'Neill 2014, "PCG: A family of simple fast space-efficient statistically good algorithms
 * for random number generation"), seeded and read as numpy's `PCG64` is, bit for bit.
 *
 * The state of 128 bits is held in limbs of 16 bits, so that sums of products are exact in a float64.
 */
export class PCG64 {
  readonly #state = new Uint16Array(LIMBS);
  readonly #increment = new Uint16Array(LIMBS);
  /** The high half of the last draw, until it is taken. */
  #kept: number | null = null;

  /** @param seed - An integer in [0, 2^64), as `numpy.random.default_rng` takes it. */
  constructor(seed: number | bigint) {
    const words = generateState(seedWords(seed), 8);
    // Of each pair of 64-bit numbers the first is the high one, and of each the first word is the low one.
    const start = limbs(words[2]!, words[3]!, words[0]!, words[1]!);
    const sequence = limbs(words[6]!, words[7]!, words[4]!, words[5]!);
    for (let i = 0; i < LIMBS; i++) {
      this.#increment[i] = (sequence[i]! << 1) | (i === 0 ? 1 : sequence[i - 1]! >>> 15);
    }
    this.#step();
    let carry = 0;
    for (let i = 0; i < LIMBS; i++) {
      carry += this.#state[i]! + start[i]!;
      this.#state[i] = carry;
      carry = Math.floor(carry / 0x10000);
    }
    this.#step();
  }

  /** The next 32 random bits: the low half of a draw of 64 bits, then its high half. */
  nextUint32(): number {
    if (this.#kept !== null) {
      const kept = this.#kept;
      this.#kept = null;
      return kept;
    }
    this.#step();
    const s = this.#state;
    const low = (s[0]! ^ s[4]!) | ((s[1]! ^ s[5]!) << 16);
    const high = (s[2]! ^ s[6]!) | ((s[3]! ^ s[7]!) << 16);
    const turn = s[7]! >>> 10;
    const [first, second] = turn < 32 ? [low, high] : [high, low];
    this.#kept = joined(second, first, turn % 32);
    return joined(first, second, turn % 32);
  }

  /** The next random number in [0, 1), a multiple of 2^-24: a float32. */
  nextFloat(): number {
    return (this.nextUint32() >>> 8) / 0x1000000;
  }

  /** state = state * MULTIPLIER + increment, modulo 2^128. */
  #step(): void {
    const before = this.#state.slice();
    let carry = 0;
    for (let i = 0; i < LIMBS; i++) {
      carry += this.#increment[i]!;
      for (let j = 0; j <= i; j++) carry += before[j]! * MULTIPLIER[i - j]!;
      this.#state[i] = carry % 0x10000;
      carry = Math.floor(carry / 0x10000);
    }
  }
}

/** The low 32 bits of the 64 bits (high, low), shifted right by `turn` below 32. */
function joined(low: number, high: number, turn: number): number {
  return (turn === 0 ? low : (low >>> turn) | (high << (32 - turn))) >>> 0;
}

/** Four 32-bit words, the lowest first, as eight limbs. */
function limbs(...words: [number, number, number, number]): number[] {
  return words.flatMap((word) => [word & 0xffff, word >>> 16]);
}
