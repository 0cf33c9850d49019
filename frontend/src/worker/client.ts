/** The page's side of a worker: calls as promises. */

import { Canceled } from "../errors";
import type { CallName, Calls, Failure, FailureReason, Frame, Reply, Request } from "./protocol";

/** A call to a worker failed. */
export class WorkerFailure extends Error {
  override readonly name = "WorkerFailure";

  constructor(
    readonly reason: FailureReason | "crashed" | "timeout",
    message: string,
  ) {
    super(message);
  }
}

/** What a client needs of a `Worker`. */
export interface Port {
  postMessage(message: unknown): void;
  terminate(): void;
  onmessage: ((event: MessageEvent) => void) | null;
  onerror: ((event: ErrorEvent) => void) | null;
  onmessageerror: ((event: MessageEvent) => void) | null;
}

export interface CallOptions {
  /** Told what the sampler sees, in the order of its evaluations, counted from 0. */
  readonly onFrame?: (frame: Frame, number: number) => void;
  readonly signal?: AbortSignal;
  /** Milliseconds after which the worker is given up. */
  readonly limit?: number;
}

interface Waiting {
  readonly resolve: (give: never) => void;
  readonly reject: (error: Error) => void;
  readonly onFrame: CallOptions["onFrame"];
}

/** A worker that answers calls; once it has crashed or was closed, every call fails. */
export class WorkerClient {
  private readonly waiting = new Map<number, Waiting>();
  private next = 0;
  private ended: WorkerFailure | null = null;

  constructor(private readonly port: Port) {
    port.onmessage = (event: MessageEvent<Reply>): void => {
      this.receive(event.data);
    };
    port.onerror = (event): void => {
      event.preventDefault();
      this.end(new WorkerFailure("crashed", event.message || "the worker did not start"));
    };
    port.onmessageerror = (): void => {
      this.end(new WorkerFailure("crashed", "a message could not be read"));
    };
  }

  /**
   * Call the worker.
   *
   * @throws {@link WorkerFailure} If the call fails, the worker crashes, or the limit is over.
   * @throws {@link Canceled} If the signal was given.
   */
  async call<K extends CallName>(
    kind: K,
    take: Calls[K]["take"],
    options: CallOptions = {},
  ): Promise<Calls[K]["give"]> {
    if (this.ended) throw this.ended;
    const { signal, limit, onFrame } = options;
    if (signal?.aborted) throw new Canceled();
    const id = this.next++;
    const cancel = (): void => {
      this.send({ id, kind: "cancel" });
    };
    signal?.addEventListener("abort", cancel);
    const timer = limit === undefined ? undefined : setTimeout(() => { this.giveUp(limit); }, limit); // prettier-ignore
    try {
      return await new Promise<Calls[K]["give"]>((resolve, reject) => {
        this.waiting.set(id, { resolve, reject, onFrame });
        this.send({ id, kind, take } as Request);
      });
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", cancel);
      this.waiting.delete(id);
    }
  }

  /** Stop the worker at once. */
  close(): void {
    this.end(new WorkerFailure("crashed", "the worker was closed"));
  }

  private giveUp(limit: number): void {
    this.end(new WorkerFailure("timeout", `no answer within ${Math.round(limit / 1000)} s`));
  }

  private send(request: Request): void {
    this.port.postMessage(request);
  }

  private end(failure: WorkerFailure): void {
    if (this.ended) return;
    this.ended = failure;
    this.port.terminate();
    for (const { reject } of this.waiting.values()) reject(failure);
  }

  private receive(reply: Reply): void {
    const waiting = this.waiting.get(reply.id);
    if (!waiting) return;
    if (reply.kind === "frame") waiting.onFrame?.(reply.frame, reply.number);
    else if (reply.kind === "gave") waiting.resolve(reply.give as never);
    else waiting.reject(errorOf(reply.failure));
  }
}

function errorOf(failure: Failure): Error {
  return failure.reason === "canceled" ? new Canceled() : new WorkerFailure(failure.reason, failure.message);
}
