import { defineConfig } from "vitest/config";
import { compressedParts } from "./plugins/parts.ts";
import { policy, shellList } from "./plugins/shell.ts";

/** What a page needs for threads in WebAssembly: a browser isolates it from other origins. */
const ISOLATION = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

export default defineConfig({
  // Relative addresses: the built folder works below any path.
  base: "./",
  plugins: [compressedParts(), policy(), shellList()],
  // onnxruntime loads its WebAssembly from addresses that it is given, instead of a copy inside its script.
  resolve: { conditions: ["onnxruntime-web-use-extern-wasm", "module", "browser", "development|production"] },
  worker: { format: "es", rolldownOptions: { output: { assetFileNames } } },
  optimizeDeps: { exclude: ["onnxruntime-web"] },
  build: {
    // The command `ninelives page` copies this folder, which is package data.
    outDir: "../lightning_modules/page/site",
    emptyOutDir: true,
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    rolldownOptions: {
      input: { index: "index.html", sw: "src/service-worker.ts" },
      output: {
        // A service worker controls the folder that it is in.
        entryFileNames: ({ name }) => (name === "sw" ? "sw.js" : "assets/[name]-[hash].js"),
        assetFileNames,
      },
    },
  },
  server: { headers: ISOLATION, fs: { allow: [".."] } },
  preview: { headers: ISOLATION },
  test: { include: ["tests/**/*.test.ts"], exclude: ["tests/browser/**"], environment: "node" },
});

/** Many servers do not know that `.mjs` is JavaScript, and a browser then refuses it. */
function assetFileNames({ names }: { names: string[] }): string {
  return names[0]?.endsWith(".mjs") ? "assets/[name]-[hash].js" : "assets/[name]-[hash][extname]";
}
