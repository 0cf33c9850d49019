/** Computes images with the chosen backend, and goes on with the next one when it fails. */

import { PageError } from "../errors";
import type { Sampling } from "../diffusion/settings";
import { type CallOptions, WorkerClient, WorkerFailure } from "../worker/client";
import {
  type BackendName,
  type ImageJob,
  type ProbeResult,
  reasonOf,
  type Sampled,
} from "../worker/protocol";
import { type Browser, TITLES, unavailable } from "./backends";
import type { Manifest } from "./manifest";
import {
  type Bench,
  chooseBackend,
  firstVerdicts,
  type Opened,
  type Verdict,
  withoutFailed,
} from "./probing";

/** Milliseconds for opening a backend, and for its known answer: beyond it something hangs. */
const OPEN_LIMIT = 90_000;
const PROBE_LIMIT = 60_000;

/** Files that the workers get. Blobs are handed over without a copy. */
export interface Files {
  readonly denoiser: Blob;
  readonly guide: Blob | null;
  /** WebAssembly of onnxruntime for a backend. */
  runtime(backend: BackendName): Promise<Blob>;
}

/** What an engine tells. */
export interface EngineEvents {
  verdicts(verdicts: readonly Verdict[]): void;
  /** Something went wrong that the engine can live with. */
  note(text: string): void;
}

class Backend implements Opened {
  constructor(
    readonly name: BackendName,
    readonly client: WorkerClient,
    readonly threads: number,
    private readonly manifest: Manifest,
  ) {}

  probe(): Promise<ProbeResult> {
    return this.client.call("probe", this.manifest.probe, { limit: PROBE_LIMIT });
  }

  close(): void {
    this.client.close();
  }
}

/** The model, ready to sample. */
export class Engine {
  private backend: Backend | null = null;
  private verdicts: Verdict[];

  /**
   * @param forced - The backend to try first and alone; null tries all.
   * @param startWorker - Starts `worker.ts`.
   */
  constructor(
    private readonly manifest: Manifest,
    private readonly files: Files,
    private readonly forced: BackendName | null,
    private readonly browser: Browser,
    private readonly startWorker: () => Worker,
    private readonly events: EngineEvents,
  ) {
    this.verdicts = firstVerdicts(forced);
  }

  /** The chosen backend and its threads; null before `start`. */
  get chosen(): { name: BackendName; threads: number } | null {
    return this.backend && { name: this.backend.name, threads: this.backend.threads };
  }

  /**
   * Choose a backend.
   *
   * @throws {@link PageError} If none gives the known answer.
   */
  async start(): Promise<void> {
    this.backend = await chooseBackend(this.verdicts, this.bench());
    if (!this.backend) throw this.nothingWorks();
    this.events.verdicts(this.verdicts); // Once more, as the number of threads is known now.
  }

  /**
   * Sample one image; if the backend fails, with the next one.
   *
   * @throws {@link PageError} If none is left.
   * @throws {@link Canceled} If the signal of the options was given.
   */
  async sample(settings: Sampling, image: ImageJob, options: CallOptions): Promise<Sampled> {
    for (;;) {
      if (!this.backend) throw this.nothingWorks();
      const { name, client } = this.backend;
      try {
        return await client.call("sample", { settings, image }, options);
      } catch (error) {
        if (!(error instanceof WorkerFailure)) throw error;
        await this.fallBack(name, error);
      }
    }
  }

  private async fallBack(failed: BackendName, error: WorkerFailure): Promise<void> {
    const reason = `${happened(error)} while it sampled`;
    this.backend?.close();
    this.backend = null;
    this.verdicts = withoutFailed(this.verdicts, failed, reason);
    this.events.verdicts(this.verdicts);
    this.backend = await chooseBackend(this.verdicts, this.bench());
    const next = this.chosen;
    if (next) this.events.note(`${TITLES[failed]} failed: ${reason}. ${TITLES[next.name]} goes on.`);
  }

  private bench(): Bench<Backend> {
    return {
      unavailable: (backend) => unavailable(backend, this.browser, this.forced !== null),
      open: (backend) => this.open(backend),
      report: (verdicts) => {
        this.events.verdicts(verdicts);
      },
    };
  }

  private async open(backend: BackendName): Promise<Backend> {
    const { manifest, files } = this;
    const runtime = await files.runtime(backend);
    const client = new WorkerClient(this.startWorker());
    const { channels, height, width } = manifest.image;
    const opening = {
      backend,
      runtime,
      denoiser: files.denoiser,
      guide: files.guide,
      shape: [channels, height, width] as const,
      nullLabel: manifest.classes.length ? manifest.nullLabel : null,
    };
    try {
      const { threads } = await client.call("open", opening, { limit: OPEN_LIMIT });
      return new Backend(backend, client, threads, manifest);
    } catch (error) {
      client.close();
      throw error;
    }
  }

  private nothingWorks(): PageError {
    const reasons = this.verdicts.filter((each) => each.reason !== null);
    const memory = reasons.some((each) => reasonOf(each.reason!) === "memory");
    return new PageError(
      `The model cannot be computed in this browser. ${reasons.map((each) => `${TITLES[each.backend]}: ${each.reason!}.`).join(" ")}`,
      memory
        ? "There was too little memory: close other tabs and reload the page, or open it on a machine with more."
        : "Reload the page, or open it in a new version of Chrome, Edge, Firefox or Safari.",
    );
  }
}

function happened(error: WorkerFailure): string {
  if (error.reason === "device-lost") return "it lost its GPU device";
  if (error.reason === "memory") return "it ran out of memory";
  if (error.reason === "crashed") return `its worker crashed (${error.message})`;
  return `it failed (${error.message})`;
}
