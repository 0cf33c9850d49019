/** What the built site has that its sources do not: a policy, and the list of its files. */

import { createHash } from "node:crypto";
import type { Plugin } from "vite";

/** Nothing comes from another host, and no string becomes a script. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "worker-src 'self'",
  "connect-src 'self'",
  "style-src 'self'",
  "img-src 'self' blob: data:",
  "manifest-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
].join("; ");

/** Put the policy into the built page; the development server needs inline styles. */
export function policy(): Plugin {
  return {
    name: "policy",
    apply: "build",
    transformIndexHtml: () => [
      {
        tag: "meta",
        attrs: { "http-equiv": "Content-Security-Policy", content: POLICY },
        injectTo: "head-prepend",
      },
    ],
  };
}

/** The word in `service-worker.ts` that stands for the list of files. */
const PLACE = /["'`]__SHELL__["'`]/;

/** Tell the service worker which files make the page, and a version that changes with any of them. */
export function shellList(): Plugin {
  return {
    name: "shell-list",
    apply: "build",
    enforce: "post",
    generateBundle(_options, bundle) {
      const worker = bundle["sw.js"];
      if (worker?.type !== "chunk") return; // The bundle of the module worker.
      const files = Object.keys(bundle)
        .filter((name) => name !== "sw.js" && !name.endsWith(".gz") && !name.endsWith(".map"))
        .sort();
      const hash = createHash("sha256");
      for (const name of files) {
        const file = bundle[name]!;
        hash.update(name).update(file.type === "chunk" ? file.code : file.source);
      }
      const shell = { version: hash.digest("hex").slice(0, 16), files };
      if (!PLACE.test(worker.code)) this.error("service-worker.ts has no place for the list of files");
      worker.code = worker.code.replace(PLACE, JSON.stringify(JSON.stringify(shell)));
    },
  };
}
