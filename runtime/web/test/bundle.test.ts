/** Bundles are fetched as far as they are needed, and checked byte for byte. */

import { createHash } from "node:crypto";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { fetchBundle, fetchTracking } from "../src/bundle/files.ts";
import { BundleError } from "../src/errors.ts";
import tiny from "./fixtures/tiny.json";
import { noise } from "./seeded.ts";
import { tinyJson, tinyTable, trackingJson, type Json } from "./tiny.ts";

const BASE = "https://example.org/demo/bundle/";

let files: Map<string, Uint8Array<ArrayBuffer>>;
let fetched: string[];

/** The tiny bundle, with weights in a file of their own, and programs that nobody opens. */
beforeEach(() => {
  const mask = { size: [1, 1], counts: "1" };
  const taps = [{ at: [1, 2], level: "P3", score: 0.5, box: [0, 0, 1, 1], mask_rle: mask }];
  const schedules = tiny.manifest.schedules.map(() => taps);
  const golden = { schedules, strategy: taps, sessions: [], clips: [] };
  const bytes = (content: string) => Uint8Array.from(new TextEncoder().encode(content));
  files = new Map([
    ["table.bin", new Uint8Array(tinyTable.buffer as ArrayBuffer)],
    ["golden.json", bytes(JSON.stringify(golden))],
    ["golden.png", new Uint8Array(noise(1, 500))],
    ["parity.json", bytes("{}")],
    ["programs/weights.bin", new Uint8Array(noise(2, 3000))],
    ...Object.values(tiny.manifest.programs).map(
      ({ file }) => [file, new Uint8Array()] as [string, Uint8Array<ArrayBuffer>],
    ),
  ]);
  list();
  fetched = [];
  vi.stubGlobal("fetch", (url: URL) => {
    expect(url.href.startsWith(BASE)).toBe(true);
    const path = url.href.slice(BASE.length);
    fetched.push(path);
    const content = files.get(path);
    return Promise.resolve(new Response(content ?? null, { status: content ? 200 : 404 }));
  });
});

afterEach(() => vi.unstubAllGlobals());

/** Write the manifest, with the files as they are, after a change. */
function list(
  change: (manifest: Json) => void = () => undefined,
  manifest: Json = tinyJson(),
): void {
  files.delete("manifest.json");
  const records = [...files].map(([path, content]) => [
    path,
    { sha256: createHash("sha256").update(content).digest("hex"), bytes: content.length },
  ]);
  manifest["files"] = Object.fromEntries(records) as Json;
  change(manifest);
  files.set("manifest.json", Uint8Array.from(new TextEncoder().encode(JSON.stringify(manifest))));
}

async function refused(reason: RegExp): Promise<void> {
  const error: unknown = await fetchBundle(BASE, undefined, undefined, () => undefined).catch(
    (caught: unknown) => caught,
  );
  expect(error).toBeInstanceOf(BundleError);
  expect((error as BundleError).message).toMatch(reason);
}

test("only what the schedule needs is fetched, and progress ends at all of it", async () => {
  const progress: [number, number][] = [];
  const bundle = await fetchBundle(BASE, "P3", undefined, (...step) => progress.push(step));
  expect(fetched).not.toContain("programs/query_4.onnx");
  expect(fetched).not.toContain("parity.json");
  expect(fetched).toContain("programs/weights.bin");
  expect(new Set(fetched).size).toBe(fetched.length);
  expect([...bundle.programs.keys()].sort()).toEqual([
    "features_near",
    "head_near",
    "query_3",
    "trunk",
  ]);
  const data = files.get("programs/weights.bin");
  expect(bundle.programs.get("query_3")!.externalData).toEqual([{ path: "weights.bin", data }]);
  expect(bundle.golden.schedules).toHaveLength(3);
  const [done, total] = progress.at(-1)!;
  expect(done).toBe(total);
  expect(bundle.bytes).toBe(done + files.get("manifest.json")!.length);
  expect(new Set(progress.map(([, all]) => all)).size).toBe(1);
  const counts = progress.map(([count]) => count);
  expect(counts).toEqual([...counts].sort((a, b) => a - b));
});

const NEEDED = [
  "table.bin",
  "golden.json",
  "golden.png",
  "programs/trunk.onnx",
  "programs/weights.bin",
];

test.each(NEEDED)(
  "%s altered, cut or missing",
  async (path) => {
    const content = files.get(path)!;
    const longer = new Uint8Array(content.length + 1);
    longer.set(content);
    files.set(path, longer);
    await refused(/more than/);
    if (content.length > 0) {
      files.set(path, content.slice(1));
      await refused(/bytes instead of/);
      const altered = content.slice();
      altered[0]! ^= 1;
      files.set(path, altered);
      await refused(/altered or damaged/);
    }
    files.delete(path);
    await refused(/lacks its file/);
  },
);

test("no bundle, no connection", async () => {
  files.clear();
  await refused(/lacks its file manifest.json/);
  vi.stubGlobal("fetch", () => Promise.reject(new TypeError("failed")));
  await refused(/check the connection/);
});

test("a table of another length, other golden answers", async () => {
  files.set("table.bin", new Uint8Array(7));
  list();
  await refused(/does not hold/);
  files.set("table.bin", new Uint8Array(tinyTable.buffer as ArrayBuffer));
  files.set("golden.json", Uint8Array.from(new TextEncoder().encode('{"schedules": []}')));
  list();
  await refused(/must have 3 elements/);
});

/** The tiny bundle of a network that tracks, with weights for that in a file of their own. */
function listTracking(): void {
  const json = trackingJson();
  for (const { file } of Object.values(json["programs"]!)) {
    const path = file as unknown as string;
    if (!files.has(path)) files.set(path, new Uint8Array(noise(path.length, 50)));
  }
  files.set("programs/tracking.bin", new Uint8Array(noise(3, 4000)));
  list(undefined, json);
}

const nothing = () => undefined;

test("what only clips need is fetched when it is asked for, and nothing twice", async () => {
  listTracking();
  const bundle = await fetchBundle(BASE, undefined, undefined, nothing);
  expect(fetched.filter((path) => path.includes("track"))).toEqual([]);
  fetched.length = 0;
  const progress: [number, number][] = [];
  const { signal } = new AbortController();
  const tell = (...step: [number, number]) => progress.push(step);
  const { tracking } = bundle.manifest;
  const programs = await fetchTracking(bundle, tracking!, tell, signal);
  const wanted = ["frame", "value", "decode", "fuse"].map((part) => `programs/track_${part}.onnx`);
  expect(fetched.sort()).toEqual([...wanted, "programs/tracking.bin"].sort());
  expect(progress.at(-1)).toEqual([4200, 4200]);
  const { model, externalData } = programs.get("track_decode")!;
  expect(model).toEqual(files.get("programs/track_decode.onnx"));
  expect(new Map(externalData.map(({ path, data }) => [path, data]))).toEqual(
    new Map(["weights.bin", "tracking.bin"].map((path) => [path, files.get(`programs/${path}`)])),
  );
});

test("what clips need is checked, and given up", async () => {
  listTracking();
  const bundle = await fetchBundle(BASE, undefined, undefined, nothing);
  const open = (signal: AbortSignal) =>
    fetchTracking(bundle, bundle.manifest.tracking!, nothing, signal);
  const altered = files.get("programs/tracking.bin")!.slice();
  altered[7]! ^= 1;
  files.set("programs/tracking.bin", altered);
  await expect(open(new AbortController().signal)).rejects.toThrow(/altered or damaged/);
  files.delete("programs/tracking.bin");
  await expect(open(new AbortController().signal)).rejects.toThrow(/lacks its file/);
  vi.stubGlobal("fetch", (_: URL, init?: RequestInit) => Promise.reject(init!.signal!.reason));
  const reason = new Error("no longer wanted");
  await expect(open(AbortSignal.abort(reason))).rejects.toBe(reason);
});
