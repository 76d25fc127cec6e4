/** A gesture while it is being made, by finger, mouse or keyboard. All points are photo pixels. */

import type { Box, Gesture, Size } from "../src/index.ts";
import type { Point } from "./viewport.ts";

/** What a tap or a line on the photo does. */
export type Mode = "add" | "remove" | "box";

/** The line or box that is being drawn; it never changes. */
export interface Draft {
  readonly mode: Mode;
  readonly points: readonly Point[];
  /** Of a line, in photo pixels. */
  readonly width: number;
}

/** A tap in a mode; null in that of boxes. */
export function tapIn(mode: Mode, pixel: Point): Gesture | null {
  return mode === "box" ? null : { kind: "tap", at: pixel, positive: mode === "add" };
}

/** The draft with more points, as far as they are on the photo. */
export function extended(draft: Draft, points: readonly Point[], photo: Size): Draft {
  const held = points.map((point) => onPhoto(point, photo));
  return { ...draft, points: [...draft.points, ...held] };
}

/** The box between a draft's first and last point. */
export function boxOf({ points }: Draft): Box {
  const [from, to] = [points[0]!, points.at(-1)!];
  return [
    Math.min(from.x, to.x),
    Math.min(from.y, to.y),
    Math.max(from.x, to.x),
    Math.max(from.y, to.y),
  ];
}

/** What was drawn; null for a box without pixels. */
export function gestureOf(draft: Draft): Gesture | null {
  if (draft.mode !== "box") {
    const { points, width } = draft;
    return { kind: "scribble", points, width, positive: draft.mode === "add" };
  }
  const box = boxOf(draft);
  return box[0] < box[2] && box[1] < box[3] ? { kind: "box", box } : null;
}

/** The nearest point of the photo. */
export function onPhoto({ x, y }: Point, { height, width }: Size): Point {
  return { x: Math.min(Math.max(x, 0), width), y: Math.min(Math.max(y, 0), height) };
}
