/** Bundles are fetched as far as they are needed, and checked byte for byte. */

import { createHash } from "node:crypto";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { fetchBundle } from "../src/bundle/files.ts";
import { BundleError } from "../src/errors.ts";
import tiny from "./fixtures/tiny.json";
import { noise } from "./seeded.ts";
import { tinyJson, tinyTable, type Json } from "./tiny.ts";

const BASE = "https://example.org/demo/bundle/";

let files: Map<string, Uint8Array<ArrayBuffer>>;
let fetched: string[];

/** The tiny bundle, with weights in a file of their own, and programs that nobody opens. */
beforeEach(() => {
  const mask = { size: [1, 1], counts: "1" };
  const taps = [{ at: [1, 2], level: "P3", score: 0.5, box: [0, 0, 1, 1], mask_rle: mask }];
  const golden = { schedules: tiny.manifest.schedules.map(() => taps), strategy: taps, sessions: [] };
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
function list(change: (manifest: Json) => void = () => undefined): void {
  const manifest = tinyJson();
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
