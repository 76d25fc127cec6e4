/** What the pointers on the viewer mean: a tap, a drag of the photo, a drawn line, or a pinch. */

import type { Point } from "./viewport.ts";

export type Gesture =
  | { readonly kind: "tap"; readonly at: Point }
  | { readonly kind: "pan"; readonly dx: number; readonly dy: number }
  /** A line that is drawn goes on; its first points come at once. */
  | { readonly kind: "draw"; readonly to: readonly Point[] }
  /** The line that was drawn ends, or was none after all. */
  | { readonly kind: "drawn" }
  | { readonly kind: "undrawn" }
  | {
      readonly kind: "pinch";
      readonly factor: number;
      readonly about: Point;
      readonly dx: number;
      readonly dy: number;
    };

/** A pointer that moved further than this, in CSS pixels, is no tap, however long it stays. */
export const TAP_DISTANCE = 8;

export class Gestures {
  /** Whether a finger that moves draws a line, or else moves the photo. */
  draws = false;
  private readonly pointers = new Map<number, Point>();
  /** Where a tap may have begun; null once it is something else. */
  private start: Point | null = null;
  private isDrawing = false;

  down(id: number, at: Point): Gesture | null {
    this.start = this.pointers.size === 0 ? at : null;
    this.pointers.set(id, at);
    return this.endDrawing("undrawn"); // a second finger makes a pinch of it
  }

  move(id: number, at: Point): Gesture | null {
    const before = this.pointers.get(id);
    if (before === undefined) return null;
    if (this.start !== null) {
      if (distance(this.start, at) <= TAP_DISTANCE) return null;
      const { start } = this;
      // The way up to here belongs to the drag, too: the photo stays under the finger.
      this.start = null;
      this.isDrawing = this.draws;
      if (this.isDrawing) {
        this.pointers.set(id, at);
        return { kind: "draw", to: [start, at] };
      }
    }
    if (this.isDrawing) {
      this.pointers.set(id, at);
      return { kind: "draw", to: [at] };
    }
    const other = this.otherThan(id);
    this.pointers.set(id, at);
    const dx = at.x - before.x;
    const dy = at.y - before.y;
    if (other === null) return this.pointers.size === 1 ? { kind: "pan", dx, dy } : null;
    const apart = Math.max(distance(before, other), 1);
    return {
      kind: "pinch",
      factor: Math.max(distance(at, other), 1) / apart,
      about: { x: (at.x + other.x) / 2, y: (at.y + other.y) / 2 },
      dx: dx / 2,
      dy: dy / 2,
    };
  }

  up(id: number, at: Point): Gesture | null {
    const start = this.start;
    if (!this.pointers.delete(id)) return null;
    if (this.isDrawing) return this.endDrawing("drawn");
    if (start === null) return null;
    this.start = null;
    return distance(start, at) <= TAP_DISTANCE ? { kind: "tap", at: start } : null;
  }

  cancel(id: number): Gesture | null {
    this.pointers.delete(id);
    this.start = null;
    return this.endDrawing("undrawn");
  }

  private endDrawing(kind: "drawn" | "undrawn"): Gesture | null {
    if (!this.isDrawing) return null;
    this.isDrawing = false;
    return { kind };
  }

  /** The second finger of a pinch; null unless there are exactly two. */
  private otherThan(id: number): Point | null {
    if (this.pointers.size !== 2) return null;
    for (const [other, point] of this.pointers) if (other !== id) return point;
    return null;
  }
}

function distance(a: Point, b: Point): number {
  return Math.hypot(a.x - b.x, a.y - b.y);
}
