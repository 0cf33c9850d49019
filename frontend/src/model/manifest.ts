/** `model.json`: what the page knows of the model. Its strings come from a run's folder names: text, never HTML. */

import { type Sampling, readSampling } from "../diffusion/settings";
import { PageError } from "../errors";
import { Fields, Malformed } from "./json";

/** The version of the format that this page reads. */
export const FORMAT_VERSION = 1;

/** One file of the model. */
export interface Part {
  /** Address relative to the page. */
  readonly path: string;
  readonly bytes: number;
  /** Digest in lower-case hexadecimal digits. */
  readonly sha256: string;
}

/** Shape of one image. */
export interface ImageShape {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
}

/** A known input of the denoiser, and its answer. */
export interface Probe {
  /** (1, C, H, W), flattened. */
  readonly x: Float32Array<ArrayBuffer>;
  readonly sigma: number;
  readonly label: number;
  /** (1, C, H, W), flattened. */
  readonly denoised: Float32Array<ArrayBuffer>;
}

/** A figure of the run, such as its FID. */
export interface Figure {
  readonly name: string;
  readonly value: string;
  readonly note: string;
}

export interface Manifest {
  readonly title: string;
  readonly run: string;
  readonly step: number;
  readonly weights: string;
  readonly parameters: number;
  readonly image: ImageShape;
  /** Names of the classes in the order of their labels; empty where the graph has no `labels`. */
  readonly classes: readonly string[];
  /** The label that asks for nothing; null where the model is unconditional. */
  readonly nullLabel: number | null;
  /** Whether the model was trained with dropped labels, so that the null label means something. */
  readonly labelGuidance: boolean;
  /** The run's own settings. */
  readonly sampling: Sampling;
  readonly denoiser: Part;
  readonly guide: Part | null;
  readonly weightsDtype: string;
  readonly probe: Probe;
  readonly figures: readonly Figure[];
  /** Commands by what they do, such as `sample`. */
  readonly commands: ReadonlyMap<string, string>;
}

/**
 * Read a manifest.
 *
 * @param text - Content of `model.json`.
 * @throws {@link PageError} If it is not a manifest of this version.
 */
export function readManifest(text: string): Manifest {
  try {
    const fields = new Fields(JSON.parse(text), "");
    const version = fields.raw("format_version");
    if (version !== FORMAT_VERSION) {
      throw new PageError(
        `This page reads format ${FORMAT_VERSION} of model.json, and this one has format ${version === undefined ? "none" : JSON.stringify(version)}.`,
        "Write the folder again with `ninelives page`, so that page and model are of one version.",
      );
    }
    return manifestOf(fields);
  } catch (error) {
    if (error instanceof Malformed || error instanceof SyntaxError || error instanceof RangeError) {
      throw new PageError(
        `The file model.json is not as this page expects it: ${error.message}.`,
        "Write the folder again with `ninelives page`.",
        { cause: error },
      );
    }
    throw error;
  }
}

function manifestOf(fields: Fields): Manifest {
  const image = imageOf(fields.object("image"));
  const classes = fields.strings("classes");
  const guide = fields.optional("guide");
  return {
    title: fields.string("title"),
    run: fields.string("run"),
    step: fields.whole("step"),
    weights: fields.string("weights"),
    parameters: fields.whole("parameters"),
    image,
    classes: classes.length > 1 ? classes : [],
    nullLabel: fields.raw("null_label") === null ? null : fields.whole("null_label"),
    labelGuidance: fields.boolean("label_guidance"),
    sampling: readSampling(fields.raw("sampling")),
    denoiser: partOf(fields.object("denoiser")),
    guide: guide && partOf(guide),
    weightsDtype: fields.string("weights_dtype"),
    probe: probeOf(fields.object("probe"), image.channels * image.height * image.width),
    figures: fields.objects("figures").map((each) => ({
      name: each.string("name"),
      value: each.string("value"),
      note: each.string("note"),
    })),
    commands: commandsOf(fields.object("commands")),
  };
}

function imageOf(fields: Fields): ImageShape {
  const channels = fields.whole("channels", 1);
  if (channels !== 1 && channels !== 3) throw new Malformed("image.channels is neither 1 nor 3");
  return { channels, height: fields.whole("height", 1), width: fields.whole("width", 1) };
}

function partOf(fields: Fields): Part {
  const path = fields.string("path");
  // A page of one folder takes parts from this folder, and from nowhere else.
  if (!/^[\w.-]+(\/[\w.-]+)*$/.test(path) || path.split("/").includes("..")) {
    throw new Malformed(`${JSON.stringify(path)} is not a path inside the page's folder`);
  }
  const sha256 = fields.string("sha256");
  if (!/^[0-9a-f]{64}$/.test(sha256)) throw new Malformed(`the SHA-256 of ${path} is not one`);
  return { path, bytes: fields.whole("bytes", 1), sha256 };
}

function probeOf(fields: Fields, size: number): Probe {
  return {
    x: floatsOf(fields, "x", size),
    sigma: fields.number("sigma"),
    // An unconditional graph has no labels; any number will do.
    label: fields.raw("label") === null ? 0 : fields.whole("label"),
    denoised: floatsOf(fields, "denoised", size),
  };
}

function floatsOf(fields: Fields, name: string, size: number): Float32Array<ArrayBuffer> {
  let bytes: Uint8Array;
  try {
    bytes = Uint8Array.from(atob(fields.string(name)), (digit) => digit.charCodeAt(0));
  } catch (error) {
    throw new Malformed(`probe.${name} is not base64`, { cause: error });
  }
  if (bytes.length !== 4 * size) throw new Malformed(`probe.${name} is not one image of ${size} values`);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return Float32Array.from({ length: size }, (_, i) => view.getFloat32(4 * i, true));
}

function commandsOf(fields: Fields): Map<string, string> {
  const sample = fields.raw("sample");
  return new Map(typeof sample === "string" ? [["sample", sample]] : []);
}
