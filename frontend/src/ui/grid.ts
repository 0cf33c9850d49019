/** The grid of images: columns are classes, rows are streams of noise. */

import { imageNoise } from "../diffusion/image-noise";
import { show } from "../files/save";
import type { ImageShape } from "../model/manifest";
import { rgba, viewingFactor } from "../worker/frames";
import { breakable, el } from "./dom";
import type { Cell, Column } from "./settings";

export type CellState = "noise" | "sampling" | "sampled" | "broken";

const SPOKEN: Readonly<Record<CellState, string>> = {
  noise: "noise",
  sampling: "being sampled",
  sampled: "sampled",
  broken: "not finite",
};

interface Shown {
  readonly cell: Cell;
  readonly element: HTMLElement;
  readonly canvas: HTMLCanvasElement;
}

/** The grid; it knows nothing of how images are made. */
export class Grid {
  private shown: Shown[] = [];
  private columns = 0;
  private focused = 0;

  /**
   * @param place - Where it goes.
   * @param onOpen - A person chose an image, by its number in the grid.
   */
  constructor(
    private readonly place: HTMLElement,
    private readonly shape: ImageShape,
    private readonly onOpen: (at: number) => void,
  ) {
    place.addEventListener("keydown", (event) => {
      this.onKey(event);
    });
  }

  /** Show other images, as their noise. */
  build(columns: readonly Column[], cells: readonly Cell[]): void {
    const hadFocus = this.place.contains(document.activeElement);
    this.columns = columns.length;
    this.focused = Math.min(this.focused, cells.length - 1);
    this.shown = cells.map((cell, at) => this.make(cell, at));
    const rows: HTMLElement[] = [];
    if (columns.some(({ title }) => title)) rows.push(headers(columns));
    for (let at = 0; at < cells.length; at += columns.length) {
      const own = this.shown.slice(at, at + columns.length).map(({ element }) => element);
      rows.push(el("div", { role: "row", class: "grid-row" }, ...own));
    }
    this.place.style.setProperty("--columns", `${columns.length}`);
    this.place.replaceChildren(...rows);
    this.shown.forEach((_, at) => {
      this.mark(at, "noise");
    });
    if (hadFocus) this.focus(this.focused);
  }

  /** Show pixels on an image, RGBA. */
  draw(at: number, pixels: Uint8ClampedArray<ArrayBuffer>): void {
    show(this.shown[at]!.canvas, pixels);
  }

  /** Say what became of an image. */
  mark(at: number, state: CellState): void {
    const { cell, element } = this.shown[at]!;
    element.dataset["state"] = state;
    element.setAttribute("aria-label", `${cell.title}: ${SPOKEN[state]}`);
  }

  /** Show the noise of an image again. */
  reset(at: number): void {
    const { cell, canvas } = this.shown[at]!;
    show(canvas, noisePixels(cell, this.shape));
    this.mark(at, "noise");
  }

  /** Give an image the focus. */
  focus(at: number): void {
    this.shown[this.focused]?.element.setAttribute("tabindex", "-1");
    this.focused = at;
    const { element } = this.shown[at]!;
    element.setAttribute("tabindex", "0");
    element.focus();
  }

  /** Mark the images that are chosen, and no others. */
  select(chosen: readonly number[]): void {
    this.shown.forEach(({ element }, at) => {
      element.setAttribute("aria-selected", `${chosen.includes(at)}`);
    });
  }

  /** The images, row by row, at their own size. */
  get canvases(): HTMLCanvasElement[] {
    return this.shown.map(({ canvas }) => canvas);
  }

  private make(cell: Cell, at: number): Shown {
    const { width, height } = this.shape;
    const canvas = el("canvas", { width, height, "aria-hidden": "true" });
    const element = el(
      "div",
      {
        role: "gridcell",
        class: "cell",
        tabindex: at === this.focused ? 0 : -1,
        "aria-selected": "false",
        "data-row": cell.row,
        "data-column": cell.column,
        "data-index": cell.index,
      },
      canvas,
    );
    element.addEventListener("click", () => {
      this.focus(at);
      this.onOpen(at);
    });
    show(canvas, noisePixels(cell, this.shape));
    return { cell, element, canvas };
  }

  private onKey(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const at = this.focused;
    const first = at - (at % this.columns);
    const last = this.shown.length - 1;
    const to: Readonly<Record<string, number>> = {
      ArrowLeft: Math.max(at - 1, first),
      ArrowRight: Math.min(at + 1, first + this.columns - 1, last),
      ArrowUp: at - this.columns < 0 ? at : at - this.columns,
      ArrowDown: at + this.columns > last ? at : at + this.columns,
      Home: first,
      End: Math.min(first + this.columns - 1, last),
    };
    const next = to[event.key];
    if (next !== undefined) this.focus(next);
    else if (event.key === "Enter" || event.key === " ") this.onOpen(at);
    else return;
    event.preventDefault();
  }
}

function headers(columns: readonly Column[]): HTMLElement {
  const cells = columns.map(({ title }) => el("div", { role: "columnheader", title }, ...breakable(title)));
  return el("div", { role: "row", class: "grid-row grid-head" }, ...cells);
}

/** Return what sampling of an image starts from, as pixels. */
function noisePixels({ job }: Cell, { channels, height, width }: ImageShape): Uint8ClampedArray<ArrayBuffer> {
  const { seed, index } = job.noise.from;
  return rgba(imageNoise(seed, [index], channels * height * width)(), channels, viewingFactor(0) / 2);
}
