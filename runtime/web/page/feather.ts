/** The soft edge of a cut-out. */

import { blur } from "./blur.ts";

/**
 * How opaque the cut-out is in the rows [top, bottom) of a mask of whole rows: 0 to 1, row by row.
 * Within `radius` pixels of the mask's edge it goes from one to the other. What it says of a row
 * does not depend on the rows that are asked with it, so that a large photo can be done in strips.
 */
export function softRows(
  mask: Uint8Array,
  height: number,
  width: number,
  top: number,
  bottom: number,
  radius: number,
): Float32Array {
  const margin = Math.ceil(radius) + 2;
  const first = Math.max(0, top - margin);
  const end = Math.min(height, bottom + margin);
  const plane = Float32Array.from(mask.subarray(first * width, end * width));
  blur(plane, end - first, width, radius);
  return plane.subarray((top - first) * width, (bottom - first) * width);
}
