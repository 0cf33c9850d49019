/** The worker: one backend, one model; answers the calls of `protocol.ts`, one after the other. */

import { messageOf } from "../errors";
import { Model } from "./denoiser";
import { probeModel } from "./probe";
import {
  type Failure,
  type Opening,
  plainMessage,
  reasonOf,
  type Reply,
  type Request,
  transferables,
} from "./protocol";
import { loadRuntime } from "./runtime";
import { sampleImage } from "./task";

declare const self: DedicatedWorkerGlobalScope;

interface Opened {
  readonly model: Model;
  readonly onGpu: boolean;
  /** Rejects when the GPU is lost. */
  readonly lost: Promise<never>;
}

let opened: Opened | undefined;
/** Calls that have not been answered yet. */
const running = new Map<number, AbortController>();
let turn: Promise<void> = Promise.resolve();

self.onmessage = (event: MessageEvent<Request>): void => {
  const request = event.data;
  if (request.kind === "cancel") {
    running.get(request.id)?.abort();
    return;
  }
  const abort = new AbortController();
  running.set(request.id, abort);
  turn = turn.then(() => answer(request, abort.signal)).finally(() => running.delete(request.id));
};

type Call = Exclude<Request, { kind: "cancel" }>;

async function answer(request: Call, signal: AbortSignal): Promise<void> {
  const { id } = request;
  try {
    signal.throwIfAborted();
    const work = perform(request, signal);
    // A lost device can leave its last call without an answer.
    const give = await (opened ? Promise.race([work, opened.lost]) : work);
    send({ id, kind: "gave", give });
  } catch (error) {
    send({ id, kind: "failed", failure: failureOf(await deeper(error), signal) });
  }
}

async function perform(
  request: Call,
  signal: AbortSignal,
): Promise<Extract<Reply, { kind: "gave" }>["give"]> {
  if (request.kind === "open") return open(request.take);
  if (!opened) throw new Error("the model is not open");
  const { model } = opened;
  if (request.kind === "probe") return probeModel(model, request.take);
  return sampleImage({
    ...request.take,
    model,
    signal,
    pause,
    onFrame: (frame, number) => {
      send({ id: request.id, kind: "frame", frame, number });
    },
  });
}

async function open(opening: Opening): Promise<{ threads: number }> {
  const runtime = await loadRuntime(opening.backend, await opening.runtime.arrayBuffer());
  const model = await Model.open(runtime, opening);
  const lost = runtime.lost().then((reason) => {
    throw new Error(`the GPU device was lost: ${reason}`);
  });
  lost.catch(() => undefined); // Calls race with it; between them nobody listens.
  opened = { model, onGpu: opening.backend === "webgpu", lost };
  return { threads: runtime.threads };
}

const LOSS_MS = 200;

/** Return why the GPU was lost, if it was, instead of what that led to: a call can fail before the loss is told. */
async function deeper(error: unknown): Promise<unknown> {
  const patience = new Promise<void>((resolve) => setTimeout(resolve, LOSS_MS));
  try {
    await Promise.race([opened?.lost, opened?.onGpu ? patience : undefined]);
    return error;
  } catch (loss) {
    return loss;
  }
}

function send(reply: Reply): void {
  self.postMessage(reply, transferables(reply));
}

function failureOf(error: unknown, signal: AbortSignal): Failure {
  const message = messageOf(error);
  return { reason: signal.aborted ? "canceled" : reasonOf(message), message: plainMessage(message) };
}

/** Resolve in a later task: WebAssembly works without pauses of its own, and messages would wait for the end. */
function pause(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = (): void => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}
