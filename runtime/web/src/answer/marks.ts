/**
 * Gestures on a canvas, and the planes that show them to a guided look.
 *
 * Coordinates are canvas pixels: pixel `x` covers `[x, x + 1)`, its centre is `x + 0.5`. Numbers
 * are rounded to single precision wherever they are in Python.
 */

import { GUIDE_PLANES, GUIDE_STRIDE } from "../contract.ts";
import type { Box, Point, Size } from "../rectangles.ts";

/** Canvas pixels; thinner strokes, and taps, are shown so thick. */
export const LEAST_RADIUS = 5;

/** Canvas pixels over which the newest mark's plane falls to 1 / e. */
export const NEARNESS = 48;

/** Canvas pixels that are 1 in the planes of distances from the first mark. */
export const FAR = 128;

/** The share of a negative line that a guided look is shown. */
const SHOWN = 0.5;

/**
 * A line that says of what it covers whether it belongs to the thing.
 *
 * `points`, one at least, are joined by straight lines; one is a tap. All within `radius` of the
 * line is covered.
 */
export interface Stroke {
  readonly kind: "stroke";
  readonly points: readonly Point[];
  readonly radius: number;
  readonly positive: boolean;
}

/** A box about the thing. */
export interface Area {
  readonly kind: "area";
  readonly box: Box;
}

export type Mark = Stroke | Area;

/** One number per cell of a canvas, row by row. */
export interface Cells extends Size {
  readonly data: Float32Array;
}

const round = Math.fround;

/** Whether a mark says what belongs to the thing. */
export function isPositive(mark: Mark): boolean {
  return mark.kind === "area" || mark.positive;
}

export function isStroke(mark: Mark): mark is Stroke {
  return mark.kind === "stroke";
}

/** The point halfway along a line, or a box's centre. */
export function middleOf(mark: Mark): Point {
  return mark.kind === "area" ? centreOfBox(mark.box) : middleOfLine(mark.points);
}

export function centreOfBox([x0, y0, x1, y1]: Box): Point {
  return { x: (x0 + x1) / 2, y: (y0 + y1) / 2 };
}

/** The point halfway along straight lines between points, of which there is one at least. */
export function middleOfLine(points: readonly Point[]): Point {
  return pointAt(points, lengthOf(points) / 2);
}

/** From the first point to the last, along straight lines. */
export function lengthOf(points: readonly Point[]): number {
  return lengthsOf(points).reduce((sum, length) => sum + length, 0);
}

/**
 * Whether a stroke is a negative line, which shows how large what is wrong is.
 *
 * A line no longer than a tap is shown wide says as little of that as a tap does.
 */
export function marksOff({ points, positive }: Stroke): boolean {
  return !positive && lengthOf(points) > 2 * LEAST_RADIUS;
}

/** This share of a line, about its middle. */
export function middlePart({ points, ...stroke }: Stroke, share: number): Stroke {
  const length = lengthOf(points);
  const [first, last] = [((1 - share) / 2) * length, ((1 + share) / 2) * length];
  let passed = 0;
  const passedAt = [0, ...lengthsOf(points).map((part) => (passed += part))];
  const between = points.filter((_, i) => first < passedAt[i]! && passedAt[i]! < last);
  return { ...stroke, points: [pointAt(points, first), ...between, pointAt(points, last)] };
}

function lengthsOf(points: readonly Point[]): number[] {
  return pairsOf(points).map(([a, b]) => Math.hypot(b.x - a.x, b.y - a.y));
}

/** The point so far along straight lines from the first. */
function pointAt(points: readonly Point[], left: number): Point {
  const lengths = lengthsOf(points);
  for (const [i, [a, b]] of pairsOf(points).entries()) {
    const length = lengths[i]!;
    if (length > 0 && left <= length) {
      const share = left / length;
      return { x: a.x + share * (b.x - a.x), y: a.y + share * (b.y - a.y) };
    }
    left -= length;
  }
  return points.at(-1)!;
}

/** Each point with the next one. */
export function pairsOf(points: readonly Point[]): (readonly [Point, Point])[] {
  return points.slice(1).map((point, i) => [points[i]!, point] as const);
}

/** Where the centres of cells are, on an axis with so many of them. */
export function cellCentres(count: number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => (i + 0.5) * GUIDE_STRIDE);
}

/**
 * From a mark to the places at columns `x` and rows `y`: y.length x x.length, row by row.
 *
 * Inside a box it is 0. Of a line, what is farther than `within` may be Infinity, which spares most
 * of the work.
 */
export function distanceTo(
  mark: Mark,
  x: Float32Array,
  y: Float32Array,
  within = Infinity,
): Float32Array {
  if (mark.kind === "area") return distanceToBox(mark.box, x, y);
  return distanceToLine(mark.points, x, y, within);
}

function distanceToLine(
  points: readonly Point[],
  x: Float32Array,
  y: Float32Array,
  within: number,
): Float32Array {
  const nearest = new Float32Array(x.length * y.length).fill(Infinity);
  const only = points[0]!;
  for (const [start, stop] of points.length === 1 ? [[only, only] as const] : pairsOf(points)) {
    const [x0, y0] = [round(start.x), round(start.y)];
    const [dx, dy] = [round(round(stop.x) - x0), round(round(stop.y) - y0)];
    const square = round(round(dx * dx) + round(dy * dy));
    const [left, right] = span(x, start.x, stop.x, within);
    const [top, bottom] = span(y, start.y, stop.y, within);
    for (let row = top; row < bottom; row++) {
      const toY = round(y[row]! - y0);
      const downs = round(toY * dy);
      let i = row * x.length + left;
      for (let column = left; column < right; column++, i++) {
        const toX = round(x[column]! - x0);
        const along = square === 0 ? 0 : round(round(round(toX * dx) + downs) / square);
        const share = Math.min(Math.max(along, 0), 1);
        const awayX = round(toX - round(share * dx));
        const awayY = round(toY - round(share * dy));
        const away = round(round(awayX * awayX) + round(awayY * awayY));
        if (away < nearest[i]!) nearest[i] = away;
      }
    }
  }
  return nearest.map(Math.sqrt);
}

/** Which of the places, which ascend, are within a distance of the positions from `a` to `b`. */
function span(
  places: Float32Array,
  a: number,
  b: number,
  within: number,
): [first: number, stop: number] {
  const [low, high] = [Math.min(a, b) - within, Math.max(a, b) + within];
  let first = 0;
  while (first < places.length && places[first]! < low) first++;
  let stop = places.length;
  while (stop > first && places[stop - 1]! > high) stop--;
  return [first, stop];
}

function distanceToBox(box: Box, x: Float32Array, y: Float32Array): Float32Array {
  const [x0, y0, x1, y1] = box.map(round) as [...Box];
  const distance = new Float32Array(x.length * y.length);
  for (let row = 0, i = 0; row < y.length; row++) {
    const down = Math.max(round(y0 - y[row]!), round(y[row]! - y1), 0);
    for (let column = 0; column < x.length; column++, i++) {
      distance[i] = Math.hypot(Math.max(round(x0 - x[column]!), round(x[column]! - x1), 0), down);
    }
  }
  return distance;
}

/** How much of the cells centred at columns `x` and rows `y` is inside a box. */
export function coverage(box: Box, x: Float32Array, y: Float32Array): Float32Array {
  const [x0, y0, x1, y1] = box.map(round) as [...Box];
  const covered = (at: number, low: number, high: number) =>
    share(round(Math.min(round(at - low), round(high - at)) / GUIDE_STRIDE));
  const across = x.map((at) => covered(at, x0, x1));
  const cells = new Float32Array(x.length * y.length);
  for (let row = 0, i = 0; row < y.length; row++) {
    const down = covered(y[row]!, y0, y1);
    for (let column = 0; column < x.length; column++, i++) cells[i] = down * across[column]!;
  }
  return cells;
}

/**
 * What a guided look is shown of a mark: of a negative line its middle half.
 *
 * All of it, along the rim of a thing or a gap in it, covers so much of what belongs to the thing
 * that the network takes the thing away.
 */
export function asShown(mark: Mark): Mark {
  return isStroke(mark) && marksOff(mark) ? middlePart(mark, SHOWN) : mark;
}

/**
 * The planes of `GUIDE_PLANES`, one after the other, of `GUIDE_STRIDE` cells each.
 *
 * `marks` are in the order in which they were made, at least one. `prior` is the probability of the
 * mask so far; `ownPositive` and `ownNegative` are TraceNet's own masks at the positive and at the
 * negative marks, times their scores, the largest of each. Where a stroke says the opposite of an
 * earlier one, the later one is right.
 */
export function guidePlanes(
  marks: readonly Mark[],
  prior: Cells,
  ownPositive: Float32Array,
  ownNegative: Float32Array,
): Float32Array {
  const { height, width } = prior;
  const size = height * width;
  const [x, y] = [cellCentres(width), cellCentres(height)];
  const planes = new Float32Array(GUIDE_PLANES.length * size);
  const plane = (number: number) => planes.subarray(number * size, (number + 1) * size);
  for (const mark of marks) {
    if (mark.kind === "area") plane(2).set(coverage(mark.box, x, y));
    else addStroke(mark, plane(mark.positive ? 0 : 1), plane(mark.positive ? 1 : 0), x, y);
  }
  plane(3).set(prior.data);
  plane(4).set(ownPositive);
  plane(5).set(ownNegative);
  const newest = marks.at(-1)!;
  const sign = isPositive(newest) ? 1 : -1;
  plane(6).set(distanceTo(newest, x, y).map((away) => Math.exp(round(-away / NEARNESS)) * sign));
  const anchor = middleOf(marks.find(isPositive) ?? newest);
  const right = x.map((at) => round(at - round(anchor.x)) / FAR);
  const below = y.map((at) => round(at - round(anchor.y)) / FAR);
  for (let row = 0; row < height; row++) {
    plane(7).set(right, row * width);
    plane(8).fill(below[row]!, row * width, (row + 1) * width);
  }
  return planes;
}

function addStroke(
  stroke: Stroke,
  said: Float32Array,
  opposite: Float32Array,
  x: Float32Array,
  y: Float32Array,
): void {
  const radius = round(Math.max(stroke.radius, LEAST_RADIUS));
  // Cells farther from the line than half a cell beyond the radius are not covered.
  distanceTo(stroke, x, y, radius + GUIDE_STRIDE).forEach((away, i) => {
    if (away === Infinity) return;
    const covered = share(round(round(radius - away) / GUIDE_STRIDE));
    said[i] = Math.max(said[i]!, covered);
    opposite[i] = Math.min(opposite[i]!, round(1 - covered));
  });
}

/** How much of a cell is covered whose centre is so many cells inside the rim. */
function share(inside: number): number {
  return Math.min(Math.max(round(inside + 0.5), 0), 1);
}
