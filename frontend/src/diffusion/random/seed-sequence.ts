/** The constants of numpy's `SeedSequence`, after O'Neill's `seed_seq_fe` (2015, "Simple portable C++ seed entropy"). */
const INIT_A = 0x43b0d7e5;
const MULT_A = 0x931e8875;
const INIT_B = 0x8b51f9dd;
const MULT_B = 0x58f38ded;
const MIX_MULT_L = 0xca01f9dd;
const MIX_MULT_R = 0x4973f715;
const POOL_SIZE = 4;

/**
 * Spreads seeds of any length over as many words as are wanted, as numpy's `SeedSequence` does bit for bit.
 *
 * @param entropy - The seed's 32-bit words.
 * @param count - How many words are wanted.
 * @returns `count` 32-bit words.
 */
export function generateState(entropy: readonly number[], count: number): Uint32Array {
  const pool = mixedPool(entropy);
  const state = new Uint32Array(count);
  let factor = INIT_B;
  for (let i = 0; i < count; i++) {
    let word = pool[i % POOL_SIZE]! ^ factor;
    factor = Math.imul(factor, MULT_B);
    word = Math.imul(word, factor);
    state[i] = word ^ (word >>> 16);
  }
  return state;
}

function mixedPool(entropy: readonly number[]): Uint32Array {
  let factor = INIT_A;
  const hashed = (word: number): number => {
    let value = word ^ factor;
    factor = Math.imul(factor, MULT_A);
    value = Math.imul(value, factor);
    return value ^ (value >>> 16);
  };
  const pool = new Uint32Array(POOL_SIZE);
  for (let i = 0; i < POOL_SIZE; i++) pool[i] = hashed(entropy[i] ?? 0);
  for (let from = 0; from < POOL_SIZE; from++) {
    for (let to = 0; to < POOL_SIZE; to++) {
      if (from !== to) pool[to] = mixed(pool[to]!, hashed(pool[from]!));
    }
  }
  for (const word of entropy.slice(POOL_SIZE)) {
    for (let to = 0; to < POOL_SIZE; to++) pool[to] = mixed(pool[to]!, hashed(word));
  }
  return pool;
}

function mixed(x: number, y: number): number {
  const result = Math.imul(MIX_MULT_L, x) - Math.imul(MIX_MULT_R, y);
  return result ^ (result >>> 16);
}
