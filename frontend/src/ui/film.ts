/** How an image came about: what the sampler saw at each evaluation, as a strip to scrub through. */

import { gif } from "../files/gif";
import { context, newCanvas, pixelsOf, png, save, show } from "../files/save";
import type { Manifest } from "../model/manifest";
import type { Frame } from "../worker/protocol";
import { imageCommand } from "./command";
import { copyableCode } from "./copy";
import { button, byId, el, visible } from "./dom";
import { level } from "./numbers";
import { markShown, Player } from "./player";
import type { Settings } from "./settings";
import type { Work } from "./studio";

/** The strip and the animation show so many moments, evenly chosen; the scrub bar has all. */
const STRIP_FRAMES = 40;
const GIF_FRAMES = 60;
const GIF_HEIGHT = 256;

/** What a film asks for. */
export interface FilmEvents {
  interpolate(at: number): void;
  closed(at: number): void;
  /** Frames that were not kept are wanted: sample the image again. */
  again(at: number): void;
}

export class Film {
  private readonly place = byId("film");
  private readonly noisy: HTMLCanvasElement;
  private readonly clean: HTMLCanvasElement;
  private readonly words = el("p", { class: "moment" });
  private readonly strip = el("div", { class: "strip", "aria-hidden": "true" });
  private readonly title = el("h2", { id: "film-title", tabindex: -1 });
  private readonly command = el("div", {});
  private readonly player: Player;
  private readonly saves: HTMLButtonElement[];
  private frames: readonly Frame[] = [];
  private work: Work | null = null;
  private pending = false;
  /** Number of the image in the grid; null where it is closed. */
  at: number | null = null;

  constructor(
    private readonly manifest: Manifest,
    private readonly calm: () => boolean,
    private readonly events: FilmEvents,
  ) {
    const { width, height } = manifest.image;
    this.noisy = newCanvas(width, height);
    this.clean = newCanvas(width, height);
    this.player = new Player("Evaluation", (at) => this.showMoment(at));
    this.saves = [
      button("Save image", () => void this.saveImage(), { id: "save-image" }),
      button("Save animation", () => { this.saveFilm(); }, { id: "save-film" }), // prettier-ignore
    ];
    this.build();
  }

  private build(): void {
    const close = button("Close", () => { this.close(); }, { class: "quiet" }); // prettier-ignore
    const interpolate = button("Interpolate to another", () => {
      if (this.at !== null) this.events.interpolate(this.at);
    });
    const titled = (canvas: HTMLCanvasElement, text: string): HTMLElement =>
      el("figure", {}, canvas, el("figcaption", {}, text));
    this.place.append(
      el("div", { class: "head" }, this.title, close),
      el(
        "div",
        { class: "film" },
        titled(this.noisy, "What the network gets: the noisy image x"),
        titled(this.clean, "What it answers: its estimate without noise"),
        el(
          "div",
          { class: "film-side" },
          this.words,
          this.player.scrub,
          el("div", { class: "actions" }, this.player.play, ...this.saves, interpolate),
          this.command,
        ),
      ),
      this.strip,
    );
    this.place.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.close();
    });
  }

  /** Show how an image came about. */
  open(at: number, work: Work, settings: Settings): void {
    this.at = at;
    this.work = work;
    this.title.textContent = `How it came about: ${work.cell.title}`;
    const line = imageCommand(work.cell, settings.sampling, this.manifest);
    this.command.replaceChildren(...(line === null ? [] : [el("p", { class: "soft" }, lastOf(work)), copyableCode(line)])); // prettier-ignore
    visible(this.place, true);
    if (work.sampled && work.frames.length === 0) this.events.again(at);
    this.refresh();
    if (work.sampled && !this.calm()) {
      this.player.go(0);
      this.player.start();
    }
    this.place.scrollIntoView({ block: "nearest", behavior: this.calm() ? "auto" : "smooth" });
    this.title.focus({ preventScroll: true });
  }

  close(): void {
    const { at } = this;
    this.at = null;
    this.work = null;
    this.player.pause();
    visible(this.place, false);
    if (at !== null) this.events.closed(at);
  }

  /** The image has more frames than before: show them, not more often than the screen does. */
  update(): void {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      this.refresh();
    });
  }

  private refresh(): void {
    if (!this.work) return;
    const { frames, sampled } = this.work;
    const last = sampled ? [{ x: sampled.pixels, denoised: sampled.pixels, sigma: 0 }] : [];
    const followed = this.player.at >= this.frames.length - 1;
    this.frames = [...frames, ...last];
    this.player.length(this.frames.length);
    for (const each of this.saves) each.disabled = !sampled;
    this.strip.replaceChildren(...spaced(this.frames.length, STRIP_FRAMES).map((at) => this.thumb(at)));
    if (this.frames.length === 0) this.words.textContent = "It is not sampled yet.";
    else this.player.go(followed ? this.frames.length - 1 : this.player.at);
  }

  private showMoment(at: number): string {
    const frame = this.frames[at];
    if (!frame) return "";
    show(this.noisy, frame.x);
    show(this.clean, frame.denoised);
    markShown(this.strip, at);
    const text =
      frame.sigma === 0
        ? "The image, as it was sampled"
        : `Evaluation ${at + 1} of ${this.evaluations}, noise level ${level(frame.sigma)}`;
    this.words.textContent = text;
    return text;
  }

  private get evaluations(): number {
    return this.work?.sampled ? this.frames.length - 1 : this.frames.length;
  }

  private thumb(at: number): HTMLElement {
    const { width, height } = this.manifest.image;
    const { x, denoised } = this.frames[at]!;
    const canvases = [x, denoised].map((pixels) => {
      const canvas = newCanvas(width, height);
      show(canvas, pixels);
      return canvas;
    });
    const thumb = el("div", { class: "thumb", "data-at": at }, ...canvases);
    thumb.addEventListener("click", () => {
      this.player.pause();
      this.player.go(at);
    });
    return thumb;
  }

  private get name(): string {
    const { title, index, job } = this.work!.cell;
    const safe = title.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "");
    return `${safe || "image"}-seed${job.noise.from.seed}-${index}`;
  }

  private async saveImage(): Promise<void> {
    const { width, height } = this.manifest.image;
    const canvas = newCanvas(width, height);
    show(canvas, this.work!.sampled!.pixels);
    save(await png(canvas), `${this.name}.png`);
  }

  private saveFilm(): void {
    const { width, height } = this.manifest.image;
    const gap = Math.max(1, Math.round(width / 16));
    const canvas = newCanvas(2 * width + gap, height);
    const moments = spaced(this.frames.length, GIF_FRAMES);
    const frames = moments.map((at, i) => {
      const { x, denoised } = this.frames[at]!;
      context(canvas).fillStyle = "#fff";
      context(canvas).fillRect(0, 0, canvas.width, height);
      context(canvas).putImageData(new ImageData(x, width, height), 0, 0);
      context(canvas).putImageData(new ImageData(denoised, width, height), width + gap, 0);
      return { image: pixelsOf(canvas), delay: i === moments.length - 1 ? 150 : 12 };
    });
    const bytes = gif(frames, Math.max(1, Math.floor(GIF_HEIGHT / height)));
    save(new Blob([bytes], { type: "image/gif" }), `${this.name}.gif`);
  }
}

/** Return at most `most` of the numbers below `count`, evenly chosen, the first and the last among them. */
export function spaced(count: number, most: number): number[] {
  const chosen = Math.min(count, most);
  if (chosen <= 1) return Array.from({ length: chosen }, () => 0);
  return Array.from({ length: chosen }, (_, i) => Math.round((i * (count - 1)) / (chosen - 1)));
}

/** Say which of the command's images it is. */
function lastOf({ cell }: Work): string {
  return cell.index === 0
    ? "The same image by command:"
    : `The same image by command, the last of ${cell.index + 1}:`;
}
