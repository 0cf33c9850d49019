/** The page: settings in the address, controls, grid and panels, and what leads from one to the other. */

import type { Engine } from "../model/engine";
import type { Manifest } from "../model/manifest";
import { Controls } from "./controls";
import { button, byId } from "./dom";
import { Grid } from "./grid";
import { hashOf, settingsOf } from "./link";
import { cellsOf, columnsOf, type Settings } from "./settings";
import type { Status } from "./status";
import { Studio } from "./studio";

/** A page that waits for its engine. */
export interface Page {
  /** Sample, as the address says. */
  begin(engine: Engine): Promise<void>;
}

/** Show what is known before the model is there: its title, the controls, the noise that images start from. */
export function startPage(manifest: Manifest, status: Status): Page {
  const linked = settingsOf(location.hash, manifest);
  for (const note of linked.notes) status.note(note);
  let settings = linked.settings;
  let studio: Studio | null = null;
  document.title = manifest.title;
  byId("title").textContent = manifest.title;
  const grid = new Grid(byId("grid"), manifest.image, () => undefined);
  const controls = new Controls(byId("controls"), manifest, (changed) => {
    apply(changed);
  });
  const noise = (): void => {
    grid.build(columnsOf(settings, manifest), cellsOf(settings, manifest));
  };
  const sample = (): void => {
    studio?.run(settings).catch((error: unknown) => {
      status.fail(error);
    });
  };
  const apply = (changed: Settings): void => {
    settings = changed;
    history.replaceState(null, "", hashOf(settings, manifest));
    if (studio) sample();
    else noise();
  };
  addEventListener("hashchange", () => {
    const { settings: found, notes } = settingsOf(location.hash, manifest);
    for (const note of notes) status.note(note);
    controls.show(found);
    apply(found);
  });
  controls.show(settings);
  noise();
  const cancel = button("Cancel", () => studio?.cancel(), { id: "cancel" });
  const again = button("Sample", sample, { id: "sample", class: "main" });
  byId("actions").append(again, cancel);
  return {
    begin: async (engine) => {
      studio = new Studio(manifest, engine, grid, status, calm, { changed: () => undefined });
      apply(settings);
      await Promise.resolve();
    },
  };
}

/** Whether the person asked for less motion. */
function calm(): boolean {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}
