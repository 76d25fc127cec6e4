/** Gestures as Python's fixtures write them. */

import type { Gesture } from "../src/answer/prompt.ts";
import type { Box } from "../src/rectangles.ts";

export interface GestureJson {
  readonly kind: string;
  readonly at?: readonly number[];
  readonly points?: readonly (readonly number[])[];
  readonly width?: number;
  readonly box?: readonly number[];
  readonly positive?: boolean;
}

export function gestureOf({ kind, at, points, width, box, positive }: GestureJson): Gesture {
  if (kind === "tap") return { kind, at: pointOf(at!), positive: positive! };
  if (kind === "box") return { kind, box: box as unknown as Box };
  const line = points!.map(pointOf);
  return { kind: "scribble", points: line, width: width!, positive: positive! };
}

export function pointOf([x, y]: readonly number[]): { x: number; y: number } {
  return { x: x!, y: y! };
}
