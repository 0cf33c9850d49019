/** Where downloaded files are kept, by their digest, so that the next visit needs no network. */

export interface PartStore {
  get(sha256: string): Promise<Blob | undefined>;
  put(sha256: string, content: Blob): Promise<void>;
  /** Delete all others. */
  keepOnly(digests: readonly string[]): Promise<void>;
}

/** A store that keeps nothing, for pages without Cache Storage (plain http on another host than localhost). */
export const NO_STORE: PartStore = {
  get: () => Promise.resolve(undefined),
  put: () => Promise.resolve(),
  keepOnly: () => Promise.resolve(),
};

/**
 * Return the store of a page.
 *
 * @param base - The page's address. Pages of one origin have a store each: one does not delete another's files.
 */
export async function openStore(base: URL): Promise<PartStore> {
  if (!("caches" in globalThis)) return NO_STORE;
  const folder = new URL(".", base);
  try {
    return new CacheStore(await caches.open(`nine-lives parts ${folder.pathname}`), folder);
  } catch {
    // Some private windows have the interface, and refuse.
    return NO_STORE;
  }
}

class CacheStore implements PartStore {
  constructor(
    private readonly cache: Cache,
    private readonly folder: URL,
  ) {}

  async get(sha256: string): Promise<Blob | undefined> {
    const response = await this.cache.match(this.key(sha256)).catch(() => undefined);
    return response?.blob();
  }

  async put(sha256: string, content: Blob): Promise<void> {
    // A full disk costs the next visit time, and is no reason to stop this one.
    await this.cache.put(this.key(sha256), new Response(content)).catch(() => undefined);
  }

  async keepOnly(digests: readonly string[]): Promise<void> {
    const kept = new Set(digests.map((each) => this.key(each)));
    for (const request of await this.cache.keys()) {
      if (!kept.has(request.url)) await this.cache.delete(request);
    }
  }

  private key(sha256: string): string {
    return new URL(`sha256-${sha256}`, this.folder).href;
  }
}
