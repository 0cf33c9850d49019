/** Sampling the images of the grid, one after the other, and keeping what was seen on the way. */

import { evaluations } from "../diffusion/settings";
import { Canceled } from "../errors";
import type { Engine } from "../model/engine";
import type { Manifest } from "../model/manifest";
import type { Frame, Sampled } from "../worker/protocol";
import type { Grid } from "./grid";
import { counted, duration } from "./numbers";
import { type Cell, cellsOf, columnsOf, type Settings } from "./settings";
import type { Status } from "./status";

/** Memory for what was seen on the way; beyond it an image is sampled again when somebody asks how it came about. */
const FRAME_BYTES = 96e6;

/** An image of the grid, and what is known of it. */
export interface Work {
  readonly cell: Cell;
  /** What was seen at each evaluation; empty where there was no room. */
  readonly frames: Frame[];
  sampled: Sampled | null;
}

/** What others want to know. */
export interface StudioEvents {
  /** An image has a new frame, or is complete. */
  changed(at: number): void;
  /** Images are being sampled, or are not any more. */
  busy(busy: boolean): void;
}

export class Studio {
  works: Work[] = [];
  private abort: AbortController | null = null;
  private filming: AbortController | null = null;
  private settings: Settings | null = null;

  constructor(
    private readonly manifest: Manifest,
    private readonly engine: Engine,
    private readonly grid: Grid,
    private readonly status: Status,
    private readonly calm: () => boolean,
    private readonly events: StudioEvents,
  ) {}

  /** Stop. Images that are complete stay. */
  cancel(): void {
    this.abort?.abort();
    this.filming?.abort();
  }

  /** Sample an image again, and keep what is seen on the way. */
  async film(at: number): Promise<void> {
    const work = this.works[at];
    if (!work || !this.settings) return;
    this.filming?.abort();
    const { signal } = (this.filming = new AbortController());
    const onFrame = (frame: Frame, number: number): void => {
      if (signal.aborted) return;
      if (number === 0) work.frames.length = 0;
      work.frames.push(frame);
      this.events.changed(at);
    };
    try {
      await this.engine.sample(this.settings.sampling, work.cell.job, { onFrame, signal });
    } catch (error) {
      if (!(error instanceof Canceled)) throw error;
    }
  }

  /** Sample the images of settings; what was being sampled is canceled. */
  async run(settings: Settings): Promise<void> {
    this.cancel();
    const abort = new AbortController();
    this.abort = abort;
    this.settings = settings;
    this.events.busy(true);
    this.status.forget("images");
    const cells = cellsOf(settings, this.manifest);
    this.grid.build(columnsOf(settings, this.manifest), cells);
    this.works = cells.map((cell) => ({ cell, frames: [], sampled: null }));
    this.status.phase("sampling", `Sampling ${counted(cells.length, "image")}.`);
    const start = performance.now();
    try {
      for (let at = 0; at < cells.length; at++) {
        await this.sample(at, settings, abort.signal);
        this.tell(at + 1, performance.now() - start);
      }
      if (this.abort === abort) this.finish(performance.now() - start);
    } catch (error) {
      if (this.abort !== abort) return; // Others are being sampled now.
      if (!(error instanceof Canceled)) throw error;
      const done = this.works.filter(({ sampled }) => sampled).length;
      this.status.progress("", 1);
      this.status.phase("canceled", `Canceled after ${done} of ${counted(cells.length, "image")}.`);
    } finally {
      if (this.abort === abort) {
        this.abort = null;
        this.events.busy(false);
      }
    }
  }

  private async sample(at: number, settings: Settings, signal: AbortSignal): Promise<void> {
    const work = this.works[at]!;
    const keeps = this.keeps(settings);
    const mark: Grid["mark"] = (image, state) => {
      if (!signal.aborted) this.grid.mark(image, state);
    };
    mark(at, "sampling");
    const onFrame = (frame: Frame, number: number): void => {
      if (signal.aborted) return;
      // A backend that fails on the way is followed by another, which begins at 0.
      if (number === 0) work.frames.length = 0;
      if (keeps) work.frames.push(frame);
      if (!this.calm()) this.grid.draw(at, frame.denoised);
      this.events.changed(at);
    };
    try {
      const sampled = await this.engine.sample(settings.sampling, work.cell.job, { onFrame, signal });
      if (signal.aborted) throw new Canceled();
      work.sampled = sampled;
      this.grid.draw(at, sampled.pixels);
      mark(at, sampled.finite ? "sampled" : "broken");
      this.events.changed(at);
    } catch (error) {
      if (this.works[at] === work) this.grid.reset(at);
      throw error;
    }
  }

  private keeps(settings: Settings): boolean {
    const { height, width } = this.manifest.image;
    return 8 * height * width * evaluations(settings.sampling) * this.works.length <= FRAME_BYTES;
  }

  private tell(done: number, milliseconds: number): void {
    const { length } = this.works;
    const rest = (milliseconds / done) * (length - done);
    this.status.progress(`${done} of ${counted(length, "image")}, ${duration(rest)} left.`, done / length);
  }

  private finish(milliseconds: number): void {
    const sampled = this.works.flatMap((work) => work.sampled ?? []);
    const sum = (of: (each: Sampled) => number): number =>
      sampled.reduce((total, each) => total + of(each), 0);
    const count = sum((each) => each.evaluations);
    const each = sum(({ milliseconds }) => milliseconds) / count;
    this.status.phase(
      "done",
      `${counted(sampled.length, "image")} in ${duration(milliseconds)}: ${counted(count, "evaluation")} of the network, ${duration(each)} each.`,
    );
    const broken = sampled.filter(({ finite }) => !finite).length;
    if (broken) {
      this.status.note(
        `${counted(broken, "image")} came out with values that are not finite: the settings are too strong for the model. Take less guidance or more steps.`,
        "images",
      );
    }
  }
}
