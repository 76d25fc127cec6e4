/** From the network's probabilities to a mask of the photo, at the photo's size or any other. */

import { PROBABILITY_STRIDE } from "../contract.ts";
import type { Box, Size } from "../rectangles.ts";
import type { Placement } from "./geometry.ts";

/**
 * How probable it is that a place of the photo belongs to the thing.
 *
 * One cell per `PROBABILITY_STRIDE` canvas pixels, `height` x `width` of them, row by row.
 */
export interface ProbabilityMap extends Size {
  readonly probability: Float32Array;
  /** The canvas pixels that the cells fill; outside, the mask is empty. */
  readonly window: Box;
  /** How what was looked at lies on the canvas: all of the photo, or the tile. */
  readonly placement: Placement;
  /** The size of the whole photo, in pixels. */
  readonly photo: Size;
  /** Whole photo pixels. */
  readonly tile: Box | null;
}

/** One axis from the mask wanted to the map. Sides are in pixels, `window` in canvas pixels. */
interface AxisMap {
  readonly target: number;
  readonly photo: number;
  readonly tileStart: number;
  readonly tile: number;
  readonly content: number;
  readonly windowStart: number;
  readonly windowStop: number;
  readonly cells: number;
}

/** Which cells the pixels of one axis mix, and in what shares: `taps` of them for each pixel. */
interface Mix {
  readonly start: number;
  readonly stop: number;
  readonly taps: number;
  readonly cells: Int32Array;
  readonly weights: Float32Array;
}

/** Pixels [start, stop) of a row that are all inside the mask, or to be computed one by one. */
interface Run {
  readonly start: number;
  readonly stop: number;
  readonly inside: boolean;
}

/**
 * The mask of the whole photo at `target` pixels: 1 where the probability, resized, is above 0.5.
 *
 * Pixels with their centre outside the window or the tile are 0. The filter is a triangle, widened
 * when the mask is smaller than the map. It is only computed where 0.5 lies between the cells that
 * mix: values on one side of 0.5 mix to one on that side, and nearly everywhere they are.
 */
export function maskAt(map: ProbabilityMap, target: Size): Uint8Array {
  const mask = new Uint8Array(target.height * target.width);
  const likely = boundsAboveHalf(map);
  if (likely === null) return mask;
  const columns = mixAxis(axisMap(map, target, "width"), likely[0], likely[2]);
  const rows = mixAxis(axisMap(map, target, "height"), likely[1], likely[3]);
  const stretched = new Map<number, Float32Array>();
  let runs: Run[] = [];
  for (let y = rows.start; y < rows.stop; y++) {
    const tap = (y - rows.start) * rows.taps;
    const cells = rows.cells.subarray(tap, tap + rows.taps);
    if (y === rows.start || cells.some((cell, t) => cell !== rows.cells[tap - rows.taps + t])) {
      for (const cell of stretched.keys()) if (cell < cells[0]!) stretched.delete(cell);
      for (const cell of cells) {
        if (!stretched.has(cell)) stretched.set(cell, stretchRow(map, cell, columns));
      }
      runs = findRuns([...new Set(cells)].map((cell) => stretched.get(cell)!));
    }
    const line = y * target.width + columns.start;
    const mixed = [...cells].map((cell) => stretched.get(cell)!);
    const weights = rows.weights.subarray(tap, tap + rows.taps);
    for (const { start, stop, inside } of runs) {
      if (inside) mask.fill(1, line + start, line + stop);
      else mixRows(mask, line, start, stop, mixed, weights);
    }
  }
  return mask;
}

function axisMap(map: ProbabilityMap, target: Size, side: "height" | "width"): AxisMap {
  const near = side === "width" ? 0 : 1;
  const far = side === "width" ? 2 : 3;
  return {
    target: target[side],
    photo: map.photo[side],
    tileStart: map.tile?.[near] ?? 0,
    tile: map.placement.photo[side],
    content: map.placement.content[side],
    windowStart: map.window[near],
    windowStop: map.window[far],
    cells: map[side],
  };
}

/** The first and last column and row of cells above 0.5, as (x0, y0, x1, y1), both included. */
function boundsAboveHalf({ probability, height, width }: ProbabilityMap): Box | null {
  let [x0, y0, x1, y1] = [width, height, -1, -1];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (probability[y * width + x]! > 0.5) {
        x0 = Math.min(x0, x);
        x1 = Math.max(x1, x);
        y0 = Math.min(y0, y);
        y1 = y;
      }
    }
  }
  return y1 < 0 ? null : [x0, y0, x1, y1];
}

/** The pixels of one axis that mix any cell from `firstLikely` to `lastLikely`, and how. */
function mixAxis(axis: AxisMap, firstLikely: number, lastLikely: number): Mix {
  const { windowStart, windowStop, content, tile, tileStart, photo, target, cells } = axis;
  const scale = content / tile;
  const pixelScale = (scale * photo) / target;
  const reach = Math.max(PROBABILITY_STRIDE, pixelScale);
  const centreOf = (cell: number) => windowStart + PROBABILITY_STRIDE * (cell + 0.5);
  const near = Math.max(windowStart, Math.floor(centreOf(firstLikely) - reach));
  const far = Math.min(windowStop, content, Math.ceil(centreOf(lastLikely) + reach));
  const start = Math.max(0, firstCentredAt(axis, near));
  const stop = Math.min(target, firstCentredAt(axis, far));

  const support = Math.max(1, pixelScale / PROBABILITY_STRIDE);
  const taps = Math.ceil(2 * support);
  const count = Math.max(0, stop - start);
  const mix = {
    start,
    stop,
    taps,
    cells: new Int32Array(count * taps),
    weights: new Float32Array(count * taps),
  };
  const weights = new Float64Array(taps);
  for (let i = 0; i < count; i++) {
    const photoCentre = ((start + i + 0.5) * photo) / target - tileStart;
    const centre = (photoCentre * scale - windowStart) / PROBABILITY_STRIDE;
    const first = Math.floor(centre - support + 0.5);
    let sum = 0;
    for (let t = 0; t < taps; t++) {
      const cell = first + t;
      const weight = Math.max(0, 1 - Math.abs(cell + 0.5 - centre) / support);
      weights[t] = cell < 0 || cell >= cells ? 0 : weight;
      sum += weights[t]!;
      mix.cells[i * taps + t] = Math.min(Math.max(cell, 0), cells - 1);
    }
    for (let t = 0; t < taps; t++) mix.weights[i * taps + t] = weights[t]! / sum;
  }
  return mix;
}

/** The first pixel whose centre is at the canvas position or after it, in whole numbers. */
function firstCentredAt(axis: AxisMap, canvasPosition: number): number {
  const { target, photo, tile, tileStart, content } = axis;
  // The smallest X with ((X + 0.5) * photo / target - tileStart) * content / tile >= position.
  const whole = 2 * target * (tile * canvasPosition + tileStart * content);
  const pixel = photo * content;
  return Math.ceil((whole - pixel) / (2 * pixel));
}

/** One row of cells, stretched to the pixels of the mask. */
function stretchRow(map: ProbabilityMap, row: number, columns: Mix): Float32Array {
  const { taps, cells, weights } = columns;
  const line = map.probability.subarray(row * map.width, (row + 1) * map.width);
  const stretched = new Float32Array(cells.length / taps);
  for (let i = 0; i < stretched.length; i++) {
    // Each step is rounded to single precision, as in Python.
    let sum = Math.fround(line[cells[i * taps]!]! * weights[i * taps]!);
    for (let t = i * taps + 1; t < (i + 1) * taps; t++) {
      sum = Math.fround(sum + Math.fround(line[cells[t]!]! * weights[t]!));
    }
    stretched[i] = sum;
  }
  return stretched;
}

/** Where a mix of these rows is above 0.5 for certain, and where it may be. */
function findRuns(rows: readonly Float32Array[]): Run[] {
  const runs: Run[] = [];
  const width = rows[0]!.length;
  let start = 0;
  let kind = 0;
  for (let x = 0; x <= width; x++) {
    let above = 0;
    if (x < width) for (const row of rows) above += row[x]! > 0.5 ? 1 : 0;
    const here = x === width || above === 0 ? 0 : above === rows.length ? 2 : 1;
    if (here === kind) continue;
    if (kind > 0) runs.push({ start, stop: x, inside: kind === 2 });
    start = x;
    kind = here;
  }
  return runs;
}

/** Where rows, mixed in these shares, are above 0.5, for the pixels [start, stop) of a line. */
function mixRows(
  mask: Uint8Array,
  line: number,
  start: number,
  stop: number,
  rows: readonly Float32Array[],
  weights: Float32Array,
): void {
  for (let x = start; x < stop; x++) {
    let sum = 0;
    for (let t = 0; t < rows.length; t++) {
      sum = Math.fround(sum + Math.fround(rows[t]![x]! * weights[t]!));
    }
    mask[line + x] = sum > 0.5 ? 1 : 0;
  }
}
