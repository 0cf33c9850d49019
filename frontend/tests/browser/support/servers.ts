/** Servers of the pages: those that a person would start. */

import { type ChildProcess, spawn } from "node:child_process";
import { findPython, REPOSITORY } from "./places";

/** A server; its address ends with a slash. */
export interface Server {
  readonly url: string;
  /** What it has said, requests among it. */
  said(): string;
  close(): Promise<void>;
}

/** Start `python -m http.server`, which knows nothing of isolation. */
export function plainServer(folder: string): Promise<Server> {
  return start(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", folder], /port (\d+)/);
}

/** Start `ninelives page RUN --serve`, which sends the headers that threads need. */
export function pageServer(run: string, out: string): Promise<Server> {
  const args = ["scripts/page.py", run, "--out", out, "--serve", "--port", "0"];
  return start(args, /http:\/\/127\.0\.0\.1:(\d+)/);
}

function start(args: readonly string[], port: RegExp): Promise<Server> {
  const child = spawn(findPython(), args, {
    cwd: REPOSITORY,
    env: { ...process.env, OMP_NUM_THREADS: "1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  return new Promise((resolve, reject) => {
    let said = "";
    const listen = (text: Buffer): void => {
      said += text.toString();
      const found = port.exec(said);
      if (found)
        resolve({ url: `http://127.0.0.1:${found[1]!}/`, said: () => said, close: () => ended(child) });
    };
    child.stdout.on("data", listen);
    child.stderr.on("data", listen); // http.server writes its requests there; a full pipe would stop it.
    child.on("error", reject);
    child.on("exit", (code) => {
      reject(new Error(`python ${args.join(" ")} ended with ${code ?? "a signal"}: ${said}`));
    });
  });
}

function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null) resolve();
    child.on("exit", () => {
      resolve();
    });
    child.kill("SIGTERM");
  });
}
