import "./style.css";
import { PageError } from "./errors";
import { register } from "./isolation";
import { forcedBackend, thisBrowser } from "./model/backends";
import { Engine } from "./model/engine";
import { loadFiles, loadManifest } from "./model/files";
import type { Manifest } from "./model/manifest";
import { openStore } from "./model/store";
import { Page } from "./ui/page";
import { byId } from "./ui/dom";
import { megabytes } from "./ui/numbers";
import { showMachine } from "./ui/machine";
import { Status } from "./ui/status";

const base = new URL(".", document.baseURI);
const status = new Status();

async function start(): Promise<void> {
  byId("not-started").remove();
  status.phase("loading", "Loading.");
  if (await register(base)) return;
  needWebAssembly();
  const manifest = await loadManifest(base);
  const page = new Page(manifest, status);
  page.begin(await makeEngine(manifest));
}

async function makeEngine(manifest: Manifest): Promise<Engine> {
  const { name: forced, unknown } = forcedBackend(location.search);
  if (unknown !== null) status.note(`There is no backend ${unknown}: the fastest right one is taken.`);
  const store = await openStore(base);
  const files = await loadFiles(manifest, base, store, forced === "webgpu", (loaded, total) => {
    const text = `Loading the model: ${megabytes(loaded)} of ${megabytes(total)}.`;
    status.progress(text, loaded / total);
  });
  const engine = new Engine(manifest, files, forced, thisBrowser(), startWorker, {
    verdicts: (verdicts) => {
      showMachine(byId("machine"), verdicts, engine.chosen?.threads ?? null);
    },
    note: (text) => {
      status.note(text);
    },
  });
  status.phase("probing", "Choosing the fastest backend that gives the known answer.");
  await engine.start();
  return engine;
}

function startWorker(): Worker {
  return new Worker(new URL("./worker/worker.ts", import.meta.url), { type: "module", name: "denoiser" });
}

function needWebAssembly(): void {
  if (typeof WebAssembly === "object") return;
  throw new PageError(
    "This browser has no WebAssembly, or it is switched off, so the model cannot be computed.",
    "Open the page in Chrome, Edge, Firefox or Safari, without a mode that switches WebAssembly off.",
  );
}

start().catch((error: unknown) => {
  status.fail(error);
});
