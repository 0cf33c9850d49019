import { defineConfig } from "vitest/config";

/** What a page needs for threads in WebAssembly: a browser isolates it from other origins. */
const ISOLATION = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

export default defineConfig({
  // Relative addresses: the built folder works below any path.
  base: "./",
  worker: { format: "es" },
  optimizeDeps: { exclude: ["onnxruntime-web"] },
  // The command `ninelives page` copies this folder, which is package data.
  build: { outDir: "../lightning_modules/page/site", emptyOutDir: true },
  server: { headers: ISOLATION },
  preview: { headers: ISOLATION },
  test: { include: ["tests/**/*.test.ts"], environment: "node" },
});
