/** The service worker: registered, and the page loaded again through it where that gives threads. */

const RELOADED = "nine-lives isolated";

/**
 * Register the service worker.
 *
 * A host that sends no headers for isolation gets them from the service worker, once the page is loaded through
 * it: so it is loaded again, once.
 *
 * @returns Whether the page is about to be loaded again.
 */
export async function register(base: URL): Promise<boolean> {
  if (!import.meta.env.PROD || !("serviceWorker" in navigator)) return false;
  try {
    const registration = await navigator.serviceWorker.register(new URL("sw.js", base), {
      scope: new URL(".", base).pathname,
    });
    if (crossOriginIsolated || window.top !== window || alreadyReloaded()) return false;
    await active(registration);
    location.reload();
    return true;
  } catch {
    // Not allowed here, as in some private windows: the page works without, with one thread.
    return false;
  }
}

/** A page that was reloaded and is still not isolated does not try again. */
function alreadyReloaded(): boolean {
  if (sessionStorage.getItem(RELOADED)) return true;
  sessionStorage.setItem(RELOADED, "yes");
  return false;
}

function active(registration: ServiceWorkerRegistration): Promise<void> {
  if (registration.active) return Promise.resolve();
  const worker = registration.installing ?? registration.waiting;
  return new Promise((resolve, reject) => {
    worker?.addEventListener("statechange", () => {
      if (worker.state === "activated") resolve();
      else if (worker.state === "redundant") reject(new Error("the service worker was not installed"));
    });
  });
}
