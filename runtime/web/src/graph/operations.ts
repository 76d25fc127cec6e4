/**
 * The host operations: calls that the runtime does itself, each written once here.
 *
 * Adding one: its data beside `PlaceMask` in schedule.ts, a kind in bundle/parser.ts, its function
 * here, what must hold of its arrays in windows.ts, and the same in Python.
 */

import { PROBABILITY_STRIDE } from "../contract.ts";
import type { Point, Size } from "../rectangles.ts";
import { PlacedArray, type Cuttable } from "./arrays.ts";
import type { PlaceMask } from "./schedule.ts";

/** What of an array lies within the reach of the key cell, on a canvas of this size. */
export function placeMask(
  { reach }: PlaceMask,
  array: Cuttable,
  keyCell: Point,
  keyStride: number,
  canvas: Size,
): PlacedArray {
  const span = (key: number, side: number): [start: number, size: number] => {
    const first = reach === null ? 0 : Math.max(0, key * keyStride - reach);
    const last = reach === null ? side : Math.min(side, (key + 1) * keyStride + reach);
    return [first / PROBABILITY_STRIDE, (last - first) / PROBABILITY_STRIDE];
  };
  const [top, height] = span(keyCell.y, canvas.height);
  const [left, width] = span(keyCell.x, canvas.width);
  return new PlacedArray(array.cut(top, left, height, width), top, left);
}
