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
    await navigator.serviceWorker.register("sw.js");
    const registration = await navigator.serviceWorker.ready;
    const isStored = await askWhetherStored(registration);
    note.textContent = isStored
      ? "The page is stored in this browser and works offline."
      : "The page is not stored for offline use yet; open it again with a connection.";
    return isStored;
  } catch (error) {
    note.textContent = `The page could not be stored for offline use. (${String(error)})`;
    return false;
  }
}

function askWhetherStored(registration: ServiceWorkerRegistration): Promise<boolean> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = (event: MessageEvent<boolean>) => resolve(event.data);
    registration.active?.postMessage("is the page stored?", [port2]);
  });
}
