import { createHash } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { BundleCache } from "../page/bundleCache.ts";

const ROOT = "https://example.org/demo/bundle/";

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

  keys(): Promise<string[]> {
    return Promise.resolve([...this.all.keys()]);
  }

  delete(name: string): Promise<boolean> {
    return Promise.resolve(this.all.delete(name));
  }
}

/** The files that a server has for a bundle with these contents. */
function bundleOf(contents: Record<string, string>): Map<string, string> {
  const files = Object.fromEntries(
    Object.entries(contents).map(([path, text]) => {
      return [path, { sha256: createHash("sha256").update(text).digest("hex") }];
    }),
  );
  return new Map([["manifest.json", JSON.stringify({ files })], ...Object.entries(contents)]);
}

const first = bundleOf({ "table.bin": "one", "programs/a.onnx": "first", "parity.json": "report" });
const second = bundleOf({ "table.bin": "two", "programs/a.onnx": "second" });

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
    expect(await text(offline.manifest())).toBe(first.get("manifest.json"));
    expect(await text(offline.file("programs/a.onnx"))).toBe("first");
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
    await again.manifest();
    expect(await text(again.file("table.bin"))).toBe("one");
    expect(await again.complete()).toBe(true);
    expect(fetched).toEqual(["manifest.json", "manifest.json"]);
  });

  it("takes a changed bundle as a whole and then forgets the one before", async () => {
    await new BundleCache(ROOT).complete();
    server = second;
    const changed = new BundleCache(ROOT);
    expect(await text(changed.manifest())).toBe(second.get("manifest.json"));
    expect(await text(changed.file("table.bin"))).toBe("two");
    expect(await text(changed.file("programs/a.onnx"))).toBe("second");
    expect(await changed.complete()).toBe(true);
    expect(storage.all.size).toBe(1);
  });

  it("goes on with the bundle before while the changed one is not whole", async () => {
    await new BundleCache(ROOT).complete();
    server = second;
    await new BundleCache(ROOT).manifest();
    server = null;
    const offline = new BundleCache(ROOT);
    expect(await text(offline.manifest())).toBe(first.get("manifest.json"));
    expect(await text(offline.file("table.bin"))).toBe("one");
  });

  it("passes the network's answer through when there is no room to store", async () => {
    vi.spyOn(storage, "open").mockRejectedValue(new DOMException("full", "QuotaExceededError"));
    vi.spyOn(storage, "keys").mockResolvedValue([]);
    const full = new BundleCache(ROOT);
    expect(await text(full.manifest())).toBe(first.get("manifest.json"));
    expect(await text(full.file("table.bin"))).toBe("one");
    expect(await full.complete()).toBe(false);
  });

  it("hands an altered file on without storing it, for the page to refuse", async () => {
    server = new Map(first).set("table.bin", "altered");
    const cache = new BundleCache(ROOT);
    await cache.manifest();
    expect(await text(cache.file("table.bin"))).toBe("altered");
    server = first;
    expect(await text(cache.file("table.bin"))).toBe("one");
  });
});
