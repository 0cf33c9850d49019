/**
 * `D(x, sigma)`: estimates the images in noisy ones, its condition bound.
 *
 * `x` is (B, C, H, W), flattened, and must not be changed; `sigma` is one noise level for all of them, a float32.
 * What is returned has the shape of `x`, and must not be changed afterwards.
 */
export type Denoiser = (x: Float32Array, sigma: number) => Promise<Float32Array>;
