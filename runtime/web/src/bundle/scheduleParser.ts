/** Reads a schedule of manifest.json: rows, phases, calls, windows. */

import { MAX_SIDE } from "../contract.ts";
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
import type { JsonValue, Kinds } from "./checkedJson.ts";

const MAX_CHANNELS = 2 ** 16;
const MAX_STEP = 2 ** 14;
export const MAX_TABLE = 2 ** 28;
const MAX_ROWS = 2 ** 12;
const MAX_PHASES = 2 ** 12;
const MAX_PHASE = 2 ** 20;
const MAX_ADVANCE = 2 ** 14;

/** A schedule; `BundleError` for values of the wrong type or outside their range. */
export function parseSchedule(schedule: JsonValue, canvasMultiple: number): Schedule {
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
    return [role, outputs.get(role).elements(1).map((name) => name.text())] as const;
  });
  return {
    inputs: graph.get("inputs").mapOf((input) => input.ofKind(INPUTS)),
    phases: graph.get("phases").elements().map(parsePhase),
    outputs: Object.fromEntries(arrays) as Record<Role, string[]>,
  };
}

function parsePhase(phase: JsonValue): Phase {
  const calls = phase.get("calls").elements(1);
  return {
    name: phase.get("name").text(),
    when: phase.get("when").textAmong(...WHENS),
    calls: calls.map((call) => call.ofKind(CALLS)),
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
    vectors: call.get("vectors").mapOf((name) => name.text()),
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

/** Pixels or cells. */
export function sideOf(value: JsonValue): number {
  return value.integer(1, MAX_SIDE);
}

export function channelsOf(value: JsonValue): number {
  return value.integer(1, MAX_CHANNELS);
}
