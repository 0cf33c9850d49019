/** The page: settings in the address, controls, grid and panels, and what leads from one to the other. */

import { png, save } from "../files/save";
import type { Engine } from "../model/engine";
import type { Manifest } from "../model/manifest";
import { Between } from "./between";
import { Controls } from "./controls";
import { copyButton } from "./copy";
import { button, byId } from "./dom";
import { leadOf, showFacts } from "./facts";
import { Film } from "./film";
import { Grid } from "./grid";
import { hashOf, settingsOf } from "./link";
import { cellsOf, columnsOf, type Settings } from "./settings";
import { sheetOf } from "./sheet";
import type { Status } from "./status";
import { Studio } from "./studio";

export class Page {
  private settings: Settings;
  private engine: Engine | null = null;
  private studio: Studio | null = null;
  private readonly grid: Grid;
  private readonly controls: Controls;
  private readonly film: Film;
  private readonly between: Between;
  /** What is being sampled. */
  private working = { grid: false, between: false };
  /** The image from which the next one that is chosen is interpolated to. */
  private start: number | null = null;

  /** Show what is known before the model is there: its title, the controls, the noise that images start from. */
  constructor(
    private readonly manifest: Manifest,
    private readonly status: Status,
  ) {
    document.title = manifest.title;
    byId("title").textContent = manifest.title;
    byId("lead").textContent = leadOf(manifest);
    if (manifest.classes.length === 0)
      byId("grid").setAttribute("aria-label", "Images, each from noise of its own");
    const fail = (error: unknown): void => {
      status.fail(error);
    };
    this.grid = new Grid(byId("grid"), manifest.image, (at) => {
      this.choose(at);
    });
    this.controls = new Controls(byId("controls"), manifest, (settings) => {
      this.apply(settings);
    });
    this.film = new Film(manifest, calm, {
      interpolate: (at) => {
        this.pick(at);
      },
      closed: (at) => {
        this.grid.select([]);
        if (at < this.grid.canvases.length) this.grid.focus(at);
      },
      again: (at) => {
        this.studio?.film(at).catch(fail);
      },
    });
    this.between = new Between(manifest, () => this.engine, calm, {
      busy: (busy) => {
        this.busy({ between: busy });
      },
      failed: fail,
    });
    this.settings = this.read();
    this.actions();
    this.listen();
    this.showNoise();
    showFacts(manifest, this.settings);
  }

  /** Sample, as the address says. */
  begin(engine: Engine): void {
    this.engine = engine;
    this.studio = new Studio(this.manifest, engine, this.grid, this.status, calm, {
      changed: (at) => {
        if (this.film.at === at) this.film.update();
      },
      busy: (busy) => {
        this.busy({ grid: busy });
      },
    });
    this.apply(this.settings);
  }

  private read(): Settings {
    const { settings, notes } = settingsOf(location.hash, this.manifest);
    this.status.forget("link");
    for (const note of notes) this.status.note(note, "link");
    this.controls.show(settings);
    return settings;
  }

  private apply(settings: Settings): void {
    this.settings = settings;
    history.replaceState(null, "", hashOf(settings, this.manifest));
    showFacts(this.manifest, settings);
    this.unpick();
    if (this.film.at !== null) this.film.close();
    this.between.close();
    if (this.studio) this.sample();
    else this.showNoise();
  }

  private sample(): void {
    const { studio } = this;
    if (!studio) return;
    this.between.cancel();
    studio.run(this.settings).catch((error: unknown) => {
      this.status.fail(error);
    });
  }

  private showNoise(): void {
    this.grid.build(columnsOf(this.settings, this.manifest), cellsOf(this.settings, this.manifest));
  }

  private actions(): void {
    const sample = button("Sample", () => { this.sample(); }, { id: "sample", class: "main" }); // prettier-ignore
    const cancel = button("Cancel", () => { this.cancel(); }, { id: "cancel" }); // prettier-ignore
    const picture = button("Save grid", () => void this.saveGrid(), { id: "save-grid" });
    const link = copyButton("Copy link", () => location.origin + location.pathname + location.hash);
    link.id = "copy-link";
    byId("actions").append(sample, cancel, picture, link);
    this.busy({});
  }

  private busy(change: { grid?: boolean; between?: boolean }): void {
    this.working = { ...this.working, ...change };
    const busy = this.working.grid || this.working.between;
    const cancel = byId("cancel") as HTMLButtonElement;
    const sample = byId("sample") as HTMLButtonElement;
    sample.disabled = !this.studio;
    // A button that is switched off loses the focus: it goes to its neighbor.
    if (!busy && document.activeElement === cancel) sample.focus();
    cancel.disabled = !busy;
  }

  private listen(): void {
    addEventListener("hashchange", () => {
      this.apply(this.read());
    });
    byId("controls").addEventListener("submit", (event) => {
      event.preventDefault();
    });
    byId("grid").addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.start !== null) this.unpick();
    });
  }

  private cancel(): void {
    this.studio?.cancel();
    this.between.cancel();
  }

  /** A person chose an image of the grid. */
  private choose(at: number): void {
    const { studio, start } = this;
    if (!studio) return;
    if (start === null) {
      this.grid.select([at]);
      this.film.open(at, studio.works[at]!, this.settings);
      return;
    }
    this.unpick();
    this.grid.select([start, at]);
    const [from, to] = [start, at].map((each) => studio.works[each]!.cell);
    this.between.open(from!, to!, this.settings);
  }

  /** The next image that is chosen is interpolated to. */
  private pick(at: number): void {
    this.film.close();
    this.start = at;
    this.grid.select([at]);
    this.status.hint("Now choose the image to interpolate to. Escape ends this.");
  }

  private unpick(): void {
    this.start = null;
    this.grid.select([]);
    this.status.hint("");
  }

  private async saveGrid(): Promise<void> {
    const sheet = sheetOf(columnsOf(this.settings, this.manifest), this.grid.canvases);
    save(
      await png(sheet),
      `${this.manifest.title.replace(/[^\p{L}\p{N}]+/gu, "-")}-seed${this.settings.seed}.png`,
    );
  }
}

/** Whether the person asked for less motion. */
function calm(): boolean {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}
