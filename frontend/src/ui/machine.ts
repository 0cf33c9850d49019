/** How this browser computes: what was tried, what was taken, why the others were left, and how fast each is. */

import { TITLES } from "../model/backends";
import type { Verdict } from "../model/probing";
import { el, visible } from "./dom";
import { duration } from "./numbers";

const STATES: Readonly<Record<Verdict["state"], string>> = {
  skipped: "not tried",
  waiting: "not tried yet",
  trying: "being tried",
  right: "right",
  chosen: "chosen",
  left: "left",
};

/** Show verdicts. */
export function showMachine(place: HTMLElement, verdicts: readonly Verdict[], threads: number | null): void {
  const head = ["Backend", "Result", "Time"].map((title) => el("th", { scope: "col" }, title));
  const rows = verdicts.map((verdict) => row(verdict, threads));
  place.replaceChildren(
    el("h2", { id: "machine-title" }, "How it is computed here"),
    el(
      "p",
      { class: "soft" },
      "Each backend first evaluates a known input and has to give the known answer. The fastest right one is taken. The time is that of one evaluation of the network.",
    ),
    el("table", { class: "list" }, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows)),
  );
  visible(place, true);
}

function row(verdict: Verdict, threads: number | null): HTMLElement {
  const { backend, state, reason, milliseconds, difference } = verdict;
  const words = [
    STATES[state] + (reason ? `${state === "right" ? "," : ":"} ${reason}` : ""),
    ...(state === "chosen" && threads !== null && threads > 1 ? [`${threads} threads`] : []),
  ];
  return el(
    "tr",
    { "data-backend": backend, "data-state": state, "data-difference": difference ?? "" },
    el("th", { scope: "row" }, TITLES[backend]),
    el("td", {}, words.join(", ")),
    el("td", {}, milliseconds === null ? "—" : duration(milliseconds)),
  );
}
