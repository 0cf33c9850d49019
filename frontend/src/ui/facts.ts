/** What is known of the run: its figures with their notes, its size, and the command that gives the same images. */

import type { Manifest } from "../model/manifest";
import { gridCommand } from "./command";
import { copyableCode } from "./copy";
import { byId, el, visible } from "./dom";
import { counted, grouped } from "./numbers";
import { MAX_COLUMNS, type Settings } from "./settings";

/** Rows of classes.png: `class_grid` of `lightning_modules/sampling/demonstrations.py`. */
const COMMAND_ROWS = 4;

/** Say in a sentence what the model is. */
export function leadOf(manifest: Manifest): string {
  const { parameters, step, image, classes } = manifest;
  const size = parameters >= 1e6 ? `${(parameters / 1e6).toFixed(1)} M` : grouped(parameters);
  const of = classes.length ? ` of ${classes.length} classes` : "";
  return `A network of ${size} parameters, trained for ${counted(step, "step")}, makes images${of} from noise: ${image.width} × ${image.height} pixels, in this browser.`;
}

/** Show the facts, and the command for the settings. */
export function showFacts(manifest: Manifest, settings: Settings): void {
  const place = byId("facts");
  const command = gridCommand(settings, manifest);
  place.replaceChildren(
    el("h2", { id: "facts-title" }, "About the model"),
    facts(manifest),
    ...(manifest.figures.length ? [figures(manifest)] : [el("p", { class: "soft" }, "It has not been evaluated, so there are no figures of its quality.")]), // prettier-ignore
    el("h3", {}, "The same images by command"),
    command === null
      ? el("p", { class: "soft" }, "The command has no option for these settings.")
      : copyableCode(command),
    ...(manifest.classes.length > MAX_COLUMNS
      ? [
          el(
            "p",
            { class: "soft" },
            "Of so many classes it samples one image each, which are those of the first row.",
          ),
        ]
      : []),
    ...(manifest.classes.length && manifest.classes.length <= MAX_COLUMNS && settings.rows > COMMAND_ROWS
      ? [el("p", { class: "soft" }, `It samples the first ${COMMAND_ROWS} rows.`)]
      : []),
    ...(settings.mix
      ? [el("p", { class: "soft" }, "It has no mixed classes: those are of this page alone.")]
      : []),
  );
  visible(place, true);
}

function facts(manifest: Manifest): HTMLElement {
  const { run, step, weights, weightsDtype, parameters } = manifest;
  const rows: [string, string][] = [
    ["Run", run],
    ["Step", grouped(step)],
    ["Weights", `${weights}, stored as ${weightsDtype}`],
    ["Parameters", grouped(parameters)],
  ];
  const known = rows.filter(([, value]) => value !== "");
  return el("dl", {}, ...known.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

function figures(manifest: Manifest): HTMLElement {
  const rows = manifest.figures.map(({ name, value, note }) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, name),
      el("td", {}, el("b", {}, value), ...(note ? [el("span", { class: "soft" }, note)] : [])),
    ),
  );
  return el("table", { class: "list figures-of-run" }, el("tbody", {}, ...rows));
}
