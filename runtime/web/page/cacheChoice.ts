/** Which cache answers a request of the page: pure functions, for the service worker. */

import { SCHEMA_VERSION, TRACKING_WEIGHTS } from "../src/bundle/records.ts";

/**
 * A file of the built page: its address relative to the page's, and the SHA-256 of its bytes, in
 * hex.
 */
export interface PageFile {
  readonly url: string;
  readonly sha256: string;
}

export type CacheChoice =
  | { readonly from: "page"; readonly url: string }
  | { readonly from: "bundle"; readonly path: string }
  | { readonly from: "network" };

/** What the page tells its worker: to store what is missing and say so, or to take over. */
export type PageMessage = "is the page stored?" | "activate";

/** The page itself, which is asked for by its folder's address. */
export const INDEX = "./";
const BUNDLE = "bundle/";

/**
 * @param method of the request
 * @param address of the request, absolute
 * @param scope the page's folder, absolute, with a slash at the end
 * @param pageFiles the relative addresses that are stored
 */
export function chooseCache(
  method: string,
  address: string,
  scope: string,
  pageFiles: ReadonlySet<string>,
): CacheChoice {
  if (method !== "GET" || !address.startsWith(scope)) return { from: "network" };
  const path = address.slice(scope.length).replace(/[?#].*$/, "");
  if (path === "" || path === "index.html") return { from: "page", url: INDEX };
  if (pageFiles.has(path)) return { from: "page", url: path };
  if (path.startsWith(BUNDLE)) return { from: "bundle", path: path.slice(BUNDLE.length) };
  return { from: "network" };
}

/** What the service worker reads of a bundle's manifest. */
export interface BundleManifest {
  readonly files: Readonly<Record<string, { readonly sha256: string }>>;
  readonly programs?: Readonly<Record<string, { readonly file: string }>>;
  readonly tracking?: { readonly programs: Readonly<Record<string, string>> } | null;
}

/** A bundle's manifest, or null if that is not what the text is, or this page cannot read it. */
export function parseManifest(text: string): BundleManifest | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  const manifest = value as { schema_version?: unknown; files?: unknown } | null;
  if (manifest?.schema_version !== SCHEMA_VERSION) return null;
  const { files } = manifest;
  if (typeof files !== "object" || files === null) return null;
  const isListed = (file: unknown): boolean =>
    typeof (file as { sha256?: unknown } | null)?.sha256 === "string";
  return Object.values(files).every(isListed) ? (value as BundleManifest) : null;
}

/**
 * The files of a bundle that taps need, and the golden ones that loading replays: all but reports,
 * and what only clips need, which is stored when a first clip is opened.
 */
export function neededFiles(manifest: BundleManifest): string[] {
  const ofClips = clipFiles(manifest);
  return Object.keys(manifest.files).filter(
    (path) => !/^parity\.[a-z]+$/.test(path) && !ofClips.has(path),
  );
}

/** The programs that carry masks through clips, which no tap runs, and their weights. */
export function clipFiles({ programs = {}, tracking }: BundleManifest): Set<string> {
  const models = Object.values(tracking?.programs ?? {}).map((name) => programs[name]?.file ?? "");
  const weights = models.map((path) => path.replace(/[^/]*$/, TRACKING_WEIGHTS));
  return new Set([...models, ...weights]);
}
