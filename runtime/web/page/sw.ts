/**
 * The service worker: the page offline. The page's files are stored whole, as one version, when the
 * worker is installed, and a newer version waits until no page of the older is open, or until a
 * page that cannot run gives way to it. The bundle has its own cache, see bundleCache.ts.
 */

import { MANIFEST_NAME } from "../src/bundle/records.ts";
import { BundleCache } from "./bundleCache.ts";
import { chooseCache, type PageFile, type PageMessage } from "./cacheChoice.ts";

/** Put in by the build (build/serviceWorker.ts): the files of the page, and a hash of them all. */
declare const PAGE_FILES: readonly PageFile[];
declare const PAGE_VERSION: string;

/**
 * The part of a service worker's globals that is used; TypeScript's own are for pages or workers.
 */
interface LongEvent extends Event {
  waitUntil(work: Promise<unknown>): void;
}
interface FetchEvent extends LongEvent {
  readonly request: Request;
  readonly clientId: string;
  respondWith(response: Promise<Response>): void;
}
interface AskEvent extends LongEvent {
  readonly data: PageMessage;
  readonly ports: readonly MessagePort[];
}
interface ServiceWorkerScope {
  readonly registration: { readonly scope: string };
  readonly clients: { claim(): Promise<void> };
  skipWaiting(): Promise<void>;
  addEventListener(type: "install" | "activate", listener: (event: LongEvent) => void): void;
  addEventListener(type: "fetch", listener: (event: FetchEvent) => void): void;
  addEventListener(type: "message", listener: (event: AskEvent) => void): void;
}

const worker = self as unknown as ServiceWorkerScope;
const { scope } = worker.registration;
// With the scope, for other folders of this origin may have a page of their own.
const PAGE_PREFIX = `tracenet-page ${scope} `;
const pageCache = PAGE_PREFIX + PAGE_VERSION;
const pageUrls = new Set(PAGE_FILES.map((file) => file.url));
const bundle = new BundleCache(`${scope}bundle/`);

worker.addEventListener("install", (event) => event.waitUntil(storePage()));

worker.addEventListener("activate", (event) => {
  // Claiming lets the first visit, too, do offline what it has not done before, such as an export.
  const forgotten = [deleteOtherPages(), bundle.deleteUnreadable()];
  event.waitUntil(Promise.all([...forgotten, worker.clients.claim()]));
});

worker.addEventListener("fetch", (event) => {
  const { request, clientId } = event;
  const choice = chooseCache(request.method, request.url, scope, pageUrls);
  if (choice.from === "page") {
    event.respondWith(fromPage(choice.url, request));
  } else if (choice.from === "bundle") {
    const { path } = choice;
    event.respondWith(path === MANIFEST_NAME ? bundle.manifest(clientId) : bundle.file(path, clientId));
  }
});

worker.addEventListener("message", (event) => {
  event.waitUntil(event.data === "activate" ? worker.skipWaiting() : answerWhetherStored(event));
});

async function answerWhetherStored({ ports }: AskEvent): Promise<void> {
  const isStored = await storePage()
    .then(() => bundle.complete())
    .catch(() => false);
  ports[0]?.postMessage(isStored);
}

/**
 * Store the files of the page that are not stored: all, or those that the browser has deleted.
 * @throws TypeError if a file cannot be fetched, or is not the one of this version
 */
async function storePage(): Promise<void> {
  const cache = await caches.open(pageCache);
  const held = new Set((await cache.keys()).map((request) => request.url));
  const requests = PAGE_FILES.map(
    ({ url, sha256 }) =>
      new Request(new URL(url, scope), { cache: "no-cache", integrity: integrityOf(sha256) }),
  );
  await cache.addAll(requests.filter((request) => !held.has(request.url)));
}

async function fromPage(url: string, request: Request): Promise<Response> {
  const cache = await caches.open(pageCache);
  return (await cache.match(new URL(url, scope).href)) ?? fetch(request);
}

async function deleteOtherPages(): Promise<void> {
  const names = await caches.keys();
  const others = names.filter((name) => name.startsWith(PAGE_PREFIX) && name !== pageCache);
  await Promise.all(others.map((name) => caches.delete(name)));
}

/** A SHA-256 in hex as browsers want it. */
function integrityOf(hex: string): string {
  const bytes = hex.match(/../g)?.map((byte) => Number.parseInt(byte, 16)) ?? [];
  return `sha256-${btoa(String.fromCharCode(...bytes))}`;
}
