import { expect, test, vi } from "vitest";
import { Canceled } from "../../src/errors";
import type { Probe } from "../../src/model/manifest";
import { type Port, WorkerClient, WorkerFailure } from "../../src/worker/client";
import type { Reply, Request } from "../../src/worker/protocol";
import { plainMessage, reasonOf } from "../../src/worker/protocol";

const PROBE = {} as Probe;

class FakePort implements Port {
  onmessage: Port["onmessage"] = null;
  onerror: Port["onerror"] = null;
  onmessageerror: Port["onmessageerror"] = null;
  readonly sent: Request[] = [];
  terminated = false;

  postMessage(message: unknown): void {
    this.sent.push(message as Request);
  }

  terminate(): void {
    this.terminated = true;
  }

  reply(reply: Reply): void {
    this.onmessage?.({ data: reply } as MessageEvent);
  }

  crash(message: string): void {
    this.onerror?.({ message, preventDefault: () => undefined } as ErrorEvent);
  }
}

function start() {
  const port = new FakePort();
  return { port, client: new WorkerClient(port) };
}

test("replies go to their calls, in any order", async () => {
  const { port, client } = start();
  const first = client.call("probe", PROBE);
  const second = client.call("probe", PROBE);
  port.reply({ id: 1, kind: "gave", give: { difference: 1, milliseconds: 1 } });
  port.reply({ id: 0, kind: "gave", give: { difference: 0, milliseconds: 0 } });
  expect(await second).toEqual({ difference: 1, milliseconds: 1 });
  expect(await first).toEqual({ difference: 0, milliseconds: 0 });
});

test("a failure has its reason", async () => {
  const { port, client } = start();
  const call = client.call("probe", PROBE);
  port.reply({ id: 0, kind: "failed", failure: { reason: "device-lost", message: "gone" } });
  await expect(call).rejects.toMatchObject({ reason: "device-lost", message: "gone" });
});

test("a signal asks the worker to cancel, and its answer is Canceled", async () => {
  const { port, client } = start();
  const abort = new AbortController();
  const call = client.call("probe", PROBE, { signal: abort.signal });
  abort.abort();
  expect(port.sent.at(-1)).toEqual({ id: 0, kind: "cancel" });
  port.reply({ id: 0, kind: "failed", failure: { reason: "canceled", message: "" } });
  await expect(call).rejects.toBeInstanceOf(Canceled);
});

test("a crash fails the calls that wait, and those that follow", async () => {
  const { port, client } = start();
  const call = client.call("probe", PROBE);
  port.crash("no such script");
  await expect(call).rejects.toBeInstanceOf(WorkerFailure);
  await expect(client.call("probe", PROBE)).rejects.toMatchObject({ reason: "crashed" });
  expect(port.terminated).toBe(true);
});

test("a worker that does not answer in time is stopped", async () => {
  vi.useFakeTimers();
  const { port, client } = start();
  const call = client.call("probe", PROBE, { limit: 5000 });
  const failed = expect(call).rejects.toMatchObject({ reason: "timeout" });
  vi.advanceTimersByTime(5000);
  await failed;
  vi.useRealTimers();
  expect(port.terminated).toBe(true);
});

test.each([
  ["A valid external Instance reference no longer exists; Device is lost", "device-lost"],
  ["the GPU device was lost: destroyed", "device-lost"],
  ["Aborted(OOM)", "memory"],
  ["std::bad_alloc", "memory"],
  ["WebAssembly.Memory(): could not allocate memory: Out of memory", "memory"],
  ["Array buffer allocation failed", "memory"],
  ["no room", "other"],
  ["boom", "other"],
])("%s is sorted as %s", (message, reason) => {
  expect(reasonOf(message)).toBe(reason);
});

test("a message of onnxruntime loses its places in the sources", () => {
  const message =
    "failed to call OrtRun(). ERROR_MESSAGE: /onnxruntime_src/onnxruntime/core/webgpu/buffer_manager.cc:643 void onnxruntime::Download() const status == Success was false. Buffer was unmapped. \n";
  expect(plainMessage(message)).toBe("failed to call OrtRun(). ERROR_MESSAGE: Buffer was unmapped");
});
