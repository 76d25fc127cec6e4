/** Turns points of the screen into the line or box that is being drawn. */

import type { Gesture, Size } from "../src/index.ts";
import { extended, gestureOf, tapIn, type Draft, type Mode } from "./draft.ts";
import { toPhoto, toScreen, type Point, type Viewport } from "./viewport.ts";

/** What a finger, or the enter key, does on the photo. */
export interface Tool {
  readonly mode: Mode;
  /** Whether it draws lines. */
  readonly isBrush: boolean;
}

/** In CSS pixels: whoever zooms in draws finer. */
const BRUSH_WIDTH = 24;
/** Points of a line are so far apart at least, in CSS pixels. */
const POINT_DISTANCE = 3;

export class Drafting {
  tool: Tool = { mode: "add", isBrush: false };
  private current: Draft | null = null;

  get draft(): Draft | null {
    return this.current;
  }

  /** Whether a finger that moves draws. */
  get draws(): boolean {
    return this.tool.isBrush || this.tool.mode === "box";
  }

  /** A tap at a pixel of the photo; null where taps mean nothing. */
  tap(pixel: Point): Gesture | null {
    return tapIn(this.tool.mode, pixel);
  }

  /** Begin, or go on, to points of the screen; those that are very near are left out. */
  draw(viewport: Viewport, photo: Size, to: readonly Point[]): void {
    const before = this.current?.points.at(-1);
    const last = before && toScreen(viewport, before);
    const isNear = ({ x, y }: Point): boolean =>
      last !== undefined && Math.hypot(x - last.x, y - last.y) < POINT_DISTANCE;
    if (to.every(isNear)) return;
    const width = BRUSH_WIDTH / viewport.scale;
    const draft = this.current ?? { mode: this.tool.mode, points: [], width };
    const points = to.map((point) => toPhoto(viewport, point));
    this.current = extended(draft, points, photo);
  }

  /** End it; null for a box without pixels. */
  end(): Gesture | null {
    const draft = this.current;
    this.current = null;
    return draft === null ? null : gestureOf(draft);
  }

  /** Give it up; whether there was one. */
  drop(): boolean {
    const was = this.current !== null;
    this.current = null;
    return was;
  }
}
