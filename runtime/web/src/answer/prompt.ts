/**
 * Gestures on a photo: what a user says of the thing that is meant.
 *
 * Coordinates are photo pixels: pixel `x` covers `[x, x + 1)`, its centre is `x + 0.5`.
 */

import { GestureError } from "../errors.ts";
import { checkTap, tileScale, toTileCanvas, type PlacedTile } from "../image/geometry.ts";
import type { Box, Point, Size } from "../rectangles.ts";
import { centreOfBox, middleOfLine, type Mark } from "./marks.ts";

/** Canvas pixels. */
const BESIDE = 0.05;

/** The pixel that holds `at` belongs to the thing, or does not. */
export interface Tap {
  readonly kind: "tap";
  readonly at: Point;
  readonly positive: boolean;
}

/**
 * What a line of `width` photo pixels covers belongs to the thing, or does not.
 *
 * `points` are joined by straight lines.
 */
export interface Scribble {
  readonly kind: "scribble";
  readonly points: readonly Point[];
  readonly width: number;
  readonly positive: boolean;
}

/** The thing lies in this box. */
export interface Bounds {
  readonly kind: "box";
  readonly box: Box;
}

export type Gesture = Tap | Scribble | Bounds;

/** Whether a gesture says what belongs to the thing. */
export function isPositive(gesture: Gesture): boolean {
  return gesture.kind === "box" || gesture.positive;
}

/** The centre of a tapped pixel or of a box, or the point halfway along a line. */
export function middleOf(gesture: Gesture): Point {
  if (gesture.kind === "box") return centreOfBox(gesture.box);
  if (gesture.kind === "scribble") return middleOfLine(gesture.points);
  return { x: Math.floor(gesture.at.x) + 0.5, y: Math.floor(gesture.at.y) + 0.5 };
}

/** The box that holds a gesture. */
export function boundsOf(gesture: Gesture): Box {
  if (gesture.kind === "box") return gesture.box;
  const points = gesture.kind === "scribble" ? gesture.points : [middleOf(gesture)];
  const [x, y] = [points.map((point) => point.x), points.map((point) => point.y)];
  return [Math.min(...x), Math.min(...y), Math.max(...x), Math.max(...y)];
}

/**
 * Throw a `GestureError` for what is not on a photo of this size, or is empty.
 *
 * Positions on the photo's right and lower border are on it, but for a tap, which is of a pixel
 * (`TapOutsidePhoto`).
 */
export function checkGesture(gesture: Gesture, photo: Size): void {
  if (gesture.kind === "tap") {
    checkTap(gesture.at, photo);
    return;
  }
  if (gesture.kind === "scribble") {
    if (gesture.points.length === 0) {
      throw new GestureError("The scribble has no points; give one at least.");
    }
    if (!(Number.isFinite(gesture.width) && gesture.width > 0)) {
      throw new GestureError(
        `The scribble is ${gesture.width} wide; give a width in photo pixels above 0.`,
      );
    }
    for (const point of gesture.points) checkOnPhoto("scribble", point, photo);
    return;
  }
  const [x0, y0, x1, y1] = gesture.box;
  checkOnPhoto("box", { x: x0, y: y0 }, photo);
  checkOnPhoto("box", { x: x1, y: y1 }, photo);
  if (!(x0 < x1 && y0 < y1)) {
    throw new GestureError(
      `The box ${gesture.box.join(", ")} is empty; give x0, y0, x1, y1 with x0 below x1 and y0 ` +
        "below y1.",
    );
  }
}

function checkOnPhoto(what: string, { x, y }: Point, { height, width }: Size): void {
  if (x >= 0 && x <= width && y >= 0 && y <= height) return;
  throw new GestureError(
    `The ${what} reaches (${x}, ${y}), which is outside the photo; x must be from 0 to ${width} ` +
      `and y from 0 to ${height}.`,
  );
}

/** Throw a `GestureError` unless a mask has a byte for each of the photo's pixels. */
export function checkMask(mask: Uint8Array, { height, width }: Size): void {
  if (mask.length === height * width) return;
  throw new GestureError(
    `The mask has ${mask.length} pixels; give one of ${height} x ${width}, as high and as wide as ` +
      "the photo.",
  );
}

/** A gesture in canvas pixels of a tile, on the tile or not. */
export function markOf(gesture: Gesture, view: PlacedTile): Mark {
  if (gesture.kind === "box") {
    const [x0, y0, x1, y1] = gesture.box;
    const [from, to] = [
      toTileCanvas(view, { x: x0, y: y0 }),
      toTileCanvas(view, { x: x1, y: y1 }),
    ];
    return { kind: "area", box: [from.x, from.y, to.x, to.y] };
  }
  const { positive } = gesture;
  if (gesture.kind === "tap") {
    const points = [toTileCanvas(view, middleOf(gesture))];
    return { kind: "stroke", points, radius: 0, positive };
  }
  const scale = tileScale(view);
  const points = simplified(gesture.points.map((point) => toTileCanvas(view, point)));
  const radius = (gesture.width / 2) * Math.max(scale.x, scale.y);
  return { kind: "stroke", points, radius, positive };
}

/** The pixel of a photo at which TraceNet is asked what a gesture means. */
export function tapped(gesture: Gesture, photo: Size): Point {
  const { x, y } = middleOf(gesture);
  return {
    x: Math.min(Math.floor(x), photo.width - 1),
    y: Math.min(Math.floor(y), photo.height - 1),
  };
}

/**
 * The line without points that lie within `BESIDE` of it (Douglas and Peucker, 1973).
 *
 * Hands are sampled more finely than a canvas can show.
 */
function simplified(line: readonly Point[]): Point[] {
  const kept = new Set([0, line.length - 1]);
  const parts: [first: number, last: number][] = [[0, line.length - 1]];
  for (let part = parts.pop(); part !== undefined; part = parts.pop()) {
    const [first, last] = part;
    const [middle, away] = farthest(line, first, last);
    if (away <= BESIDE) continue;
    kept.add(middle);
    parts.push([first, middle], [middle, last]);
  }
  return line.filter((_, number) => kept.has(number));
}

/** The point between two of a line that is farthest from the straight one that joins them. */
function farthest(
  line: readonly Point[],
  first: number,
  last: number,
): [number: number, away: number] {
  const [from, to] = [line[first]!, line[last]!];
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const square = dx * dx + dy * dy;
  let found: [number: number, away: number] = [first, 0];
  for (let number = first + 1; number < last; number++) {
    const [x, y] = [line[number]!.x - from.x, line[number]!.y - from.y];
    const share = square === 0 ? 0 : Math.min(Math.max((x * dx + y * dy) / square, 0), 1);
    const away = Math.hypot(x - share * dx, y - share * dy);
    if (away > found[1]) found = [number, away];
  }
  return found;
}
