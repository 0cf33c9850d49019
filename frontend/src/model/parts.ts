/** Downloading the files of the model and of onnxruntime: with progress, checked, kept for the next visit. */

import { messageOf, PageError } from "../errors";
import type { Part } from "./manifest";
import { Sha256 } from "./sha256";
import type { PartStore } from "./store";

/** A file to download, at an absolute address. */
export interface Download {
  /** What it is, for messages. */
  readonly name: string;
  readonly url: string;
  /** Bytes on the way, for the progress. */
  readonly bytes: number;
  /** Digest of the content, after it was unpacked where it was compressed. */
  readonly sha256: string;
}

/** A downloaded file whose digest was right. */
export interface Downloaded {
  readonly content: Blob;
  /** Whether it came from an earlier visit. */
  readonly kept: boolean;
}

/** Return the download of a part of the model. */
export function downloadOf(part: Part, base: URL): Download {
  return { name: part.path, url: new URL(part.path, base).href, bytes: part.bytes, sha256: part.sha256 };
}

/**
 * Return a file from an earlier visit, or download it; a download that fails or is damaged is tried twice.
 *
 * @param file - The file.
 * @param store - Where it is kept.
 * @param progress - Told how many bytes there are so far; falls back to 0 where a download starts again.
 * @throws {@link PageError} If it cannot be had.
 */
export async function load(
  file: Download,
  store: PartStore,
  progress: (bytes: number) => void,
): Promise<Downloaded> {
  const kept = await store.get(file.sha256);
  if (kept && (await digestOf(kept)) === file.sha256) {
    progress(file.bytes);
    return { content: kept, kept: true };
  }
  let failure: PageError | undefined;
  for (const cache of ["default", "reload"] as const) {
    try {
      const content = await unpacked(await download(file, cache, progress));
      if ((await digestOf(content)) === file.sha256) {
        await store.put(file.sha256, content);
        return { content, kept: false };
      }
      failure = new PageError(
        `The file ${file.name} is damaged: its SHA-256 is not the expected one.`,
        "Reload the page. If that does not help, write the folder again with `ninelives page` and upload all of it.",
      );
    } catch (error) {
      if (!(error instanceof PageError)) throw error;
      failure = error;
    }
    progress(0);
  }
  throw failure!;
}

async function download(
  file: Download,
  cache: RequestCache,
  progress: (bytes: number) => void,
): Promise<Blob> {
  let response: Response;
  try {
    response = await fetch(file.url, { cache });
  } catch (error) {
    throw unreachable(file, messageOf(error), error);
  }
  if (!response.ok) {
    throw new PageError(
      `The file ${file.name} is not there: the server answered ${response.status}.`,
      "Upload the whole folder that `ninelives page` wrote, with its folders assets and model.",
    );
  }
  const pieces: BlobPart[] = [];
  let bytes = 0;
  try {
    const reader = response.body!.getReader();
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      pieces.push(next.value);
      bytes += next.value.length;
      progress(Math.min(bytes, file.bytes));
    }
  } catch (error) {
    throw unreachable(file, messageOf(error), error);
  }
  return new Blob(pieces);
}

function unreachable(file: Download, reason: string, cause: unknown): PageError {
  return new PageError(
    `The file ${file.name} could not be downloaded (${reason}).`,
    "Check the connection, then reload the page.",
    { cause },
  );
}

/**
 * Unpack what is compressed with gzip. The runtime is stored compressed, since many static hosts do not compress;
 * some tell the browser to unpack it, and then there is nothing left to do here.
 */
async function unpacked(content: Blob): Promise<Blob> {
  const [first, second] = new Uint8Array(await content.slice(0, 2).arrayBuffer());
  if (first !== 0x1f || second !== 0x8b) return content;
  if (!("DecompressionStream" in globalThis)) {
    throw new PageError(
      "This browser cannot unpack what the page needs to compute.",
      "Open it in a version of Chrome, Edge, Firefox or Safari from 2023 or later.",
    );
  }
  try {
    return await new Response(content.stream().pipeThrough(new DecompressionStream("gzip"))).blob();
  } catch {
    return content; // Damaged: its digest says so.
  }
}

const PIECE = 1 << 20;

/** Return the SHA-256 of a file in hexadecimal digits. */
export async function digestOf(content: Blob): Promise<string> {
  // Only pages from https and from localhost have `subtle`.
  const subtle = (globalThis.crypto as Partial<Crypto> | undefined)?.subtle;
  if (subtle) {
    const digest = await subtle.digest("SHA-256", await content.arrayBuffer());
    return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
  }
  const hash = new Sha256();
  for (let at = 0; at < content.size; at += PIECE) {
    // A piece at a time, with a pause between them: the page stays responsive.
    hash.update(new Uint8Array(await content.slice(at, at + PIECE).arrayBuffer()));
  }
  return hash.digest();
}
