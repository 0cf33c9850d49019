/** An error that a person reads: a sentence that says what went wrong, and one that says what to do. */
export class PageError extends Error {
  override readonly name = "PageError";

  /**
   * @param message - What went wrong, as a sentence.
   * @param advice - What to do about it, as a sentence.
   */
  constructor(
    message: string,
    readonly advice: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** The work was canceled by the person; nothing went wrong. */
export class Canceled extends Error {
  override readonly name = "Canceled";

  constructor() {
    super("canceled");
  }
}

/** Return what an unknown thrown value says. */
export function messageOf(error: unknown): string {
  if (error instanceof Error) return error.message;
  // Emscripten throws numbers and strings.
  return typeof error === "string" ? error : `error ${JSON.stringify(error)}`;
}
