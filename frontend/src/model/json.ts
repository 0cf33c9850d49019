/** Reading JSON from somewhere else: each value is checked before it gets a type. */

/** A value of the manifest is not what it has to be. */
export class Malformed extends Error {
  override readonly name = "Malformed";
}

/** An object of a JSON document, with its place in it for messages. */
export class Fields {
  private readonly values: Record<string, unknown>;

  /**
   * @param value - What was parsed.
   * @param place - Where it stands, such as `denoiser`.
   * @throws {@link Malformed} If it is not an object.
   */
  constructor(
    value: unknown,
    private readonly place: string,
  ) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new Malformed(`${place || "the document"} is not an object`);
    }
    this.values = value as Record<string, unknown>;
  }

  /** The value itself, undefined where there is none. */
  raw(name: string): unknown {
    return Object.hasOwn(this.values, name) ? this.values[name] : undefined;
  }

  string(name: string): string {
    return this.of(name, "a string", (value) => typeof value === "string");
  }

  boolean(name: string): boolean {
    return this.of(name, "true or false", (value) => typeof value === "boolean");
  }

  /** A finite number. */
  number(name: string): number {
    return this.of(name, "a number", (value): value is number => Number.isFinite(value));
  }

  /** A whole number, at least `least`. */
  whole(name: string, least = 0): number {
    return this.of(
      name,
      `a whole number from ${least}`,
      (value): value is number => Number.isSafeInteger(value) && (value as number) >= least,
    );
  }

  object(name: string): Fields {
    return new Fields(this.raw(name), this.path(name));
  }

  /** An object, or null where the value is null or is not there. */
  optional(name: string): Fields | null {
    const value = this.raw(name);
    return value === null || value === undefined ? null : this.object(name);
  }

  strings(name: string): string[] {
    return this.of(
      name,
      "a list of strings",
      (value) => Array.isArray(value) && value.every((each) => typeof each === "string"),
    );
  }

  objects(name: string): Fields[] {
    return this.of(name, "a list", (value) => Array.isArray(value)).map(
      (each, i) => new Fields(each, `${this.path(name)}[${i}]`),
    );
  }

  private of<T>(name: string, wanted: string, fits: (value: unknown) => value is T): T {
    const value = this.raw(name);
    if (!fits(value)) throw new Malformed(`${this.path(name)} is not ${wanted}`);
    return value;
  }

  private path(name: string): string {
    return this.place ? `${this.place}.${name}` : name;
  }
}
