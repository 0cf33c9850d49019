/** A sequence of moments with a scrub bar and a button that plays it. */

import { button, el } from "./dom";

const MOMENT_MS = 160;

export class Player {
  readonly scrub: HTMLInputElement;
  readonly play: HTMLButtonElement;
  private count = 0;
  private timer: ReturnType<typeof setInterval> | null = null;

  /**
   * @param label - What is scrubbed, for a screen reader.
   * @param show - Shows a moment, and returns what it is in words.
   */
  constructor(
    label: string,
    private readonly show: (at: number) => string,
  ) {
    this.scrub = el("input", { type: "range", min: 0, max: 0, step: 1, "aria-label": label });
    this.scrub.addEventListener("input", () => {
      this.pause();
      this.go(this.at);
    });
    this.play = button("Play", () => {
      if (this.timer === null) this.start();
      else this.pause();
    });
  }

  /** The moment that is shown. */
  get at(): number {
    return this.scrub.valueAsNumber;
  }

  /** Set how many moments there are. */
  length(count: number): void {
    this.count = count;
    this.scrub.max = `${Math.max(0, count - 1)}`;
    this.play.disabled = count < 2;
  }

  /** Show a moment. */
  go(at: number): void {
    this.scrub.valueAsNumber = at;
    this.scrub.setAttribute("aria-valuetext", this.show(at));
  }

  /** Play once, from the beginning where it is at the end. */
  start(): void {
    this.pause();
    if (this.at >= this.count - 1) this.go(0);
    this.play.textContent = "Pause";
    this.timer = setInterval(() => {
      if (this.at >= this.count - 1) this.pause();
      else this.go(this.at + 1);
    }, MOMENT_MS);
  }

  pause(): void {
    if (this.timer !== null) clearInterval(this.timer);
    this.timer = null;
    this.play.textContent = "Play";
  }
}

/** Mark the thumb of a moment in a strip, if it has one, and bring it into view. */
export function markShown(strip: HTMLElement, at: number): void {
  for (const thumb of strip.children) {
    const shown = (thumb as HTMLElement).dataset["at"] === `${at}`;
    thumb.toggleAttribute("data-shown", shown);
    if (!shown) continue;
    // Only the strip moves, not the page.
    const { left, right } = thumb.getBoundingClientRect();
    const box = strip.getBoundingClientRect();
    if (left < box.left) strip.scrollLeft -= box.left - left;
    else if (right > box.right) strip.scrollLeft += right - box.right;
  }
}
