/**
 * Elementwise arithmetic in float32, rounded after each operation, as torch does it on a CPU.
 *
 * A number that meets an array is rounded to float32 first. What an array is given it rounds: a product, sum or
 * quotient of two float32 is rounded correctly by way of float64.
 */

/** `a + b`. */
export function plus(a: Float32Array, b: Float32Array): Float32Array {
  return a.map((value, i) => value + b[i]!);
}

/** `a - b`. */
export function minus(a: Float32Array, b: Float32Array): Float32Array {
  return a.map((value, i) => value - b[i]!);
}

/** `factor * a`. */
export function times(factor: number, a: Float32Array): Float32Array {
  const rounded = Math.fround(factor);
  return a.map((value) => rounded * value);
}

/** `a / divisor`. */
export function over(a: Float32Array, divisor: number): Float32Array {
  const rounded = Math.fround(divisor);
  return a.map((value) => value / rounded);
}

/** `a + weight * (b - a)`, from the end that is nearer, in one rounding: `torch.lerp`. */
export function lerp(a: Float32Array, b: Float32Array, weight: number): Float32Array {
  const share = Math.fround(weight);
  const fromStart = Math.abs(share) < 0.5;
  const factor = fromStart ? share : Math.fround(share - 1);
  return a.map((start, i) => {
    const end = b[i]!;
    return (fromStart ? start : end) + factor * Math.fround(end - start);
  });
}
