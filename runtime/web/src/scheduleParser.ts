/** The schedules and the zoom of manifest.json; each value is checked by itself. */

import type { JsonValue } from "./checkedJson.ts";
import type { Level } from "./manifest.ts";
import type { Call, Macs, MaskSchedule, Row, Schedule, SideRange, Window } from "./schedule.ts";
import type { ZoomRule } from "./zoomRule.ts";

/** Pixels; no side of a canvas, and of no tensor, may be longer. */
export const MAX_SIDE = 16384;
export const MAX_MACS = 2 ** 60;
export const MAX_TABLE = 2 ** 28;
export const MAX_SCHEDULES = 64;

const MAX_STEP = 2 ** 14;
const MAX_ROWS = 2 ** 12;
const MAX_PHASES = 2 ** 12;
const MAX_PHASE = 2 ** 20;
const MAX_ADVANCE = 2 ** 14;
const MAX_PHOTOS = 2 ** 30;
const MAX_TAPS = 2 ** 40;

export function parseSchedule(
  schedule: JsonValue,
  levels: readonly Level[],
  canvasMultiple: number,
): Schedule {
  const strides = new Map(levels.map((level) => [level.name, level.stride]));
  const keyLevel = schedule.get("key_level").textAmong(...strides.keys());
  const canvas = schedule.get("canvas");
  const serves = schedule.get("serves");
  const halo = parseHalo(schedule);
  checkMeasured(schedule, halo);
  return {
    name: schedule.get("name").text(),
    canvas: {
      height: canvas.get("height").integer(1, MAX_SIDE),
      width: canvas.get("width").integer(1, MAX_SIDE),
    },
    serves: {
      height: sideRange(serves.get("height"), canvasMultiple),
      width: sideRange(serves.get("width"), canvasMultiple),
    },
    halo,
    levels: schedule
      .get("levels")
      .elements(1)
      .map((level) => level.textAmong(...strides.keys())),
    keyLevel,
    keyStride: strides.get(keyLevel)!,
    rows: schedule
      .get("rows")
      .elements(1, MAX_ROWS)
      .map((row) => parseRow(row, canvasMultiple)),
    tableOffset: schedule.get("table_offset").integer(0, MAX_TABLE),
    encode: schedule.get("encode").elements().map(parseCall),
    query: schedule.get("query").elements().map(parseCall),
    masks: schedule.get("masks").elements(1).map(parseMask),
    reachSlack: schedule.get("reach_slack").positiveNumber(),
    macs: parseMacs(schedule.get("macs")),
  };
}

export function parseZoom(zoom: JsonValue): ZoomRule {
  const extent = zoom.get("extent").positiveNumber();
  const enlarge = zoom.get("enlarge").positiveNumber();
  const inside = zoom.get("inside").positiveNumber();
  if (extent < 1) zoom.get("extent").refuse("must be at least 1");
  if (enlarge < 0.01) zoom.get("enlarge").refuse("must be at least 0.01");
  if (inside >= 1) zoom.get("inside").refuse("must be below 1, so that the tap is on the tile");
  return {
    first: zoom.get("first").integer(0, MAX_SCHEDULES - 1),
    tile: zoom.get("tile").integer(0, MAX_SCHEDULES - 1),
    extent,
    enlarge,
    gain: zoom.get("gain").positiveNumber(),
    inside,
    trust: zoom.get("trust").number(),
  };
}

function parseHalo(schedule: JsonValue): number {
  const halo = schedule.get("halo").positiveNumber();
  if (halo > 1) schedule.get("halo").refuse("must be at most 1");
  if (schedule.get("exact").value !== (halo === 1)) {
    schedule.get("exact").refuse("must be true where the halo is 1, and false elsewhere");
  }
  return halo;
}

/** What is measured of inexact schedules only; nothing here depends on it. */
function checkMeasured(schedule: JsonValue, halo: number): void {
  const iou = schedule.get("fullnet_iou");
  const accuracy = schedule.get("miou_t");
  for (const measured of [iou, accuracy]) {
    if (measured.value !== null && halo === 1) {
      measured.refuse("must be null, because the schedule is exact");
    }
  }
  if (iou.value !== null) checkShares(iou, "mean", "p5");
  if (accuracy.value !== null) {
    checkShares(accuracy, "exact", "halo");
    accuracy.get("photos").integer(1, MAX_PHOTOS);
    accuracy.get("taps").integer(1, MAX_TAPS);
  }
}

function checkShares(measured: JsonValue, ...names: string[]): void {
  for (const name of names) {
    const share = measured.get(name);
    const value = share.number();
    if (value < 0 || value > 1) share.refuse("must be from 0 to 1");
  }
}

function sideRange(sides: JsonValue, multiple: number): SideRange {
  const [first, second] = sides.pair();
  const [least, most] = [first.integer(1, MAX_SIDE), second.integer(1, MAX_SIDE)];
  if (least > most || least % multiple !== 0 || most % multiple !== 0) {
    sides.refuse(`must be two multiples of ${multiple}, the smaller one first`);
  }
  return { least, most, multiple };
}

function parseRow(row: JsonValue, canvasMultiple: number): Row {
  const unit = row.get("unit").integer(1, MAX_SIDE);
  if (canvasMultiple % unit !== 0) {
    row.get("unit").refuse(`must divide the canvas multiple, ${canvasMultiple}`);
  }
  return {
    axis: row.get("axis").textAmong("y", "x"),
    unit,
    size: row.get("size").integer(1, MAX_SIDE),
    phases: row
      .get("phases")
      .elements(1, MAX_PHASES)
      .map((phase) => phase.integer(-MAX_PHASE, MAX_PHASE)),
    advance: row.get("advance").integer(-MAX_ADVANCE, MAX_ADVANCE),
  };
}

function parseMask(mask: JsonValue): MaskSchedule {
  const reach = mask.get("reach").orNull((value) => {
    const pixels = value.integer(1, MAX_SIDE);
    if (pixels % 2 !== 0) value.refuse("must be an even number");
    return pixels;
  });
  return {
    name: mask.get("name").text(),
    reach,
    calls: mask.get("calls").elements().map(parseCall),
    head: parseCall(mask.get("head")),
  };
}

function parseCall(call: JsonValue): Call {
  const origin = call.get("origin");
  return {
    program: call.get("program").text(),
    originY: origin.get("y").integer(0, MAX_ROWS - 1),
    originX: origin.get("x").integer(0, MAX_ROWS - 1),
    inputs: call.get("inputs").elements(1).map(parseWindow),
    outputs: call.get("outputs").elements(1).map(parseWindow),
  };
}

function parseWindow(window: JsonValue): Window {
  const [height, width] = window.get("size").pair();
  return {
    name: window.get("name").text(),
    array: window.get("array").text(),
    step: window.get("step").integer(1, MAX_STEP),
    height: height.integer(1, MAX_SIDE),
    width: width.integer(1, MAX_SIDE),
  };
}

function parseMacs(macs: JsonValue): Macs {
  return {
    full: macs.get("full").integer(1, MAX_MACS),
    encode: macs.get("encode").integer(0, MAX_MACS),
    query: macs.get("query").integer(0, MAX_MACS),
    masks: new Map(
      macs
        .get("masks")
        .members()
        .map(([name, value]) => [name, value.integer(0, MAX_MACS)]),
    ),
  };
}
