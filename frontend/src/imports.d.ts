declare module "*?part" {
  /** A file that was stored compressed; see `plugins/parts.ts`. */
  const part: {
    readonly name: string;
    readonly url: string;
    readonly bytes: number;
    readonly sha256: string;
  };
  export default part;
}
