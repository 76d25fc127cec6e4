/** The page's side of the service worker: whether all is stored, and newer versions of the page. */

import type { TapSegmenter } from "../src/index.ts";
import type { PageMessage } from "./cacheChoice.ts";
import { element } from "./dom.ts";

/** How long storing everything may take, in ms; browsers end workers that take longer. */
const STORING_LIMIT = 300_000;

const OF_CLIPS = " So do clips, once one has been opened here with a connection.";

const note = element("offline", HTMLElement);

/**
 * Start once the network is loaded, so as not to slow the first load down.
 * @returns whether page and bundle are stored for offline use; false where browsers do not allow it
 */
export async function startOffline(ready: Promise<TapSegmenter>): Promise<boolean> {
  if (!("serviceWorker" in navigator)) {
    note.textContent = "Offline use needs an address that begins with https, or localhost.";
    return false;
  }
  const { bundle } = await ready;
  if (!import.meta.env.PROD) return false;
  try {
    const registration = await navigator.serviceWorker.register("sw.js");
    const worker = await activeWorker(registration);
    const isStored = worker !== null && (await askWhetherStored(worker));
    note.textContent = isStored
      ? `The page is stored in this browser and works offline.${bundle.tracks ? OF_CLIPS : ""}`
      : "The page is not stored for offline use yet; open it again with a connection.";
    return isStored;
  } catch (error) {
    note.textContent = `The page could not be stored for offline use. (${String(error)})`;
    return false;
  }
}

/**
 * Let a newer version of the page take over, if the server has one: a page out of the cache may be
 * too old for the server's bundle.
 * @returns whether one has; the page is to be loaded again then
 */
export async function activateNewerPage(): Promise<boolean> {
  try {
    const registration = await navigator.serviceWorker.getRegistration();
    await registration?.update();
    const newer = registration?.installing ?? registration?.waiting;
    if (!newer) return false;
    // A worker that is still being installed heeds this once it waits.
    newer.postMessage("activate" satisfies PageMessage);
    return await isActivated(newer);
  } catch {
    return false; // no workers here, or no connection
  }
}

/** The worker that answers for the page; null if it could not store the page's files. */
async function activeWorker(
  registration: ServiceWorkerRegistration,
): Promise<ServiceWorker | null> {
  const { active, waiting, installing } = registration;
  const coming = waiting ?? installing;
  if (active !== null || coming === null) return active;
  return (await isActivated(coming)) ? coming : null;
}

/** Whether a worker gets as far as that; false if it could not store the page's files. */
function isActivated(worker: ServiceWorker): Promise<boolean> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (worker.state === "activated") resolve(true);
      if (worker.state === "redundant") resolve(false);
    };
    worker.addEventListener("statechange", look);
    look();
  });
}

/** Asks; a worker that is ended while it stores never answers, which is a no. */
function askWhetherStored(worker: ServiceWorker): Promise<boolean> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    const timer = setTimeout(() => resolve(false), STORING_LIMIT);
    port1.onmessage = (event: MessageEvent<boolean>) => {
      clearTimeout(timer);
      resolve(event.data);
    };
    worker.postMessage("is the page stored?" satisfies PageMessage, [port2]);
  });
}
