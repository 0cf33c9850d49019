/**
 * The service worker: keeps the page for visits without a network, and isolates it from other origins on hosts that
 * do not send the headers for it, since WebAssembly has threads only then.
 */

declare const self: ServiceWorkerGlobalScope;

/** Written by `plugins/shell.ts` when the site is built. */
const SHELL = JSON.parse("__SHELL__") as { readonly version: string; readonly files: readonly string[] };

const scope = new URL(self.registration.scope);
/** Caches belong to an origin: pages of several folders have one each. */
const PREFIX = `nine-lives shell ${scope.pathname} `;
const CACHE = PREFIX + SHELL.version;
const PAGE = new URL("index.html", scope).href;
const MANIFEST = new URL("model.json", scope).href;
/** What a new version of the model changes is asked for first, and taken from the cache without a network. */
const FRESH = new Set([scope.href, PAGE, MANIFEST]);

self.addEventListener("install", (event) => {
  event.waitUntil(install());
});

self.addEventListener("activate", (event) => {
  event.waitUntil(activate());
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== scope.origin || !url.pathname.startsWith(scope.pathname))
    return;
  event.respondWith(respond(request, url));
});

async function install(): Promise<void> {
  const cache = await caches.open(CACHE);
  // Not from the browser's own cache, which may have a file of an earlier version.
  const fresh = (url: string): Request => new Request(url, { cache: "no-cache" });
  await cache.addAll(SHELL.files.map((file) => fresh(new URL(file, scope).href)));
  // The page asked for it before this worker was there to keep it. Where it is missing, the page says so.
  await cache.add(fresh(MANIFEST)).catch(() => undefined);
  await self.skipWaiting();
}

async function activate(): Promise<void> {
  for (const name of await caches.keys()) {
    if (name.startsWith(PREFIX) && name !== CACHE) await caches.delete(name);
  }
  await self.clients.claim();
}

async function respond(request: Request, url: URL): Promise<Response> {
  url.search = "";
  url.hash = "";
  const key = url.href === scope.href ? PAGE : url.href;
  const cache = await caches.open(CACHE);
  if (!FRESH.has(url.href)) {
    const kept = await cache.match(key);
    return isolated(kept ?? (await fetch(request)));
  }
  try {
    const response = await fetch(request, { cache: "no-cache" });
    // The page of a newer version needs files that its own service worker keeps, and this one does not have.
    if (response.ok && key === MANIFEST) await cache.put(key, response.clone());
    return isolated(response);
  } catch (error) {
    const kept = await cache.match(key);
    if (kept) return isolated(kept);
    throw error;
  }
}

/** Return a response with the headers that isolate the page. */
function isolated(response: Response): Response {
  if (response.status === 0 || response.type === "opaqueredirect") return response;
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  headers.set("Cross-Origin-Resource-Policy", "same-origin");
  const { status, statusText } = response;
  return new Response(response.body, { status, statusText, headers });
}

export {};
