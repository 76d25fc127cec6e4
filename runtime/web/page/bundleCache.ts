/**
 * The stored bundle, for the service worker. Each bundle has a cache of its own, named by its
 * folder and the SHA-256 of its manifest, and a file enters it only if its hash is the one that the
 * manifest lists: files of two bundles are never mixed. An older bundle is deleted once the newer
 * one is complete, with what clips need if the older had that. Bundles that this page cannot read
 * are left to the network.
 */

import { MANIFEST_NAME } from "../src/bundle/records.ts";
import { sha256 } from "../src/bundle/sha256.ts";
import { clipFiles, neededFiles, parseManifest } from "./cacheChoice.ts";

/** How long, in ms, a slow network may take to tell whether there is a newer bundle. */
const MANIFEST_PATIENCE = 4000;

export class BundleCache {
  /** By client, a tab's worker: the bundle whose manifest it was given, which it is loading. */
  private readonly served = new Map<string, string>();
  private readonly prefix: string;

  /** @param root the bundle's folder, absolute, with a slash at the end */
  constructor(private readonly root: string) {
    this.prefix = `tracenet-bundle ${root} `;
  }

  /**
   * The network's manifest, for a bundle may have changed; offline, or if the network's is of no
   * use to this page, the stored one's.
   */
  async manifest(client: string): Promise<Response> {
    const stored = await this.completeBundle();
    const fetched = this.fetchManifest();
    const fresh = await (stored === null ? fetched : orNull(fetched, MANIFEST_PATIENCE));
    const name = fresh ?? stored;
    if (name === null) return fetch(this.root + MANIFEST_NAME);
    this.served.set(client, name);
    return (await this.stored(name, MANIFEST_NAME)) ?? Response.error();
  }

  /**
   * A file of the bundle whose manifest the client was given, from its cache or, then stored, the
   * network.
   */
  async file(path: string, client: string): Promise<Response> {
    const name = this.served.get(client) ?? (await this.onlyBundle());
    if (name === null) return fetch(this.root + path);
    return (await this.stored(name, path)) ?? (await this.fetchFile(name, path));
  }

  /**
   * Store whatever is missing of the network's bundle; whether a complete bundle is stored then.
   */
  async complete(): Promise<boolean> {
    const name = await this.fetchManifest();
    if (name !== null) {
      for (const path of await this.missingOf(name)) await this.fetchFile(name, path);
      if ((await this.missingOf(name)).length === 0) {
        if (await this.hadClips(name)) await this.storeClips(name);
        await this.deleteAllBut(name);
      }
    }
    return (await this.completeBundle()) !== null;
  }

  /** Forget bundles that only another version of the page can read. */
  async deleteUnreadable(): Promise<void> {
    for (const name of await this.bundles()) {
      if ((await this.manifestOf(name)) === null) await caches.delete(name);
    }
  }

  /**
   * Fetch the manifest and store it; the name of its cache, or null if it cannot be had or stored.
   */
  private async fetchManifest(): Promise<string | null> {
    const response = await fetch(this.root + MANIFEST_NAME, { cache: "no-cache" }).catch(() => null);
    if (!response?.ok) return null;
    const bytes = await bytesOf(response);
    if (parseManifest(new TextDecoder().decode(bytes)) === null) return null;
    const name = this.prefix + (await sha256(bytes));
    return (await store(name, this.root + MANIFEST_NAME, response)) ? name : null;
  }

  /** Fetch a file, and store it if it is the one that the manifest lists. */
  private async fetchFile(name: string, path: string): Promise<Response> {
    const response = await fetch(this.root + path, { cache: "no-cache" });
    const wanted = (await this.manifestOf(name))?.files[path]?.sha256;
    if (response.ok && wanted === (await sha256(await bytesOf(response)))) {
      await store(name, this.root + path, response.clone());
    }
    return response;
  }

  /**
   * The one bundle of which something is stored; null if there are several. A worker that was
   * ended meanwhile has forgotten which one a client is loading.
   */
  private async onlyBundle(): Promise<string | null> {
    const names = await this.bundles();
    return names.length === 1 ? (names[0] ?? null) : null;
  }

  /** The name of a bundle that is stored whole; null if there is none. */
  private async completeBundle(): Promise<string | null> {
    for (const name of await this.bundles()) {
      if ((await this.missingOf(name)).length === 0) return name;
    }
    return null;
  }

  private async missingOf(name: string): Promise<string[]> {
    const manifest = await this.manifestOf(name);
    if (manifest === null) return [MANIFEST_NAME];
    const held = new Set((await (await caches.open(name)).keys()).map((request) => request.url));
    return neededFiles(manifest).filter((path) => !held.has(this.root + path));
  }

  private async manifestOf(name: string): ReturnType<typeof readManifest> {
    return readManifest(await this.stored(name, MANIFEST_NAME));
  }

  private async stored(name: string, path: string): Promise<Response | undefined> {
    // Opening a cache that was deleted would create it again.
    if (!(await caches.has(name))) return undefined;
    return (await caches.open(name)).match(this.root + path);
  }

  private async bundles(): Promise<string[]> {
    return (await caches.keys()).filter((name) => name.startsWith(this.prefix));
  }

  /** Whether an older bundle was stored with what clips need. */
  private async hadClips(name: string): Promise<boolean> {
    for (const older of await this.bundles()) {
      if (older === name) continue;
      const manifest = await this.manifestOf(older);
      for (const path of manifest === null ? [] : clipFiles(manifest)) {
        if ((await this.stored(older, path)) !== undefined) return true;
      }
    }
    return false;
  }

  private async storeClips(name: string): Promise<void> {
    const manifest = await this.manifestOf(name);
    for (const path of manifest === null ? [] : clipFiles(manifest)) {
      if ((await this.stored(name, path)) === undefined) await this.fetchFile(name, path);
    }
  }

  private async deleteAllBut(kept: string): Promise<void> {
    const others = (await this.bundles()).filter((name) => name !== kept);
    await Promise.all(others.map((name) => caches.delete(name)));
  }
}

async function readManifest(
  response: Response | undefined,
): Promise<ReturnType<typeof parseManifest>> {
  return response === undefined ? null : parseManifest(await response.text());
}

/** The bytes of a response, which can still be read afterwards. */
async function bytesOf(response: Response): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await response.clone().arrayBuffer());
}

/** Whether a response could be stored: where there is no room, the page works, but not offline. */
async function store(name: string, url: string, response: Response): Promise<boolean> {
  try {
    await (await caches.open(name)).put(url, response);
    return true;
  } catch {
    return false;
  }
}

/** What a promise gives within so many ms; null after that. */
function orNull<T>(promise: Promise<T | null>, patience: number): Promise<T | null> {
  const late = new Promise<null>((resolve) => setTimeout(() => resolve(null), patience));
  return Promise.race([promise, late]);
}
