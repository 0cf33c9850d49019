/** Building the page. Text is text: nothing that comes from a model is ever read as HTML. */

type Attributes = Readonly<Record<string, string | number | boolean>>;

/**
 * Make an element.
 *
 * @param attributes - Set as attributes; true sets an empty one, false none.
 * @param children - Strings become text.
 */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false) element.setAttribute(name, value === true ? "" : `${value}`);
  }
  element.append(...children);
  return element;
}

/** Return the element of an id, of which the page has one. */
export function byId(id: string): HTMLElement {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no #${id}`);
  return element;
}

/** Make a button. */
export function button(text: string, onClick: () => void, attributes: Attributes = {}): HTMLButtonElement {
  const made = el("button", { type: "button", ...attributes }, text);
  made.addEventListener("click", onClick);
  return made;
}

/** Return a name as text that may break after its underscores. */
export function breakable(name: string): (Node | string)[] {
  return name.split(/(?<=_)/).flatMap((part, i) => (i ? [el("wbr"), part] : [part]));
}

/** Show or hide an element. */
export function visible(element: HTMLElement, shown: boolean): void {
  element.hidden = !shown;
}
