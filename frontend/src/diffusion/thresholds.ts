import { dynamicThresholding, staticThresholding, type Threshold } from "./thresholding";

/** A threshold, and what to say of it. */
export interface NamedThreshold {
  readonly title: string;
  readonly threshold: Threshold;
}

/** What keeps a denoiser's estimates in the range of images, by the names that Python's table has. */
export const THRESHOLDS = {
  clip: { title: "to [-1, 1]", threshold: staticThresholding },
  dynamic: { title: "Imagen", threshold: dynamicThresholding },
} as const satisfies Record<string, NamedThreshold>;

/** The name of a threshold; `none` lets estimates be. */
export type ThresholdName = "none" | keyof typeof THRESHOLDS;
