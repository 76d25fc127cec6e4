import { createHash } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { BundleCache } from "../page/bundleCache.ts";
import { SCHEMA_VERSION } from "../src/bundle/records.ts";

const ROOT = "https://example.org/demo/bundle/";
const TAB = "a tab";
const OTHER_TAB = "another tab";

/** The part of the browser's CacheStorage that is used, in memory. */
class MemoryCaches {
  readonly all = new Map<string, Map<string, Response>>();

  open(name: string): Promise<unknown> {
    const cache = this.all.get(name) ?? new Map<string, Response>();
    this.all.set(name, cache);
    return Promise.resolve({
      put: (url: string, response: Response) => Promise.resolve(void cache.set(url, response)),
      match: (url: string) => Promise.resolve(cache.get(url)?.clone()),
      keys: () => Promise.resolve([...cache.keys()].map((url) => ({ url }))),
    });
  }

  has(name: string): Promise<boolean> {
    return Promise.resolve(this.all.has(name));
  }

  keys(): Promise<string[]> {
    return Promise.resolve([...this.all.keys()]);
  }

  delete(name: string): Promise<boolean> {
    return Promise.resolve(this.all.delete(name));
  }
}

/** The files that a server has for a bundle with these contents. */
function bundleOf(
  contents: Record<string, string>,
  schemaVersion = SCHEMA_VERSION,
): Map<string, string> {
  const files = Object.fromEntries(
    Object.entries(contents).map(([path, text]) => {
      return [path, { sha256: createHash("sha256").update(text).digest("hex") }];
    }),
  );
  const manifest = JSON.stringify({ schema_version: schemaVersion, files });
  return new Map([["manifest.json", manifest], ...Object.entries(contents)]);
}

const first = bundleOf({ "table.bin": "one", "programs/a.onnx": "first", "parity.json": "report" });
const second = bundleOf({ "table.bin": "two", "programs/a.onnx": "second" });
const unreadable = bundleOf({ "table.bin": "new" }, SCHEMA_VERSION + 1);

describe("the bundle's cache", () => {
  let server: Map<string, string> | null;
  let storage: MemoryCaches;
  let fetched: string[];
  beforeEach(() => {
    server = first;
    storage = new MemoryCaches();
    fetched = [];
    vi.stubGlobal("caches", storage);
    vi.stubGlobal("fetch", (url: string) => {
      const path = url.slice(ROOT.length);
      fetched.push(path);
      if (server === null) return Promise.reject(new TypeError("no network"));
      const text = server.get(path);
      return Promise.resolve(
        new Response(text ?? null, { status: text === undefined ? 404 : 200 }),
      );
    });
  });
  afterEach(() => vi.unstubAllGlobals());

  const text = async (response: Promise<Response>): Promise<string> => (await response).text();

  it("stores the whole bundle but its reports, and answers offline", async () => {
    expect(await new BundleCache(ROOT).complete()).toBe(true);
    expect(fetched).toEqual(["manifest.json", "table.bin", "programs/a.onnx"]);
    server = null;
    const offline = new BundleCache(ROOT);
    expect(await text(offline.manifest(TAB))).toBe(first.get("manifest.json"));
    expect(await text(offline.file("programs/a.onnx", TAB))).toBe("first");
  });

  it("is not complete without a network, or when a file is missing or altered", async () => {
    server = new Map(first).set("table.bin", "altered");
    expect(await new BundleCache(ROOT).complete()).toBe(false);
    server.delete("table.bin");
    expect(await new BundleCache(ROOT).complete()).toBe(false);
    server = null;
    expect(await new BundleCache(ROOT).complete()).toBe(false);
    server = first;
    expect(await new BundleCache(ROOT).complete()).toBe(true);
  });

  it("asks for the manifest at each start and for nothing else while it is the same", async () => {
    await new BundleCache(ROOT).complete();
    fetched = [];
    const again = new BundleCache(ROOT);
    await again.manifest(TAB);
    expect(await text(again.file("table.bin", TAB))).toBe("one");
    expect(await again.complete()).toBe(true);
    expect(fetched).toEqual(["manifest.json", "manifest.json"]);
  });

  it("takes a changed bundle as a whole and then forgets the one before", async () => {
    await new BundleCache(ROOT).complete();
    server = second;
    const changed = new BundleCache(ROOT);
    expect(await text(changed.manifest(TAB))).toBe(second.get("manifest.json"));
    expect(await text(changed.file("table.bin", TAB))).toBe("two");
    expect(await text(changed.file("programs/a.onnx", TAB))).toBe("second");
    expect(await changed.complete()).toBe(true);
    expect(storage.all.size).toBe(1);
  });

  it("takes what clips need of a changed bundle where that was stored of the one before", async () => {
    const ofClips = (text: string) => {
      const files = new Map(bundleOf({ "table.bin": text, "programs/track.onnx": text }));
      const manifest = JSON.parse(files.get("manifest.json")!);
      manifest.programs = { track: { file: "programs/track.onnx" } };
      manifest.tracking = { programs: { frame: "track" } };
      return files.set("manifest.json", JSON.stringify(manifest));
    };
    for (const isOpened of [false, true]) {
      storage.all.clear();
      server = ofClips("old");
      const cache = new BundleCache(ROOT);
      await cache.complete();
      if (isOpened) await cache.file("programs/track.onnx", TAB);
      server = ofClips("new");
      fetched = [];
      expect(await cache.complete()).toBe(true);
      expect(storage.all.size).toBe(1);
      expect(fetched.includes("programs/track.onnx")).toBe(isOpened);
      server = null;
      const offline = new BundleCache(ROOT).file("programs/track.onnx", OTHER_TAB);
      if (isOpened) expect(await text(offline)).toBe("new");
      else await expect(offline).rejects.toThrow("no network");
    }
  });

  it("goes on with the bundle before while the changed one is not whole", async () => {
    await new BundleCache(ROOT).complete();
    server = second;
    await new BundleCache(ROOT).manifest(TAB);
    server = null;
    const offline = new BundleCache(ROOT);
    expect(await text(offline.manifest(TAB))).toBe(first.get("manifest.json"));
    expect(await text(offline.file("table.bin", TAB))).toBe("one");
  });

  it("goes on with the bundle before while the page cannot read the changed one", async () => {
    await new BundleCache(ROOT).complete();
    server = unreadable;
    const cache = new BundleCache(ROOT);
    expect(await text(cache.manifest(TAB))).toBe(first.get("manifest.json"));
    expect(await text(cache.file("table.bin", TAB))).toBe("one");
    expect(await cache.complete()).toBe(true);
    expect(storage.all.size).toBe(1);
  });

  it("forgets a bundle of an older schema", async () => {
    await new BundleCache(ROOT).complete();
    const [[name, cache]] = [...storage.all] as [[string, Map<string, Response>]];
    const old = bundleOf({ "table.bin": "one" }, SCHEMA_VERSION - 1);
    cache.set(`${ROOT}manifest.json`, new Response(old.get("manifest.json")));
    server = second;
    const updated = new BundleCache(ROOT);
    await updated.deleteUnreadable();
    expect(storage.all.has(name)).toBe(false);
    // As when the browser has no room to store the new manifest, and the worker's memory is gone.
    expect(await text(updated.file("table.bin", TAB))).toBe("two");
    expect(await updated.complete()).toBe(true);
    await updated.deleteUnreadable();
    expect(storage.all.size).toBe(1);
  });

  it("hands a bundle that the page cannot read on where nothing is stored", async () => {
    server = unreadable;
    const cache = new BundleCache(ROOT);
    expect(await text(cache.manifest(TAB))).toBe(unreadable.get("manifest.json"));
    expect(await cache.complete()).toBe(false);
    expect(storage.all.size).toBe(0);
  });

  it("gives each tab files of the bundle whose manifest it was given", async () => {
    const cache = new BundleCache(ROOT);
    await cache.complete();
    await cache.manifest(TAB);
    server = second;
    await cache.manifest(OTHER_TAB);
    expect(await text(cache.file("table.bin", TAB))).toBe("one");
    expect(await text(cache.file("table.bin", OTHER_TAB))).toBe("two");
  });

  it("asks the network if it was ended while a tab loads a changed bundle", async () => {
    await new BundleCache(ROOT).complete();
    server = second;
    await new BundleCache(ROOT).manifest(TAB);
    expect(await text(new BundleCache(ROOT).file("table.bin", TAB))).toBe("two");
  });

  it("does not create the cache of a forgotten bundle again", async () => {
    const cache = new BundleCache(ROOT);
    await cache.manifest(TAB);
    server = second;
    await cache.complete();
    await cache.file("table.bin", TAB);
    expect(storage.all.size).toBe(1);
  });

  it("leaves the bundle of another folder alone", async () => {
    await new BundleCache(ROOT).complete();
    const inside = new BundleCache(`${ROOT}bundle/`);
    vi.stubGlobal("fetch", (url: string) =>
      Promise.resolve(new Response(second.get(url.slice(`${ROOT}bundle/`.length)) ?? null)),
    );
    expect(await inside.complete()).toBe(true);
    expect(storage.all.size).toBe(2);
    vi.stubGlobal("fetch", () => Promise.reject(new TypeError("no network")));
    expect(await text(new BundleCache(ROOT).file("table.bin", TAB))).toBe("one");
    expect(await text(inside.file("table.bin", TAB))).toBe("two");
  });

  it("passes the network's answer through when there is no room to store", async () => {
    vi.spyOn(storage, "open").mockRejectedValue(new DOMException("full", "QuotaExceededError"));
    vi.spyOn(storage, "keys").mockResolvedValue([]);
    const full = new BundleCache(ROOT);
    expect(await text(full.manifest(TAB))).toBe(first.get("manifest.json"));
    expect(await text(full.file("table.bin", TAB))).toBe("one");
    expect(await full.complete()).toBe(false);
  });

  it("hands an altered file on without storing it, for the page to refuse", async () => {
    server = new Map(first).set("table.bin", "altered");
    const cache = new BundleCache(ROOT);
    await cache.manifest(TAB);
    expect(await text(cache.file("table.bin", TAB))).toBe("altered");
    server = first;
    expect(await text(cache.file("table.bin", TAB))).toBe("one");
  });
});
