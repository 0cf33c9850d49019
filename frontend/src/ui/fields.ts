/** Controls of a form: each with a label, its value in words, and one function that is told of a new value. */

import { breakable, el } from "./dom";

let ids = 0;

/** A control on the page. */
export interface Field<T> {
  readonly element: HTMLElement;
  /** Show a value. */
  set(value: T): void;
}

function nextId(): string {
  return `field-${++ids}`;
}

/** What a slider goes over. */
export interface Range {
  readonly min: number;
  readonly max: number;
  readonly step: number;
}

/**
 * Make a slider. While it is moved its value is shown, and when it is let go `onChange` is told.
 *
 * @param words - Says a value.
 */
export function slider(
  title: string,
  range: Range,
  words: (value: number) => string,
  onChange: (value: number) => void,
): Field<number> {
  const id = nextId();
  const input = el("input", { type: "range", id, ...range });
  const output = el("output", { for: id });
  const say = (value: number): void => {
    output.textContent = words(value);
    input.setAttribute("aria-valuetext", words(value));
  };
  input.addEventListener("input", () => {
    say(input.valueAsNumber);
  });
  input.addEventListener("change", () => {
    onChange(input.valueAsNumber);
  });
  const head = el("div", { class: "field-head" }, el("label", { for: id }, title), output);
  return {
    element: el("div", { class: "field" }, head, input),
    set: (value) => {
      // A link may go beyond the slider, which has its own range again when that is over.
      input.max = `${Math.max(range.max, value)}`;
      input.min = `${Math.min(range.min, value)}`;
      input.valueAsNumber = value;
      say(value); // The slider itself is at the nearest of its steps.
    },
  };
}

/**
 * Make a box for a number; what is not in its range is not taken, and the browser says so.
 *
 * @param onChange - May throw a RangeError, which says why a value is not taken.
 * @param onEmpty - Told that the box was emptied; without it, the number comes back.
 */
export function numberBox(
  title: string,
  range: { min: number; max?: number; step: number | "any" },
  onChange: (value: number) => void,
  onEmpty?: () => void,
): Field<number | null> {
  const id = nextId();
  const input = el("input", { type: "number", id, inputmode: "decimal", ...range });
  let taken = "";
  const refuse = (why: string): void => {
    input.setCustomValidity(why);
    input.reportValidity();
  };
  input.addEventListener("input", () => {
    input.setCustomValidity("");
  });
  input.addEventListener("change", () => {
    if (!input.reportValidity()) return;
    try {
      if (input.value !== "") onChange(input.valueAsNumber);
      else if (onEmpty) onEmpty();
      else input.value = taken;
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      refuse(`${error.message}.`);
    }
  });
  return {
    element: el("div", { class: "field" }, el("label", { for: id }, title), input),
    set: (value) => {
      input.value = taken = value === null ? "" : `${value}`;
      input.setCustomValidity("");
    },
  };
}

/** Make a menu of values with titles. */
export function menu<T extends string>(
  title: string,
  options: readonly (readonly [T, string])[],
  onChange: (value: T) => void,
): Field<T> {
  const id = nextId();
  const select = el("select", { id }, ...options.map(([value, text]) => el("option", { value }, text)));
  select.addEventListener("change", () => {
    onChange(select.value as T);
  });
  return {
    element: el("div", { class: "field" }, el("label", { for: id }, title), select),
    set: (value) => {
      select.value = value;
    },
  };
}

/** Make a box to tick. */
export function tick(title: string, onChange: (ticked: boolean) => void): Field<boolean> {
  const id = nextId();
  const input = el("input", { type: "checkbox", id });
  input.addEventListener("change", () => {
    onChange(input.checked);
  });
  return {
    element: el("div", { class: "tick" }, input, el("label", { for: id }, ...breakable(title))),
    set: (ticked) => {
      input.checked = ticked;
    },
  };
}
