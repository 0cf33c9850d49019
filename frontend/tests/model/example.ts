/** A manifest for tests. */

import { type Manifest, readManifest } from "../../src/model/manifest";

const SHA256 = "ab".repeat(32);

export function plainManifest(): Record<string, unknown> {
  const floats = Buffer.from(Float32Array.of(0.5, -0.5, 1, 0, 0.25, 2).buffer).toString("base64");
  return {
    format_version: 1,
    title: "cats",
    run: "2026-11-30T18-53-32Z",
    step: 1400,
    weights: "averaged",
    parameters: 3041234,
    image: { channels: 3, height: 1, width: 2 },
    classes: ["calico", "ginger", "tabby"],
    null_label: 3,
    label_guidance: true,
    sampling: { sampler: "heun", steps: 8, guidance: 2, sigma_min: 0.2, sigma_max: 20 },
    denoiser: { path: "model/denoiser.onnx", bytes: 100, sha256: SHA256 },
    guide: null,
    weights_dtype: "float16",
    probe: { x: floats, sigma: 1.5, label: 0, denoised: floats },
    figures: [{ name: "FID", value: "12.3", note: "lower is better" }],
    commands: { sample: "ninelives sample runs/cats" },
  };
}

/** Return the manifest with some fields changed. */
export function exampleManifest(change: Record<string, unknown> = {}): Manifest {
  return readManifest(JSON.stringify({ ...plainManifest(), ...change }));
}
