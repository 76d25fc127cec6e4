/** A bundle is untrusted: whatever is wrong with its manifest is a BundleError of one sentence. */

import { describe, expect, test } from "vitest";
import { JsonValue, parseJson } from "../src/bundle/checkedJson.ts";
import { BundleError } from "../src/errors.ts";
import { seededNumbers, wholeNumber } from "./seeded.ts";
import { changedAt, expectRefused, openManifest } from "./damage.ts";
import { parseTiny, tinyJson, tinyTable, type Json } from "./tiny.ts";

const GRAPH = "schedules.0.graph";
const TAP = `${GRAPH}.phases.0.calls`;
const NEAR = `${GRAPH}.phases.1.calls`;

function changed(path: string, value: unknown): Json {
  return changedAt(tinyJson(), path, value);
}

const open = (json: Json): void => openManifest(json, tinyTable);

function refused(json: Json, reason: RegExp): void {
  expectRefused(() => open(json), reason);
}

test("the tiny bundle is read", () => {
  open(tinyJson());
  const manifest = parseTiny();
  expect(manifest.schedules.map(({ name }) => name)).toEqual(["all", "P3", "warm"]);
  expect(manifest.schedules[1]!.serves.width).toEqual({ least: 48, most: 192, multiple: 16 });
});

test("unknown keys are ignored", () => {
  open(changed("something", { new: true }));
});

describe("values", () => {
  test.each<[path: string, value: unknown, reason: RegExp]>([
    ["schema_version", 5, /schema version 5.*export the bundle again/],
    ["schema_version", "6", /whole number/],
    ["target", "coreml", /for coreml and a browser runs ONNX/],
    ["identity", "0".repeat(63), /SHA-256/],
    ["identity", "A".repeat(64), /SHA-256/],
    ["name", "", /non-empty/],
    ["name", "a\nb", /printable/],
    ["name", 5, /string/],
    ["precision", "fp64", /'fp32' or 'fp16' or 'int8'/],
    ["preprocessing.color", "BGR", /'RGB'/],
    ["preprocessing.range", [0, 1], /\[0, 255\]/],
    ["preprocessing.resize", "nearest", /thinned/],
    ["preprocessing.pad_value", [0, 0], /3 elements/],
    ["preprocessing.pad_value", [0, 0, 256], /from 0 to 255/],
    ["canvas_multiple", 0, /from 1/],
    ["answer.levels", [], /at least 1/],
    ["answer.levels.0.stride", 8.5, /whole number/],
    ["answer.levels.0.size_of_interest", 0, /above zero/],
    ["answer.levels.0.size_of_interest", "64", /must be a number/],
    ["programs", [], /must be an object/],
    ["programs.trunk.file", "../trunk.onnx", /relative path/],
    ["programs.trunk.file", "/trunk.onnx", /relative path/],
    ["programs.trunk.file", "programs/../../x", /relative path/],
    ["programs.trunk.file", "programs//x", /relative path/],
    ["programs.trunk.file", "programs\\x", /relative path/],
    ["programs.trunk.file", "https://example.org/x", /relative path/],
    ["programs.trunk.file", "programs/.x", /relative path/],
    ["programs.trunk.file", "programs/x?y", /relative path/],
    ["programs.trunk.file", "programs/x%2e", /relative path/],
    ["programs.trunk.layout", "NHWC", /'NCHW'/],
    ["programs.trunk.macs", -1, /from 0/],
    ["programs.trunk.inputs.0.shape", [2, 3, 48, 48], /from 1 to 1/],
    ["programs.trunk.inputs.0.shape", [1, 3, 48, 20000], /from 1 to 16384/],
    ["programs.trunk.inputs.0.dtype", "float16", /'float32'/],
    ["programs.trunk.outputs.1.name", "p3", /name of another/],
    ["schedules", [], /at least 1/],
    ["answer.reach_slack", -1, /above zero/],
    ["schedules.0.halo", 1.5, /at most 1/],
    ["schedules.0.serves.height", [64, 48], /two multiples/],
    ["schedules.0.serves.height", [60, 64], /two multiples/],
    ["schedules.0.rows.0.axis", "z", /'y' or 'x'/],
    ["schedules.0.rows.0.unit", 7, /divide the canvas multiple/],
    ["schedules.0.rows.0.phases", [], /at least 1/],
    ["schedules.0.rows.0.phases", [2 ** 21], /from -1048576/],
    ["schedules.0.rows.0.advance", 2 ** 15, /from -16384/],
    [`${GRAPH}.inputs.image.kind`, "memory", /'image' or 'vector'/],
    [`${GRAPH}.phases.0.when`, "frame", /'photo' or 'tap' or 'window' or 'correction'/],
    [`${GRAPH}.outputs.mask`, [], /at least 1/],
    [`${TAP}.0.kind`, "fill_plane", /'program' or 'place_mask'/],
    [`${TAP}.0.inputs`, [], /at least 1/],
    [`${TAP}.0.inputs.0.step`, 0, /from 1/],
    [`${NEAR}.2.reach`, 7, /even/],
    [`${NEAR}.2.reach`, 0, /from 1/],
    ["strategy.kind", "other", /'single' or 'zoom'/],
    ["strategy.extent", 0.5, /at least 1/],
    ["strategy.enlarge", 0.001, /at least 0.01/],
    ["strategy.inside", 1, /below 1/],
    ["strategy.trust", null, /must be a number/],
    ["table.count", 0, /from 1/],
    ["table.file", "tables/..", /relative path/],
  ])("%s = %j", (path, value, reason) => refused(changed(path, value), reason));

  test.each<[path: string, record: unknown, reason: RegExp]>([
    ["manifest.json", { sha256: "0".repeat(64), bytes: 1 }, /must not be listed/],
    ["../manifest.json", { sha256: "0".repeat(64), bytes: 1 }, /relative path/],
    ["more.bin", { sha256: "0", bytes: 1 }, /SHA-256/],
    ["more.bin", { sha256: "0".repeat(64), bytes: -1 }, /from 0/],
  ])("a file %s, %j", (path, record, reason) => {
    const json = tinyJson();
    json["files"]![path] = record as Json;
    refused(json, reason);
  });
});

describe("contradictions", () => {
  test.each<[path: string, value: unknown, reason: RegExp]>([
    ["golden.photo", "other.png", /not listed/],
    ["programs.trunk.file", "programs/other.onnx", /not listed/],
    ["answer.levels.1.name", "P3", /two levels/],
    ["answer.levels.1.stride", 4, /not ordered/],
    ["answer.levels.1.box", "elsewhere", /of the same levels/],
    ["answer.levels.0.stride", 4, /not those of its finest level/],
    ["answer.feature_stride", 4, /do not have 4 canvas pixels a cell/],
    ["schedules.0.key_stride", 7, /is odd or does not divide/],
    ["schedules.2.name", "all", /two schedules/],
    ["schedules.1.canvas", { height: 32, width: 32 }, /does not serve/],
    ["schedules.0.rows.0.size", 100, /larger than the smallest canvas/],
    ["schedules.0.rows.0.phases", [0, 0], /not what its rows give/],
    ["schedules.0.table_offset", 1, /not what its rows give/],
    ["schedules.2.table_offset", 10 ** 6, /not what its rows give/],
    [`${GRAPH}.inputs.second`, { kind: "image" }, /one input that is an image/],
    [`${GRAPH}.inputs.filter.channels`, 8, /vectors of a mask head/],
    [`${GRAPH}.inputs.offset`, { kind: "image" }, /one input that is an image/],
    [`${GRAPH}.phases.0.when`, "window", /place one mask/],
    [`${GRAPH}.phases.1.when`, "tap", /at most one per tap/],
    ["schedules.1.graph.phases.1.when", "photo", /at most one per photo/],
    [`${GRAPH}.phases.1.name`, "query", /same name/],
    [`${GRAPH}.outputs.box.0`, "p3_score", /two roles/],
    [`${GRAPH}.outputs.mask`, ["all/mask", "near/mask"], /in their order/],
    [`${NEAR}.2.output`, "elsewhere", /in their order/],
    ["schedules.0.graph.phases.2.calls.2.reach", 8, /smallest reach up/],
    [`${TAP}.0.vectors`, { image: "filter" }, /are for those of windows/],
    [`${TAP}.0.program`, "nothing", /not one of the programs/],
    [`${TAP}.0.origin.y`, 50, /uses row 50/],
    [`${TAP}.0.origin`, { y: 1, x: 0 }, /wrong axis/],
    [`${TAP}.0.inputs.0.name`, "picture", /each of its inputs once/],
    [`${TAP}.0.inputs.0.size`, [48, 47], /wrong shape/],
    [`${TAP}.0.inputs.0.step`, 64, /leaves the array/],
    [`${TAP}.1.inputs.0.array`, "p9", /before it is made/],
    [`${TAP}.1.outputs.0.array`, "p3", /made twice/],
    [`${TAP}.1.outputs.0.array`, "image", /made twice/],
    [`${TAP}.1.outputs.0.name`, "nothing", /has no output/],
    [`${TAP}.1.outputs.0.size`, [3, 3], /wrong shape/],
    [`${TAP}.1.outputs.0.array`, "elsewhere", /its score, is made by no call/],
    [`${NEAR}.0.vectors`, { cells: "offset" }, /each of its inputs once/],
    [`${NEAR}.1.vectors.filter`, "nothing", /which is no input/],
    [`${NEAR}.1.vectors.filter`, "offset", /does not fit 'offset'/],
    [`${NEAR}.1.program`, "trunk", /each of its inputs once/],
    [`${NEAR}.1.outputs.0.step`, 2, /2 canvas pixels a cell/],
    [`${NEAR}.1.outputs.0.array`, "elsewhere", /place_mask needs the array/],
    [`${NEAR}.2.input`, "features", /one channel/],
    [`${NEAR}.2.reach`, 64, /smaller than its reach/],
    ["schedules.2.graph.phases.1.calls.0.inputs.0.array", "image", /only the photo phase may/],
    ["schedules.2.graph.phases.0.calls.0.origin", { y: 2, x: 3 }, /depends on the tap|leaves/],
    ["programs.query_3.outputs.1.shape", [1, 3, 2, 2], /4 channel/],
    ["programs.head_near.inputs.2.shape", [1, 3, 1, 1], /does not fit 'offset'/],
    ["strategy.first", 9, /schedule number 9/],
    ["strategy", { kind: "single", schedules: [0, 3] }, /schedule number 3/],
    ["strategy.tile", 2, /phase per photo/],
    ["strategy.extent", 65, /larger than the canvas/],
    ["table.count", 5, /numbers, not 5/],
  ])("%s = %j", (path, value, reason) => refused(changed(path, value), reason));
});

/** What a browser has no use for. */
const UNREAD = [
  "checked_by",
  "producer",
  "network",
  "weights_sha256",
  "text",
  "signature",
  "full_macs",
  "fullnet_iou",
  "parity",
];

test("every missing key is named", () => {
  const visit = (json: Json, path: string[]): void => {
    if (typeof json !== "object" || json === null) return;
    for (const key of Object.keys(json)) {
      const here = [...path, key];
      // Names of files, programs, inputs and vectors are not keys that a manifest must have.
      const named = ["files", "programs", "inputs", "vectors"];
      const free = named.includes(path.at(-1) ?? "") || UNREAD.includes(key);
      if (!Array.isArray(json) && !free) {
        const copy = tinyJson();
        const parent = path.reduce((value, step) => value[step]!, copy);
        delete parent[key];
        expect(() => open(copy), here.join(".")).toThrow(BundleError);
        expect(() => open(copy), here.join(".")).toThrow(`lacks the key '${key}'`);
      }
      if (!UNREAD.includes(key)) visit(json[key]!, here);
    }
  };
  const json = tinyJson();
  // One of each is enough.
  json["files"] = {} as Json;
  json["programs"] = { trunk: json["programs"]!["trunk"]! } as Json;
  json["schedules"] = [json["schedules"]![0]] as unknown as Json;
  visit(json, []);
});

test("of random damage two thirds are refused, and never as anything but a BundleError", () => {
  let refusals = 0;
  const numbers = seededNumbers(6);
  const odd: unknown[] = [null, true, -1, 0, 3, 1e9, 1.5, "", "x", [], {}, [[]], "__proto__"];
  for (let round = 0; round < 1500; round++) {
    const json = tinyJson();
    let parent = json;
    for (;;) {
      const keys = Object.keys(parent);
      const key = keys[wholeNumber(numbers, 0, keys.length - 1)]!;
      const value = parent[key]!;
      const deeper = typeof value === "object" && value !== null && Object.keys(value).length > 0;
      if (deeper && wholeNumber(numbers, 0, 5) > 0) parent = value;
      else {
        parent[key] = odd[wholeNumber(numbers, 0, odd.length - 1)] as Json;
        break;
      }
    }
    try {
      open(json);
    } catch (error) {
      expect(error).toBeInstanceOf(BundleError);
      refusals += 1;
    }
  }
  expect(refusals).toBeGreaterThan(1000); // of 1500; the others hit what no tap depends on
});

test("what is not JSON is refused", () => {
  for (const text of ["", "{", "NaN", '{"a": Infinity}', "\u0000"]) {
    expect(() => parseJson(new TextEncoder().encode(text), "manifest.json")).toThrow(BundleError);
  }
  expect(() => parseJson(Uint8Array.of(0x22, 0xff, 0x22), "manifest.json")).toThrow(BundleError);
});

test("keys of the language itself are no members", () => {
  expect(() => new JsonValue({}, "manifest.json").get("toString")).toThrow(BundleError);
  const json = parseJson(new TextEncoder().encode('{"__proto__": 5}'), "manifest.json");
  expect(json.get("__proto__").integer(0, 9)).toBe(5);
});
