/** Makes the page work offline: registers the service worker and asks it whether all is stored. */

import type { Segmenter } from "../src/types.ts";
import { element } from "./dom.ts";

const note = element("offline", HTMLElement);

/**
 * Start once the network is loaded, so as not to slow the first load down.
 * @returns whether page and bundle are stored for offline use; false where browsers do not allow it
 */
export async function startOffline(ready: Promise<Segmenter>): Promise<boolean> {
  if (!("serviceWorker" in navigator)) {
    note.textContent = "Offline use needs an address that begins with https, or localhost.";
    return false;
  }
  await ready;
  if (!import.meta.env.PROD) return false;
  try {
    const registration = await navigator.serviceWorker.register("sw.js");
    const worker = await activeWorker(registration);
    const isStored = worker !== null && (await askWhetherStored(worker));
    note.textContent = isStored
      ? "The page is stored in this browser and works offline."
      : "The page is not stored for offline use yet; open it again with a connection.";
    return isStored;
  } catch (error) {
    note.textContent = `The page could not be stored for offline use. (${String(error)})`;
    return false;
  }
}

/** The worker that answers for the page; null if it could not store the page's files. */
function activeWorker(registration: ServiceWorkerRegistration): Promise<ServiceWorker | null> {
  const { active, waiting, installing } = registration;
  const coming = waiting ?? installing;
  if (active !== null || coming === null) return Promise.resolve(active);
  return new Promise((resolve) => {
    coming.addEventListener("statechange", () => {
      if (coming.state === "activated") resolve(coming);
      if (coming.state === "redundant") resolve(null);
    });
  });
}

function askWhetherStored(worker: ServiceWorker): Promise<boolean> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = (event: MessageEvent<boolean>) => resolve(event.data);
    worker.postMessage("is the page stored?", [port2]);
  });
}
