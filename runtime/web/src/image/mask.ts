/** From the network's probabilities to a mask of the photo, at the photo's size or any other. */

import type { Box, Size } from "../rectangles.ts";
import type { Placement } from "./geometry.ts";

/**
 * How probable it is that a place of the photo belongs to the thing.
 *
 * One cell per `stride` canvas pixels, `height` x `width` of them, row by row.
 */
export interface ProbabilityMap extends Size {
  readonly probability: Float32Array;
  readonly stride: number;
  /** The canvas pixels that the cells fill; outside, the mask is empty. */
  readonly window: Box;
  /** How what was looked at lies on the canvas: all of the photo, or the tile. */
  readonly placement: Placement;
  /** The size of the whole photo, in pixels. */
  readonly photo: Size;
  /** Whole photo pixels. */
  readonly tile: Box | null;
}

/**
 * One axis of a picture of a photo, of which a part lies on the canvas.
 *
 * The photo has `photo` pixels, of which `[start, stop)` are `content` canvas pixels large, and the
 * picture of it `picture`.
 */
export interface PictureAxis {
  readonly picture: number;
  readonly photo: number;
  readonly start: number;
  readonly stop: number;
  readonly content: number;
}

/** Which cells the pixels of one axis mix, and in what shares: `taps` of them for each pixel. */
interface StretchMix {
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
  writeMask(map, mask, target);
  return mask;
}

/** Fill in a mask as `maskAt` gives it, where that is still all 0. */
export function writeMask(map: ProbabilityMap, mask: Uint8Array, target: Size): void {
  const likely = boundsAboveHalf(map);
  if (likely === null) return;
  const [down, across] = axesOf(map, target);
  const [x0, y0, x1, y1] = likely;
  const columns = mixAxis(across, map.stride, map.window[0], map.width, [x0, x1]);
  const rows = mixAxis(down, map.stride, map.window[1], map.height, [y0, y1]);
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
}

/** Down and across, of a picture of the whole photo that has this many pixels. */
export function axesOf(
  { photo, tile, placement: { content } }: ProbabilityMap,
  picture: Size,
): [down: PictureAxis, across: PictureAxis] {
  const [left, top, right, bottom] = tile ?? [0, 0, photo.width, photo.height];
  const down = { picture: picture.height, photo: photo.height, content: content.height };
  const across = { picture: picture.width, photo: photo.width, content: content.width };
  return [
    { ...down, start: top, stop: bottom },
    { ...across, start: left, stop: right },
  ];
}

/** Where the centre of one of the picture's pixels is on the canvas. */
export function centreOf({ picture, photo, start, stop, content }: PictureAxis, pixel: number) {
  return ((pixel + 0.5) * (photo / picture) - start) * (content / (stop - start));
}

/** The picture's pixels with their centre in the canvas interval, and on the content. */
export function pixelsWithin(
  axis: PictureAxis,
  start: number,
  stop: number,
): [first: number, stop: number] {
  const first = firstCentredAt(axis, Math.max(0, start));
  return [first, Math.max(first, firstCentredAt(axis, Math.min(stop, axis.content)))];
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

/** The pixels of one axis that mix any of the cells from `first` to `last`, and how. */
function mixAxis(
  axis: PictureAxis,
  stride: number,
  windowStart: number,
  cells: number,
  [firstLikely, lastLikely]: readonly [first: number, last: number],
): StretchMix {
  const { picture, photo, content } = axis;
  const scale = (photo / picture) * (content / (axis.stop - axis.start));
  const reach = Math.max(stride, scale);
  const [start, stop] = pixelsWithin(
    axis,
    Math.max(windowStart, Math.floor(windowStart + stride * (firstLikely + 0.5) - reach)),
    Math.min(
      windowStart + stride * cells,
      Math.ceil(windowStart + stride * (lastLikely + 0.5) + reach),
    ),
  );
  const support = Math.max(1, scale / stride);
  const taps = Math.ceil(2 * support);
  const count = stop - start;
  const mix = {
    start,
    stop,
    taps,
    cells: new Int32Array(count * taps),
    weights: new Float32Array(count * taps),
  };
  const weights = new Float64Array(taps);
  for (let i = 0; i < count; i++) {
    const centre = (centreOf(axis, start + i) - windowStart) / stride;
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
function firstCentredAt(axis: PictureAxis, canvasPosition: number): number {
  const { picture, photo, start, stop, content } = axis;
  // The smallest X with centreOf(axis, X) >= canvasPosition.
  const whole = 2 * picture * ((stop - start) * canvasPosition + start * content);
  const pixel = photo * content;
  return Math.ceil((whole - pixel) / (2 * pixel));
}

/** One row of cells, stretched to the pixels of the mask. */
function stretchRow(map: ProbabilityMap, row: number, columns: StretchMix): Float32Array {
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
