/** The network as a function of noisy images and one noise level, for one condition. */

import type { InferenceSession } from "onnxruntime-web";
import type { Denoiser } from "../diffusion/denoiser";
import { mixed } from "../diffusion/guidance";
import type { Sampling } from "../diffusion/settings";
import type { Asked, Opening } from "./protocol";
import type { Runtime } from "./runtime";

/** Counts evaluations of the network, and the time that they take. */
export class Stopwatch {
  evaluations = 0;
  milliseconds = 0;

  async time<T>(work: () => Promise<T>): Promise<T> {
    const start = performance.now();
    const result = await work();
    this.milliseconds += performance.now() - start;
    this.evaluations++;
    return result;
  }
}

/** The sessions of a model, ready to evaluate. */
export class Model {
  private constructor(
    private readonly runtime: Runtime,
    private readonly strong: InferenceSession,
    private readonly guide: InferenceSession | null,
    /** (C, H, W) of an image. */
    readonly shape: Opening["shape"],
    private readonly nullLabel: number | null,
  ) {}

  static async open(runtime: Runtime, opening: Opening): Promise<Model> {
    const session = async (part: Blob): Promise<InferenceSession> =>
      runtime.createSession(new Uint8Array(await part.arrayBuffer()));
    const strong = await session(opening.denoiser);
    const guide = opening.guide && (await session(opening.guide));
    return new Model(runtime, strong, guide, opening.shape, opening.nullLabel);
  }

  /** Whether the graph takes labels. */
  get conditional(): boolean {
    return this.nullLabel !== null;
  }

  /** Return the denoiser of what is asked. */
  denoiser(asked: Asked, watch: Stopwatch): Denoiser {
    return this.mixed(this.strong, asked, watch);
  }

  /** Return what guidance leads away from: the run's own average, or the model with nothing asked of it. */
  weak(asked: Asked, settings: Sampling, watch: Stopwatch): Denoiser | null {
    if (settings.guide_length !== null) return this.guide && this.mixed(this.guide, asked, watch);
    return this.nullLabel === null ? null : this.of(this.strong, this.nullLabel, watch);
  }

  private mixed(session: InferenceSession, { label, other, share }: Asked, watch: Stopwatch): Denoiser {
    return mixed(this.of(session, label, watch), this.of(session, other, watch), [share]);
  }

  private of(session: InferenceSession, label: number, watch: Stopwatch): Denoiser {
    return (x, sigma) => watch.time(() => this.evaluate(session, x, sigma, label));
  }

  private async evaluate(
    session: InferenceSession,
    x: Float32Array,
    sigma: number,
    label: number,
  ): Promise<Float32Array> {
    const { runtime } = this;
    const feeds = {
      x: runtime.tensor("float32", x, [1, ...this.shape]),
      sigma: runtime.tensor("float32", Float32Array.of(sigma), [1]),
      ...(this.conditional && { labels: runtime.tensor("int64", BigInt64Array.of(BigInt(label)), [1]) }),
    };
    const { denoised } = await session.run(feeds);
    return denoised!.data as Float32Array;
  }
}
