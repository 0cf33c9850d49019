import { generateState } from "./seed-sequence";

/** What a derived seed is for; of Python's `Stream` only what the page needs. */
export const Stream = { IMAGE: 4 } as const;

/**
 * Derives a seed for a purpose from a seed and counters, as Python's `utils/seeds.py` does.
 *
 * @param seed - An integer in [0, 2^64).
 * @param stream - What the seed is for.
 * @param counters - What the derived stream belongs to, each in [0, 2^64).
 * @returns An integer in [0, 2^63).
 * @throws RangeError if a number is not such an integer.
 */
export function fold(seed: number | bigint, stream: number, ...counters: (number | bigint)[]): bigint {
  const numbers = [seed, ...counters];
  const words = numbers.flatMap((number) => bothWords(number));
  const [low, high] = generateState([stream, numbers.length, ...words], 2);
  return ((BigInt(high!) << 32n) | BigInt(low!)) >> 1n;
}

/**
 * The 32-bit words of an integer, the low one first, as numpy reads a seed: without leading zeros.
 *
 * @param seed - An integer in [0, 2^64).
 */
export function seedWords(seed: number | bigint): number[] {
  const [low, high] = bothWords(seed);
  return high === 0 ? [low] : [low, high];
}

function bothWords(number: number | bigint): [number, number] {
  if (typeof number === "number" && !Number.isSafeInteger(number)) {
    throw new RangeError(`a seed is an integer, and one above 2^53 a bigint, not ${number}`);
  }
  const whole = BigInt(number);
  if (whole !== BigInt.asUintN(64, whole))
    throw new RangeError(`a seed is from 0 to 2^64 - 1, not ${number}`);
  return [Number(whole & 0xffffffffn), Number(whole >> 32n)];
}
