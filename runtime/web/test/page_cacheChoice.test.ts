import { describe, expect, it } from "vitest";
import { chooseCache, neededFiles, parseManifest } from "../page/cacheChoice.ts";
import { SCHEMA_VERSION } from "../src/bundle/records.ts";

const scope = "https://example.org/demo/";
const files = new Set(["./", "assets/index-abc.js", "samples/coffee.jpg"]);
const choose = (path: string, method = "GET"): unknown =>
  chooseCache(method, new URL(path, scope).href, scope, files);

describe("the choice of a cache", () => {
  it("answers the page by its folder, by name, and with a query", () => {
    const page = { from: "page", url: "./" };
    expect(choose("")).toEqual(page);
    expect(choose("index.html")).toEqual(page);
    expect(choose("?schedule=all#top")).toEqual(page);
  });

  it("answers the files of the build from the page's cache", () => {
    expect(choose("assets/index-abc.js")).toEqual({ from: "page", url: "assets/index-abc.js" });
    expect(choose("assets/index-def.js")).toEqual({ from: "network" });
  });

  it("answers the bundle from its own cache", () => {
    expect(choose("bundle/manifest.json")).toEqual({ from: "bundle", path: "manifest.json" });
    expect(choose("bundle/programs/weights.bin")).toEqual({
      from: "bundle",
      path: "programs/weights.bin",
    });
  });

  it("leaves other folders, other origins and other methods alone", () => {
    expect(choose("../bundle/manifest.json")).toEqual({ from: "network" });
    expect(choose("https://example.com/demo/assets/index-abc.js")).toEqual({ from: "network" });
    expect(choose("", "POST")).toEqual({ from: "network" });
  });
});

describe("the bundle's manifest", () => {
  const file = { sha256: "00", bytes: 1 };

  it("lists what is stored: all but the reports", () => {
    const text = JSON.stringify({
      schema_version: SCHEMA_VERSION,
      files: { "parity.json": file, "parity.md": file, "table.bin": file, "programs/a.onnx": file },
    });
    const manifest = parseManifest(text);
    expect(manifest && neededFiles(manifest)).toEqual(["table.bin", "programs/a.onnx"]);
  });

  it("leaves what only clips need to the first clip", () => {
    const manifest = {
      programs: { tap: { file: "programs/tap.onnx" }, follow: { file: "programs/follow.onnx" } },
      tracking: { programs: { frame: "follow" } },
      files: {
        "programs/tap.onnx": file,
        "programs/follow.onnx": file,
        "programs/weights.bin": file,
        "programs/tracking.bin": file,
      },
    };
    expect(neededFiles(manifest)).toEqual(["programs/tap.onnx", "programs/weights.bin"]);
    expect(neededFiles({ ...manifest, tracking: null })).toEqual(Object.keys(manifest.files));
  });

  it.each([
    "",
    "<!doctype html>",
    "null",
    "[]",
    "{}",
    `{"schema_version": ${SCHEMA_VERSION}}`,
    `{"schema_version": ${SCHEMA_VERSION}, "files": {"a": {}}}`,
    `{"schema_version": ${SCHEMA_VERSION}, "files": {"a": 1}}`,
    `{"schema_version": ${SCHEMA_VERSION + 1}, "files": {}}`,
  ])("is not taken for one: %s", (text) => expect(parseManifest(text)).toBeNull());
});
