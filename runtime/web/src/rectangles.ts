/** Sizes and places, in pixels. */

export interface Size {
  readonly height: number;
  readonly width: number;
}

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** Half-open. */
export type Box = readonly [x0: number, y0: number, x1: number, y1: number];
