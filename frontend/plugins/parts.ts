/** `import part from "x.wasm?part"`: the address of a file, stored compressed, with its size and digest. */

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { gzipSync } from "node:zlib";
import type { Plugin } from "vite";

const SUFFIX = "?part";

/**
 * Make the plugin. Many static hosts do not compress what they send, and onnxruntime's WebAssembly is a quarter of
 * its size when compressed: so it is stored compressed, and the page unpacks it.
 */
export function compressedParts(): Plugin {
  let building = false;
  return {
    name: "compressed-parts",
    enforce: "pre",
    configResolved(config) {
      building = config.command === "build";
    },
    async resolveId(source, importer) {
      if (!source.endsWith(SUFFIX)) return null;
      const found = await this.resolve(source.slice(0, -SUFFIX.length), importer, { skipSelf: true });
      return found && found.id.replace(/\?.*$/, "") + SUFFIX;
    },
    async load(id) {
      if (!id.endsWith(SUFFIX)) return null;
      const path = id.slice(0, -SUFFIX.length);
      const content = await readFile(path);
      const sha256 = createHash("sha256").update(content).digest("hex");
      const name = basename(path);
      if (!building) return exported(JSON.stringify(`/@fs${path}`), content.length, name, sha256);
      const source = gzipSync(content, { level: 9 });
      const file = this.emitFile({ type: "asset", name: `${name}.gz`, source });
      return exported(`import.meta.ROLLUP_FILE_URL_${file}`, source.length, name, sha256);
    },
  };
}

function exported(url: string, bytes: number, name: string, sha256: string): string {
  return `export default { url: ${url}, bytes: ${bytes}, name: ${JSON.stringify(name)}, sha256: "${sha256}" };`;
}
