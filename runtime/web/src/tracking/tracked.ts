/** A thing in a frame of a clip. */

import { tileBoxToPhoto, type PlacedTile } from "../image/geometry.ts";
import { maskAt } from "../image/mask.ts";
import type { Box, Size } from "../rectangles.ts";
import { MASK_SIDE, MASK_STRIDE, TILE_SIDE } from "./contract.ts";

/**
 * A thing in a frame.
 *
 * `probability` has MASK_SIDE x MASK_SIDE cells of MASK_STRIDE pixels of `view`; `presence` is the
 * probability that the thing is seen, and `present` whether it is taken to be. What is not has an
 * empty mask.
 */
export interface Tracked {
  readonly probability: Float32Array;
  readonly presence: number;
  readonly present: boolean;
  readonly view: PlacedTile;
  readonly frame: Size;
}

/** The mask of the frame: 1 inside, row by row. */
export function trackedMask(thing: Tracked): Uint8Array {
  const { view, frame } = thing;
  const map = {
    probability: shown(thing),
    height: MASK_SIDE,
    width: MASK_SIDE,
    stride: MASK_STRIDE,
    window: [0, 0, TILE_SIDE, TILE_SIDE],
    placement: view.placement,
    photo: frame,
    tile: view.tile,
  } as const;
  return maskAt(map, frame);
}

/** The probability; 0 everywhere where the thing is not taken to be seen. */
export function shown({ probability, present }: Tracked): Float32Array {
  return present ? probability : new Float32Array(probability.length);
}

/** About the mask, frame pixels; null where it is empty. */
export function trackedBox({ probability, present, view }: Tracked): Box | null {
  const cells = present ? bounds(probability, MASK_SIDE, 0.5) : null;
  if (cells === null) return null;
  const [x0, y0, x1, y1] = cells.map((cell) => cell * MASK_STRIDE) as [...Box];
  return tileBoxToPhoto(view, [x0, y0, x1, y1]);
}

/** About the values above a limit, of rows of this width; null where there are none. */
export function bounds(
  values: Float32Array | Uint8Array,
  width: number,
  limit: number,
): Box | null {
  let [left, top, right, bottom] = [width, 0, 0, 0];
  for (let y = 0, cell = 0; cell < values.length; y++) {
    for (let x = 0; x < width; x++, cell++) {
      if (values[cell]! <= limit) continue;
      if (bottom === 0) top = y;
      left = Math.min(left, x);
      right = Math.max(right, x + 1);
      bottom = y + 1;
    }
  }
  return bottom === 0 ? null : [left, top, right, bottom];
}
