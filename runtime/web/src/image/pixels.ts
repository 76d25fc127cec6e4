import type { Size } from "../rectangles.ts";

/** A photo, upright: RGB, 3 bytes a pixel, row by row. */
export interface Pixels extends Size {
  readonly data: Uint8Array;
}
