/**
 * Reads manifest.json into the records.
 *
 * Parsing checks each value by itself: its type, its range, the form of a path. Whether the values
 * fit together is checked in check.ts. What a browser has no use for is not looked at: where the
 * bundle comes from, and what was measured of it.
 */

import type { Level, Meaning } from "../answer/levels.ts";
import { FAR, LEAST_RADIUS, NEARNESS } from "../answer/marks.ts";
import { GUIDE_PLANES, GUIDE_STRIDE } from "../contract.ts";
import { BundleError } from "../errors.ts";
import type { Program, TensorSpec } from "../graph/program.ts";
import type { GuidedRule, StrategyRule, ZoomRule } from "../strategies/rules.ts";
import { JsonValue, type Kinds } from "./checkedJson.ts";
import { MANIFEST_NAME, SCHEMA_VERSION, type FileRecord, type Manifest } from "./records.ts";
import { channelsOf, MAX_TABLE, parseSchedule, sideOf } from "./scheduleParser.ts";
import { parseTracking } from "./trackingParser.ts";

const MAX_BYTES = 2 ** 40;
const MAX_MACS = 2 ** 60;
const MAX_SCHEDULES = 64;
const MAX_PASSES = 64;
/** The planes of a guided look, as this reader fills them. */
const GUIDE_DESCRIBED = {
  planes: GUIDE_PLANES,
  stride: GUIDE_STRIDE,
  least_radius: LEAST_RADIUS,
  nearness: NEARNESS,
  far: FAR,
} as const;
// Letters that mean the same to every file system and in every URL; no part may begin with a dot,
// so no "..".
const SAFE_PATH = /^[A-Za-z0-9_][A-Za-z0-9_.-]*(?:\/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$/;
const SHA256 = /^[0-9a-f]{64}$/;

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
  const canvasMultiple = sideOf(root.get("canvas_multiple"));
  const [red, green, blue] = preprocessing.get("pad_value").tupleOf(3);
  const schedules = root.get("schedules").elements(1, MAX_SCHEDULES);
  const [table, golden] = [root.get("table"), root.get("golden")];
  return {
    identity: parseSha256(root.get("identity")),
    name: root.get("name").text(),
    licence: root.get("licence").prose(),
    precision: root.get("precision").textAmong("fp32", "fp16", "int8"),
    padValue: [red.integer(0, 255), green.integer(0, 255), blue.integer(0, 255)],
    canvasMultiple,
    programs: root.get("programs").mapOf(parseProgram),
    schedules: schedules.map((schedule) => parseSchedule(schedule, canvasMultiple)),
    meaning: parseMeaning(root.get("answer")),
    strategy: root.get("strategy").ofKind(STRATEGIES),
    tracking: root.get("tracking").orNull(parseTracking),
    tableFile: parsePath(table.get("file")),
    tableCount: table.get("count").integer(1, MAX_TABLE),
    goldenFile: parsePath(golden.get("file")),
    goldenPhoto: parsePath(golden.get("photo")),
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
  preprocessing.get("color").textAmong("RGB");
  preprocessing.get("dtype").textAmong("float32");
  preprocessing.get("layout").textAmong("NCHW");
  preprocessing.get("resize").textAmong("thinned-pillow-bilinear");
  const [low, high] = preprocessing.get("range").tupleOf(2);
  if (low.number() !== 0 || high.number() !== 255) {
    preprocessing.get("range").refuse("must be [0, 255]");
  }
}

function parseProgram(program: JsonValue): Program {
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
    const [batch, channels, height, width] = tensor.get("shape").tupleOf(4);
    // The programs of an ONNX bundle take and give nothing else, whatever they compute in.
    tensor.get("dtype").textAmong("float32");
    const sides = [sideOf(height), sideOf(width)] as const;
    specs.set(name, { name, shape: [batch.integer(1, 1), channelsOf(channels), ...sides] });
  }
  return specs;
}

function parseMeaning(answer: JsonValue): Meaning {
  answer.get("guide").orNull((guide) => guide.mustHave(GUIDE_DESCRIBED));
  return {
    levels: answer.get("levels").elements(1).map(parseLevel),
    featureStride: sideOf(answer.get("feature_stride")),
    reachSlack: answer.get("reach_slack").positiveNumber(),
  };
}

function parseLevel(level: JsonValue): Level {
  return {
    name: level.get("name").text(),
    stride: sideOf(level.get("stride")),
    sizeOfInterest: level.get("size_of_interest").positiveNumber(),
    score: level.get("score").text(),
    box: level.get("box").text(),
    filter: level.get("filter").text(),
  };
}

function parseSingle(single: JsonValue): StrategyRule {
  return { kind: "single", schedules: single.get("schedules").elements(1).map(scheduleNumber) };
}

function parseZoom(zoom: JsonValue): ZoomRule {
  const extent = zoom.get("extent").positiveNumber();
  const enlarge = zoom.get("enlarge").positiveNumber();
  const inside = zoom.get("inside").positiveNumber();
  if (extent < 1) zoom.get("extent").refuse("must be at least 1");
  if (enlarge < 0.01) zoom.get("enlarge").refuse("must be at least 0.01");
  if (inside >= 1) zoom.get("inside").refuse("must be below 1, so that the tap is on the tile");
  return {
    kind: "zoom",
    first: scheduleNumber(zoom.get("first")),
    tile: scheduleNumber(zoom.get("tile")),
    extent,
    enlarge,
    gain: zoom.get("gain").positiveNumber(),
    inside,
    trust: zoom.get("trust").number(),
  };
}

function parseGuided(guided: JsonValue): GuidedRule {
  const atLeast = (key: string, least: number, read = (v: JsonValue) => v.number()) => {
    const value = read(guided.get(key));
    if (value < least) guided.get(key).refuse(`must be at least ${least}`);
    return value;
  };
  return {
    kind: "guided",
    zoom: parseZoom(guided),
    passes: guided.get("passes").integer(0, MAX_PASSES),
    settled: atLeast("settled", 0),
    near: atLeast("near", 16),
    margin: atLeast("margin", 0),
    spill: guided.get("spill").share(),
    roomy: atLeast("roomy", 0.1, (v) => v.share()),
    small: guided.get("small").share(),
  };
}

function scheduleNumber(number: JsonValue): number {
  return number.integer(0, MAX_SCHEDULES - 1);
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
    path.refuse("must be a relative path inside the bundle, of letters, digits, '_-.' and '/'");
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

const STRATEGIES: Kinds<StrategyRule> = {
  single: parseSingle,
  zoom: parseZoom,
  guided: parseGuided,
};
