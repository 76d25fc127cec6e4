/**
 * Reads manifest.json into the records.
 *
 * Parsing checks each value by itself: its type, its range, the form of a path. Whether the values
 * fit together is checked in check.ts. What a browser has no use for is not looked at: where the
 * bundle comes from, and what was measured of it.
 */

import type { Level, Meaning } from "../answer/levels.ts";
import { FAR, LEAST_RADIUS, NEARNESS } from "../answer/marks.ts";
import { GUIDE_PLANES, GUIDE_STRIDE, MAX_SIDE } from "../contract.ts";
import { BundleError } from "../errors.ts";
import type { Program, TensorSpec } from "../graph/program.ts";
import {
  ROLES,
  WHENS,
  type Call,
  type ExternalInput,
  type Graph,
  type Phase,
  type Role,
  type Row,
  type Schedule,
  type SideRange,
  type Window,
} from "../graph/schedule.ts";
import type { GuidedRule, StrategyRule, ZoomRule } from "../strategies/rules.ts";
import { JsonValue } from "./checkedJson.ts";
import { MANIFEST_NAME, SCHEMA_VERSION, type FileRecord, type Manifest } from "./records.ts";

const MAX_CHANNELS = 2 ** 16;
const MAX_STEP = 2 ** 14;
const MAX_BYTES = 2 ** 40;
const MAX_MACS = 2 ** 60;
const MAX_TABLE = 2 ** 28;
const MAX_SCHEDULES = 64;
const MAX_ROWS = 2 ** 12;
const MAX_PHASES = 2 ** 12;
const MAX_PHASE = 2 ** 20;
const MAX_ADVANCE = 2 ** 14;
const MAX_PASSES = 64;
// Letters that mean the same to every file system and in every URL; no part may begin with a dot,
// so no "..".
const SAFE_PATH = /^[A-Za-z0-9_][A-Za-z0-9_.-]*(?:\/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$/;
const SHA256 = /^[0-9a-f]{64}$/;

/** Readers of tagged objects, by kind. */
type Kinds<T> = Readonly<Record<string, (value: JsonValue) => T>>;

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
    programs: mapOf(root.get("programs"), parseProgram),
    schedules: schedules.map((schedule) => parseSchedule(schedule, canvasMultiple)),
    meaning: parseMeaning(root.get("answer")),
    strategy: ofKind(root.get("strategy"), STRATEGIES),
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

function parseSchedule(schedule: JsonValue, canvasMultiple: number): Schedule {
  const [canvas, serves] = [schedule.get("canvas"), schedule.get("serves")];
  const rows = schedule.get("rows").elements(1, MAX_ROWS);
  const halo = schedule.get("halo").positiveNumber();
  if (halo > 1) schedule.get("halo").refuse("must be at most 1");
  return {
    name: schedule.get("name").text(),
    canvas: { height: sideOf(canvas.get("height")), width: sideOf(canvas.get("width")) },
    serves: {
      height: sideRange(serves.get("height"), canvasMultiple),
      width: sideRange(serves.get("width"), canvasMultiple),
    },
    halo,
    keyStride: sideOf(schedule.get("key_stride")),
    rows: rows.map((row) => parseRow(row, canvasMultiple)),
    tableOffset: schedule.get("table_offset").integer(0, MAX_TABLE),
    graph: parseGraph(schedule.get("graph")),
  };
}

function sideRange(sides: JsonValue, multiple: number): SideRange {
  const [first, second] = sides.tupleOf(2);
  const [least, most] = [sideOf(first), sideOf(second)];
  if (least > most || least % multiple !== 0 || most % multiple !== 0) {
    sides.refuse(`must be two multiples of ${multiple}, the smaller one first`);
  }
  return { least, most, multiple };
}

function parseRow(row: JsonValue, canvasMultiple: number): Row {
  const unit = sideOf(row.get("unit"));
  const phases = row.get("phases").elements(1, MAX_PHASES);
  if (canvasMultiple % unit !== 0) {
    row.get("unit").refuse(`must divide the canvas multiple, ${canvasMultiple}`);
  }
  return {
    axis: row.get("axis").textAmong("y", "x"),
    unit,
    size: sideOf(row.get("size")),
    phases: phases.map((phase) => phase.integer(-MAX_PHASE, MAX_PHASE)),
    advance: row.get("advance").integer(-MAX_ADVANCE, MAX_ADVANCE),
  };
}

function parseGraph(graph: JsonValue): Graph {
  const outputs = graph.get("outputs");
  const given = new Set(outputs.members().map(([role]) => role));
  const arrays = ROLES.map((role) => {
    // Only graphs with a correction have it.
    if (role === "mask_state" && !given.has(role)) return [role, []] as const;
    return [role, outputs.get(role).elements(1).map(textOf)] as const;
  });
  return {
    inputs: mapOf(graph.get("inputs"), (input) => ofKind(input, INPUTS)),
    phases: graph.get("phases").elements().map(parsePhase),
    outputs: Object.fromEntries(arrays) as Record<Role, string[]>,
  };
}

function parsePhase(phase: JsonValue): Phase {
  const calls = phase.get("calls").elements(1);
  return {
    name: phase.get("name").text(),
    when: phase.get("when").textAmong(...WHENS),
    calls: calls.map((call) => ofKind(call, CALLS)),
  };
}

function parseProgramCall(call: JsonValue): Call {
  const origin = call.get("origin");
  return {
    kind: "program",
    program: call.get("program").text(),
    originY: origin.get("y").integer(0, MAX_ROWS - 1),
    originX: origin.get("x").integer(0, MAX_ROWS - 1),
    inputs: call.get("inputs").elements(1).map(parseWindow),
    vectors: mapOf(call.get("vectors"), textOf),
    outputs: call.get("outputs").elements(1).map(parseWindow),
  };
}

function parsePlaceMask(call: JsonValue): Call {
  const reach = call.get("reach").orNull((value) => {
    const pixels = sideOf(value);
    if (pixels % 2 !== 0) value.refuse("must be an even number");
    return pixels;
  });
  const [input, output] = [call.get("input").text(), call.get("output").text()];
  return { kind: "place_mask", input, output, reach };
}

function parseWindow(window: JsonValue): Window {
  const [height, width] = window.get("size").tupleOf(2);
  return {
    name: window.get("name").text(),
    array: window.get("array").text(),
    step: window.get("step").integer(1, MAX_STEP),
    height: sideOf(height),
    width: sideOf(width),
  };
}

function parseMeaning(answer: JsonValue): Meaning {
  answer.get("guide").orNull(checkGuide);
  return {
    levels: answer.get("levels").elements(1).map(parseLevel),
    featureStride: sideOf(answer.get("feature_stride")),
    reachSlack: answer.get("reach_slack").positiveNumber(),
  };
}

/** The planes of a guided look must be those that this reader fills. */
function checkGuide(guide: JsonValue): void {
  const described = {
    planes: GUIDE_PLANES,
    stride: GUIDE_STRIDE,
    least_radius: LEAST_RADIUS,
    nearness: NEARNESS,
    far: FAR,
  };
  for (const [key, expected] of Object.entries(described)) {
    const said = JSON.stringify(expected);
    if (JSON.stringify(guide.get(key).value) !== said) {
      guide.get(key).refuse(`must be ${said}, as this reader fills the planes`);
    }
  }
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
    spill: shareOf(guided.get("spill")),
    roomy: atLeast("roomy", 0.1, shareOf),
    small: shareOf(guided.get("small")),
  };
}

function shareOf(share: JsonValue): number {
  const value = share.number();
  if (!(value >= 0 && value <= 1)) share.refuse("must be from 0 to 1");
  return value;
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

const INPUTS: Kinds<ExternalInput> = {
  image: () => ({ kind: "image" }),
  vector: (vector) => ({ kind: "vector", channels: channelsOf(vector.get("channels")) }),
  plane: (plane) => ({
    kind: "plane",
    channels: channelsOf(plane.get("channels")),
    stride: sideOf(plane.get("stride")),
  }),
};
const CALLS: Kinds<Call> = { program: parseProgramCall, place_mask: parsePlaceMask };
const STRATEGIES: Kinds<StrategyRule> = {
  single: parseSingle,
  zoom: parseZoom,
  guided: parseGuided,
};

/** A tagged object, read by the reader of its kind. */
function ofKind<T>(value: JsonValue, kinds: Kinds<T>): T {
  return kinds[value.get("kind").textAmong(...Object.keys(kinds))]!(value);
}

function mapOf<T>(object: JsonValue, read: (value: JsonValue) => T): Map<string, T> {
  return new Map(object.members().map(([name, value]) => [name, read(value)]));
}

function textOf(value: JsonValue): string {
  return value.text();
}

/** Pixels or cells. */
function sideOf(value: JsonValue): number {
  return value.integer(1, MAX_SIDE);
}

function channelsOf(value: JsonValue): number {
  return value.integer(1, MAX_CHANNELS);
}
