/** Images on the way from one to another: their noise along a great circle, what is asked of them along a line. */

import { Canceled } from "../errors";
import { gif } from "../files/gif";
import { context, newCanvas, pixelsOf, png, save, show } from "../files/save";
import type { Engine } from "../model/engine";
import type { Manifest } from "../model/manifest";
import type { Asked, ImageJob, Stream } from "../worker/protocol";
import { button, byId, el, visible } from "./dom";
import { markShown, Player } from "./player";
import { type Cell, percent, type Settings } from "./settings";

const IMAGES = 9;
const GIF_HEIGHT = 256;

/**
 * Return what to sample on the way.
 *
 * @param share - How far it is, from 0 to 1.
 * @returns null where more than two classes would be mixed.
 */
export function jobBetween(start: Cell, end: Cell, share: number): ImageJob | null {
  const asked = askedBetween(start.job.asked, end.job.asked, share);
  if (!asked) return null;
  const from = start.job.noise.from;
  const to = end.job.noise.from;
  // Between a stream and itself there is no way to go along.
  return { noise: { from, to: same(from, to) ? null : to, share: same(from, to) ? 0 : share }, asked };
}

function same(a: Stream, b: Stream): boolean {
  return a.seed === b.seed && a.index === b.index;
}

function askedBetween(start: Asked, end: Asked, share: number): Asked | null {
  const weights = new Map<number, number>();
  const add = ({ label, other, share: own }: Asked, weight: number): void => {
    weights.set(label, (weights.get(label) ?? 0) + weight * (1 - own));
    if (own > 0) weights.set(other, (weights.get(other) ?? 0) + weight * own);
  };
  add(start, 1 - share);
  add(end, share);
  const [first, second, third] = weights;
  if (!first || third) return null;
  if (!second) return { label: first[0], other: first[0], share: 0 };
  return { label: first[0], other: second[0], share: second[1] };
}

/** What others want to know. */
export interface BetweenEvents {
  /** Images are being sampled, or are not any more. */
  busy(busy: boolean): void;
  failed(error: unknown): void;
}

export class Between {
  private readonly place = byId("between");
  private readonly big: HTMLCanvasElement;
  private readonly words = el("p", { class: "moment" });
  private readonly title = el("h2", { id: "between-title", tabindex: -1 });
  private readonly strip = el("div", { class: "strip", "aria-hidden": "true" });
  private readonly player: Player;
  private readonly saves: HTMLButtonElement[];
  private canvases: HTMLCanvasElement[] = [];
  private done = 0;
  private abort: AbortController | null = null;

  constructor(
    private readonly manifest: Manifest,
    private readonly engine: () => Engine | null,
    private readonly calm: () => boolean,
    private readonly events: BetweenEvents,
  ) {
    const { width, height } = manifest.image;
    this.big = newCanvas(width, height);
    this.player = new Player("How far from the first image to the second", (at) => this.showMoment(at));
    this.saves = [
      button("Save animation", () => { this.saveFilm(); }), // prettier-ignore
      button("Save images", () => void this.saveStrip()),
    ];
    const close = button("Close", () => { this.close(); }, { class: "quiet" }); // prettier-ignore
    this.place.append(
      el("div", { class: "head" }, this.title, close),
      el(
        "div",
        { class: "film" },
        el("figure", {}, this.big),
        el(
          "div",
          { class: "film-side" },
          this.words,
          this.player.scrub,
          el("div", { class: "actions" }, this.player.play, ...this.saves),
        ),
      ),
      this.strip,
    );
    this.place.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.close();
    });
  }

  private get sampling(): boolean {
    return this.abort !== null;
  }

  /** Stop sampling; what is there stays. */
  cancel(): void {
    this.abort?.abort();
    this.abort = null;
    this.events.busy(false);
  }

  close(): void {
    this.cancel();
    this.player.pause();
    visible(this.place, false);
  }

  /** Sample the images between two. */
  open(start: Cell, end: Cell, settings: Settings): void {
    this.cancel();
    this.player.pause();
    const shares = Array.from({ length: IMAGES }, (_, i) => i / (IMAGES - 1));
    const jobs = shares.map((share) => jobBetween(start, end, share));
    this.title.textContent = `From “${start.title}” to “${end.title}”`;
    visible(this.place, true);
    this.place.scrollIntoView({ block: "nearest", behavior: this.calm() ? "auto" : "smooth" });
    this.title.focus({ preventScroll: true });
    const known = jobs.flatMap((job) => job ?? []);
    this.reset(known.length);
    if (known.length < jobs.length) {
      this.words.textContent = "An interpolation mixes two classes at most: choose images of two classes.";
      return;
    }
    this.sample(known, settings).catch((error: unknown) => {
      this.events.failed(error);
    });
  }

  private reset(count: number): void {
    const { width, height } = this.manifest.image;
    this.done = 0;
    context(this.big).clearRect(0, 0, width, height);
    this.canvases = Array.from({ length: count }, () => newCanvas(width, height));
    this.strip.replaceChildren(...this.canvases.map((canvas, at) => this.thumb(canvas, at)));
    this.player.length(0);
    for (const each of this.saves) each.disabled = true;
  }

  private thumb(canvas: HTMLCanvasElement, at: number): HTMLElement {
    const thumb = el("div", { class: "thumb", "data-at": at }, canvas);
    thumb.addEventListener("click", () => {
      if (at < this.done) this.player.go(at);
    });
    return thumb;
  }

  private async sample(jobs: readonly ImageJob[], settings: Settings): Promise<void> {
    const engine = this.engine();
    if (!engine) return;
    const abort = new AbortController();
    const { signal } = abort;
    this.abort = abort;
    this.events.busy(true);
    try {
      for (const [at, job] of jobs.entries()) {
        this.words.textContent = `Sampling image ${at + 1} of ${jobs.length}.`;
        const { pixels } = await engine.sample(settings.sampling, job, { signal });
        if (signal.aborted) throw new Canceled();
        show(this.canvases[at]!, pixels);
        this.done = at + 1;
        this.player.length(this.done);
        this.player.go(at);
      }
    } catch (error) {
      if (!(error instanceof Canceled)) throw error;
      if (!this.sampling) this.words.textContent = `Canceled after ${this.done} of ${jobs.length} images.`;
      return;
    }
    this.abort = null;
    this.events.busy(false);
    for (const each of this.saves) each.disabled = false;
    if (!this.calm()) this.player.start();
  }

  private showMoment(at: number): string {
    const canvas = this.canvases[at];
    if (!canvas || at >= this.done) return "";
    show(this.big, pixelsOf(canvas).data);
    markShown(this.strip, at);
    const text = `${percent(at / (IMAGES - 1))} of the way`;
    this.words.textContent = text;
    return text;
  }

  private saveFilm(): void {
    const forth = this.canvases.map((canvas) => ({ image: pixelsOf(canvas), delay: 16 }));
    const frames = [...forth, ...forth.slice(1, -1).reverse()];
    const scale = Math.max(1, Math.floor(GIF_HEIGHT / this.manifest.image.height));
    save(new Blob([gif(frames, scale)], { type: "image/gif" }), "interpolation.gif");
  }

  private async saveStrip(): Promise<void> {
    const { width, height } = this.manifest.image;
    const sheet = newCanvas(width * this.canvases.length, height);
    this.canvases.forEach((canvas, at) => {
      context(sheet).drawImage(canvas, at * width, 0);
    });
    save(await png(sheet), "interpolation.png");
  }
}
