/**
 * manifest.json as read-only objects; docs/bundle.md explains every field.
 *
 * Parsing checks each value by itself: its type, its range, the form of a path. Whether the values
 * fit together is checked in consistency.ts.
 */

import { JsonValue } from "./checkedJson.ts";
import { BundleError } from "./errors.ts";
import type { Schedule } from "./schedule.ts";
import {
  MAX_MACS,
  MAX_SCHEDULES,
  MAX_SIDE,
  MAX_TABLE,
  parseSchedule,
  parseZoom,
} from "./scheduleParser.ts";
import type { ZoomRule } from "./zoomRule.ts";

export const SCHEMA_VERSION = 4;
export const MANIFEST_NAME = "manifest.json";

const MAX_CHANNELS = 2 ** 16;
const MAX_BYTES = 2 ** 40;
// Letters that mean the same to every file system and in every URL; no part may begin with a dot,
// so no "..".
const SAFE_PATH = /^[A-Za-z0-9_][A-Za-z0-9_.-]*(?:\/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$/;
const SHA256 = /^[0-9a-f]{64}$/;

export type Shape = readonly [batch: number, channels: number, height: number, width: number];
export type Dtype = "float32" | "float16";
export type Precision = "fp32" | "fp16" | "int8";

/** An input or output of a program: 1 x C x H x W. */
export interface TensorSpec {
  readonly name: string;
  readonly shape: Shape;
  readonly dtype: Dtype;
}

/** A static-shape model; `macs` are the multiply-adds of one run. */
export interface Program {
  readonly file: string;
  readonly macs: number;
  readonly inputs: ReadonlyMap<string, TensorSpec>;
  readonly outputs: ReadonlyMap<string, TensorSpec>;
}

/** An answering level: stride in canvas pixels, and the names of its three arrays. */
export interface Level {
  readonly name: string;
  readonly stride: number;
  readonly sizeOfInterest: number;
  readonly score: string;
  readonly box: string;
  readonly filter: string;
}

/** What a file of the bundle must be: its SHA-256 in hexadecimal and its size in bytes. */
export interface FileRecord {
  readonly sha256: string;
  readonly bytes: number;
}

/** The parsed manifest; paths are relative to the bundle, with forward slashes. */
export interface Manifest {
  readonly identity: string;
  readonly name: string;
  readonly licence: string;
  readonly precision: Precision;
  readonly padValue: readonly [red: number, green: number, blue: number];
  readonly canvasMultiple: number;
  readonly levels: readonly Level[];
  readonly programs: ReadonlyMap<string, Program>;
  readonly schedules: readonly Schedule[];
  readonly zoom: ZoomRule | null;
  readonly tableFile: string;
  readonly tableCount: number;
  readonly goldenFile: string;
  readonly goldenPhoto: string;
  readonly parityFile: string;
  readonly files: ReadonlyMap<string, FileRecord>;
}

/**
 * The manifest of a JSON object. Keys that this version does not know are ignored.
 *
 * Throws a `BundleError` for another schema version, another target than ONNX, a missing key, or a
 * value of the wrong type or outside its range.
 */
export function parseManifest(root: JsonValue): Manifest {
  checkVersionAndTarget(root);
  const preprocessing = root.get("preprocessing");
  checkPreprocessing(preprocessing);
  checkProvenance(root);
  const canvasMultiple = root.get("canvas_multiple").integer(1, MAX_SIDE);
  const levels = root.get("levels").elements(1).map(parseLevel);
  const [red, green, blue] = preprocessing.get("pad_value").triple();
  const table = root.get("table");
  const golden = root.get("golden");
  return {
    identity: parseSha256(root.get("identity")),
    name: root.get("name").text(),
    licence: root.get("licence").prose(),
    precision: root.get("precision").textAmong("fp32", "fp16", "int8"),
    padValue: [red.integer(0, 255), green.integer(0, 255), blue.integer(0, 255)],
    canvasMultiple,
    levels,
    programs: new Map(
      root
        .get("programs")
        .members()
        .map(([name, program]) => [name, parseProgram(program)]),
    ),
    schedules: root
      .get("schedules")
      .elements(1, MAX_SCHEDULES)
      .map((schedule) => parseSchedule(schedule, levels, canvasMultiple)),
    zoom: root.get("zoom").orNull(parseZoom),
    tableFile: parsePath(table.get("file")),
    tableCount: table.get("count").integer(1, MAX_TABLE),
    goldenFile: parsePath(golden.get("file")),
    goldenPhoto: parsePath(golden.get("photo")),
    parityFile: parsePath(root.get("parity")),
    files: parseFiles(root.get("files")),
  };
}

function checkVersionAndTarget(root: JsonValue): void {
  const version = root.get("schema_version").integer(0, 2 ** 31);
  if (version !== SCHEMA_VERSION) {
    throw new BundleError(
      `The bundle has schema version ${version} and this reader knows ${SCHEMA_VERSION}; ` +
        "use the matching version of tracenet or export the bundle again.",
    );
  }
  const target = root.get("target").text();
  if (target !== "onnx") {
    throw new BundleError(
      `The bundle is for ${target} and a browser runs ONNX bundles; ` +
        "export it with tracenet-export --target onnx.",
    );
  }
}

function checkPreprocessing(preprocessing: JsonValue): void {
  preprocessing.get("text").prose();
  preprocessing.get("color").textAmong("RGB");
  preprocessing.get("dtype").textAmong("float32");
  preprocessing.get("layout").textAmong("NCHW");
  preprocessing.get("resize").textAmong("thinned-pillow-bilinear");
  const [low, high] = preprocessing.get("range").pair();
  if (low.number() !== 0 || high.number() !== 255) {
    preprocessing.get("range").refuse("must be [0, 255]");
  }
}

/** Where the bundle comes from: it must be said, but nothing here depends on it. */
function checkProvenance(root: JsonValue): void {
  root.get("checked_by").prose();
  for (const [, version] of root.get("producer").members()) version.text();
  root.get("network").members();
  parseSha256(root.get("weights_sha256"));
}

function parseLevel(level: JsonValue): Level {
  return {
    name: level.get("name").text(),
    stride: level.get("stride").integer(1, MAX_SIDE),
    sizeOfInterest: level.get("size_of_interest").positiveNumber(),
    score: level.get("score").text(),
    box: level.get("box").text(),
    filter: level.get("filter").text(),
  };
}

function parseProgram(program: JsonValue): Program {
  if (program.get("signature").value !== null) {
    program.get("signature").refuse("must be null in an ONNX bundle");
  }
  program.get("layout").textAmong("NCHW");
  return {
    file: parsePath(program.get("file")),
    macs: program.get("macs").integer(0, MAX_MACS),
    inputs: parseTensors(program.get("inputs")),
    outputs: parseTensors(program.get("outputs")),
  };
}

function parseTensors(tensors: JsonValue): Map<string, TensorSpec> {
  const specs = new Map<string, TensorSpec>();
  for (const tensor of tensors.elements(1)) {
    const name = tensor.get("name").text();
    if (specs.has(name)) tensor.refuse("has the name of another tensor");
    const [batch, channels, height, width] = tensor.get("shape").quadruple();
    specs.set(name, {
      name,
      shape: [
        batch.integer(1, 1),
        channels.integer(1, MAX_CHANNELS),
        height.integer(1, MAX_SIDE),
        width.integer(1, MAX_SIDE),
      ],
      dtype: tensor.get("dtype").textAmong("float32", "float16"),
    });
  }
  return specs;
}

function parseFiles(files: JsonValue): Map<string, FileRecord> {
  const records = new Map<string, FileRecord>();
  for (const [path, record] of files.members()) {
    if (path === MANIFEST_NAME) {
      record.refuse("must not be listed: the manifest cannot hold its own hash");
    }
    records.set(parsePath(new JsonValue(path, `${record.where} (the path)`)), {
      sha256: parseSha256(record.get("sha256")),
      bytes: record.get("bytes").integer(0, MAX_BYTES),
    });
  }
  return records;
}

function parsePath(path: JsonValue): string {
  const text = path.text();
  if (!SAFE_PATH.test(text)) {
    path.refuse(
      "must be a relative path inside the bundle, of letters, digits, '_', '-', '.' and '/'",
    );
  }
  return text;
}

function parseSha256(digest: JsonValue): string {
  const text = digest.text();
  if (!SHA256.test(text)) {
    digest.refuse("must be a SHA-256 of 64 lower-case hexadecimal digits");
  }
  return text;
}
