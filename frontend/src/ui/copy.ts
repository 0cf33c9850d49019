/** Text that a person copies. */

import { button, el } from "./dom";

const SHOWN_MS = 1500;

/** Make a button that copies text, and says so on itself. */
export function copyButton(title: string, text: () => string): HTMLButtonElement {
  const made = button(title, () => {
    copy(text()).then(
      () => {
        say("Copied");
      },
      () => {
        say("Copying is not allowed here");
      },
    );
  });
  made.setAttribute("aria-live", "polite");
  const say = (words: string): void => {
    made.textContent = words;
    setTimeout(() => {
      made.textContent = title;
    }, SHOWN_MS);
  };
  return made;
}

/** Copy text; pages from plain http have no clipboard. */
async function copy(text: string): Promise<void> {
  const clipboard = (navigator as { clipboard?: Clipboard }).clipboard;
  if (clipboard) return clipboard.writeText(text);
  const area = el("textarea", { class: "only-spoken" });
  area.value = text;
  document.body.append(area);
  area.select();
  // The old way is the only one without https.
  const copied = document.execCommand("copy"); // eslint-disable-line @typescript-eslint/no-deprecated
  area.remove();
  if (!copied) throw new Error("not copied");
}

/** Return the words of a line, of which none is broken where it fits into a line. */
function words(text: string): (Node | string)[] {
  return text.split(" ").flatMap((word, i) => [...(i ? [" "] : []), el("span", { class: "word" }, word)]);
}

/** Make a line of code with a button that copies it. */
export function copyableCode(text: string): HTMLElement {
  return el(
    "div",
    { class: "command" },
    el("code", {}, ...words(text)),
    copyButton("Copy", () => text),
  );
}
