/** Paints gestures over the photo: taps, lines, boxes, and the one that is being made. */

import type { Box, Gesture } from "../src/index.ts";
import { boxOf, type Draft } from "./draft.ts";
import { toScreen, type Point, type Viewport } from "./viewport.ts";

export interface Marks {
  /** Those that made the mask. */
  readonly made: readonly Gesture[];
  /** Those that are still being answered. */
  readonly pending: readonly Gesture[];
  readonly draft: Draft | null;
  readonly crosshair: Point | null;
}

export const NO_MARKS: Marks = { made: [], pending: [], draft: null, crosshair: null };

const LIGHT = "#ffffff";
const DARK = "rgb(8 20 32 / 85%)";
const ADDED = "#0072b2";
const REMOVED = "#c4320a";
const RADIUS = 9;
const PENDING_DASH = [4, 4];
const BOX_DASH = [8, 5];
/** Through which the photo is seen. */
const LINE_OPACITY = 0.7;
/** Around a line, so that it stands out on its own colour. */
const LINE_EDGE = 4;

/** @param context in CSS pixels of the viewer, empty */
export function paintMarks(
  context: CanvasRenderingContext2D,
  viewport: Viewport,
  { made, pending, draft, crosshair }: Marks,
): void {
  for (const gesture of made) paintGesture(context, viewport, gesture, false);
  for (const gesture of pending) paintGesture(context, viewport, gesture, true);
  if (draft?.mode === "box") paintBox(context, viewport, boxOf(draft), true);
  else if (draft !== null) {
    paintLine(context, viewport, draft.points, draft.width, draft.mode === "add", true);
  }
  if (crosshair !== null) paintCrosshair(context, centreOf(crosshair, viewport));
}

function paintGesture(
  context: CanvasRenderingContext2D,
  viewport: Viewport,
  gesture: Gesture,
  isPending: boolean,
): void {
  if (gesture.kind === "tap") {
    paintTap(context, centreOf(gesture.at, viewport), gesture.positive, isPending);
  } else if (gesture.kind === "scribble") {
    const { points, width, positive } = gesture;
    paintLine(context, viewport, points, width, positive, isPending);
  } else {
    paintBox(context, viewport, gesture.box, isPending);
  }
}

/** A disc with a plus or a minus, so that not only its colour tells. */
function paintTap(
  context: CanvasRenderingContext2D,
  { x, y }: Point,
  isPositive: boolean,
  isPending: boolean,
): void {
  context.save();
  context.beginPath();
  context.arc(x, y, RADIUS, 0, 2 * Math.PI);
  context.fillStyle = colorOf(isPositive);
  context.fill();
  context.lineWidth = 4;
  context.strokeStyle = DARK;
  context.stroke();
  context.setLineDash(isPending ? PENDING_DASH : []);
  context.lineWidth = 2;
  context.strokeStyle = LIGHT;
  context.stroke();
  context.setLineDash([]);
  const arm = RADIUS / 2;
  context.beginPath();
  context.moveTo(x - arm, y);
  context.lineTo(x + arm, y);
  if (isPositive) {
    context.moveTo(x, y - arm);
    context.lineTo(x, y + arm);
  }
  context.stroke();
  context.restore();
}

function paintLine(
  context: CanvasRenderingContext2D,
  viewport: Viewport,
  points: readonly Point[],
  width: number,
  isPositive: boolean,
  isPending: boolean,
): void {
  context.save();
  context.lineCap = "round";
  context.lineJoin = "round";
  const first = toScreen(viewport, points[0]!);
  context.beginPath();
  context.moveTo(first.x, first.y);
  // A line to its own start is a dot.
  for (const point of points.length === 1 ? points : points.slice(1)) {
    const to = toScreen(viewport, point);
    context.lineTo(to.x, to.y);
  }
  const shown = Math.max(width * viewport.scale, 4);
  context.globalAlpha = LINE_OPACITY;
  for (const [lineWidth, color] of [
    [shown + LINE_EDGE, LIGHT],
    [shown, colorOf(isPositive)],
  ] as const) {
    context.lineWidth = lineWidth;
    context.strokeStyle = color;
    context.stroke();
  }
  context.globalAlpha = 1;
  context.setLineDash(isPending ? PENDING_DASH : []);
  context.lineWidth = 2;
  context.strokeStyle = LIGHT;
  context.stroke();
  context.restore();
  if (!isPending) paintTap(context, first, isPositive, false);
}

function paintBox(
  context: CanvasRenderingContext2D,
  viewport: Viewport,
  [x0, y0, x1, y1]: Box,
  isPending: boolean,
): void {
  const from = toScreen(viewport, { x: x0, y: y0 });
  const to = toScreen(viewport, { x: x1, y: y1 });
  const box = [from.x, from.y, to.x - from.x, to.y - from.y] as const;
  context.save();
  context.lineWidth = 4;
  context.strokeStyle = DARK;
  context.strokeRect(...box);
  context.setLineDash(isPending ? PENDING_DASH : BOX_DASH);
  context.lineWidth = 2;
  context.strokeStyle = LIGHT;
  context.strokeRect(...box);
  context.restore();
}

function paintCrosshair(context: CanvasRenderingContext2D, at: Point): void {
  const inner = 4;
  const outer = 18;
  context.beginPath();
  for (const [dx, dy] of [
    [1, 0],
    [-1, 0],
    [0, 1],
    [0, -1],
  ] as const) {
    context.moveTo(at.x + inner * dx, at.y + inner * dy);
    context.lineTo(at.x + outer * dx, at.y + outer * dy);
  }
  for (const [lineWidth, color] of [
    [5, DARK],
    [2, LIGHT],
  ] as const) {
    context.lineWidth = lineWidth;
    context.strokeStyle = color;
    context.stroke();
  }
}

function colorOf(isPositive: boolean): string {
  return isPositive ? ADDED : REMOVED;
}

/** The middle of a pixel on the screen. */
function centreOf(pixel: Point, viewport: Viewport): Point {
  return toScreen(viewport, { x: Math.floor(pixel.x) + 0.5, y: Math.floor(pixel.y) + 0.5 });
}
