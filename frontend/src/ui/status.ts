/** What the page is doing, and what went wrong, in words. */

import { messageOf, PageError } from "../errors";
import { byId, button, el, visible } from "./dom";

export type Phase = "loading" | "probing" | "ready" | "sampling" | "done" | "canceled" | "failed";

/** The line under the grid, the bar, and the notes. */
export class Status {
  private readonly line = byId("status");
  private readonly spoken = byId("spoken");
  private readonly bar = byId("progress") as HTMLProgressElement;
  private readonly notes = byId("notes");

  /** Say what is going on; the phase is on the page for its style. */
  phase(phase: Phase, text: string): void {
    document.body.dataset["phase"] = phase;
    if (phase !== "failed") visible(byId("problem"), false);
    this.line.textContent = text;
    // A screen reader hears the beginning and the end, not each image.
    this.spoken.textContent = text;
  }

  /** Say how far it is, without having it read aloud. */
  progress(text: string, share: number): void {
    // Of two downloads one may go on after the other has failed.
    if (document.body.dataset["phase"] === "failed") return;
    this.line.textContent = text;
    this.bar.value = share;
    visible(this.bar, share < 1);
  }

  /** Say what a person can do next; nothing takes it away. */
  hint(text: string): void {
    const hint = byId("hint");
    hint.textContent = text;
    visible(hint, text !== "");
  }

  /**
   * Show a sentence that stays until it is closed.
   *
   * @param about - What it is about, if that can be over.
   */
  note(text: string, about = ""): void {
    const item = el("p", { class: "note", role: "status", "data-about": about }, text);
    item.append(button("Close", () => { item.remove(); }, { class: "quiet" })); // prettier-ignore
    this.notes.append(item);
  }

  /** Take the sentences about something away, since it is over. */
  forget(about: string): void {
    for (const item of this.notes.querySelectorAll(`[data-about="${about}"]`)) item.remove();
  }

  /** Say that it does not go on, and what to do. */
  fail(error: unknown): void {
    const { message, advice } = sentences(error);
    this.phase("failed", "It did not work.");
    visible(this.bar, false);
    const alert = byId("problem");
    alert.replaceChildren(
      el("i", { "aria-hidden": "true" }, "!"),
      el("div", {}, el("b", {}, message), el("span", {}, advice)),
    );
    visible(alert, true);
    console.error(error);
  }
}

function sentences(error: unknown): { message: string; advice: string } {
  if (error instanceof PageError) return error;
  return {
    message: `Something unexpected went wrong: ${messageOf(error)}.`,
    advice: "Reload the page. If that does not help, report it with this sentence.",
  };
}
