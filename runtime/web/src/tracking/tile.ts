/** Which part of a frame is looked at, and a mask carried from one part to another. */

import { place, roundHalfToEven } from "../image/canvas.ts";
import { span, tileScale, united, type PlacedTile } from "../image/geometry.ts";
import type { Box, Size } from "../rectangles.ts";
import { TILE_SIDE } from "./contract.ts";

/** How much longer than its own the side of a tile may be that a thing shares. */
export const SHARED = 1.5;

/**
 * A tile that follows a thing, with room for it to move.
 *
 * The longer side of the thing's box in the frame before is the share `fill` of the tile's side,
 * but no frame pixel is more than `enlarge` canvas pixels large. A thing whose presence is below
 * `lost` is not in the tile: until it is found, every other frame is looked at in a larger tile
 * about where it was seen last, each twice as long as the one before, up to the whole frame, and
 * then from the first again. Only frames whose things all have a presence of `sure` are remembered.
 */
export interface FollowRule {
  readonly fill: number;
  readonly enlarge: number;
  readonly lost: number;
  readonly sure: number;
}

/**
 * Which part of a frame is looked at.
 *
 * `box` is where things were seen last, null for all of the frame; `searched` are the frames in a
 * row, the last ones, in which one of them was missing.
 */
export function followTile(
  rule: FollowRule,
  frame: Size,
  box: Box | null,
  searched = 0,
): PlacedTile {
  let [left, top, right, bottom] = [0, 0, frame.width, frame.height];
  if (box !== null) {
    const [x0, y0, x1, y1] = box;
    const side = searchedSide(sideAbout(rule, frame, box), frame, searched);
    [top, bottom] = span((y0 + y1) / 2, side, frame.height);
    [left, right] = span((x0 + x1) / 2, side, frame.width);
  }
  return placed([left, top, right, bottom]);
}

function searchedSide(side: number, { height, width }: Size, searched: number): number {
  if (searched % 2 === 0) return side;
  const whole = Math.max(height, width);
  const larger = [Math.min(2 * side, whole)];
  while (larger.at(-1)! < whole) larger.push(Math.min(2 * larger.at(-1)!, whole));
  return larger[((searched - 1) / 2) % larger.length]!;
}

/**
 * Which things share a tile: those that it shows about as large as a tile of their own.
 *
 * A thing joins the first group that it fits, and one whose box is null is alone.
 */
export function followGroups(
  rule: FollowRule,
  frame: Size,
  boxes: readonly (Box | null)[],
): number[][] {
  const groups: number[][] = [];
  for (const thing of boxes.keys()) {
    const fitting = groups.find((group) => {
      return share(rule, frame, [...group, thing].map((member) => boxes[member]!));
    });
    if (fitting === undefined) groups.push([thing]);
    else fitting.push(thing);
  }
  return groups;
}

function share(rule: FollowRule, frame: Size, boxes: readonly (Box | null)[]): boolean {
  const known = boxes.filter((box) => box !== null);
  if (known.length < boxes.length) return false;
  const least = Math.min(...known.map((box) => sideAbout(rule, frame, box)));
  return sideAbout(rule, frame, united(known)) <= SHARED * least;
}

/** Of the tile about a box, frame pixels. */
function sideAbout({ fill, enlarge }: FollowRule, frame: Size, [x0, y0, x1, y1]: Box): number {
  const side = Math.max(Math.max(x1 - x0, y1 - y0) / fill, TILE_SIDE / enlarge);
  return Math.min(roundHalfToEven(side), Math.max(frame.height, frame.width));
}

/** A tile of a frame as it lies on its canvas. */
export function placed(tile: Box): PlacedTile {
  const [x0, y0, x1, y1] = tile;
  const canvas = { height: TILE_SIDE, width: TILE_SIDE };
  return { tile, placement: place(canvas, { height: y1 - y0, width: x1 - x0 }), canvas };
}

/**
 * A mask of one tile as another of the same frame has it, bilinearly; 0 beyond the first.
 *
 * `mask` has the cells of a tile, as many as are returned; it lies on the tile `before`, and is
 * wanted on `now`.
 */
export function carried(mask: Float32Array, before: PlacedTile, now: PlacedTile): Float32Array {
  const [scaleBefore, scaleNow] = [tileScale(before), tileScale(now)];
  const side = Math.sqrt(mask.length);
  const down = mixed(side, scaleNow.y, now.tile[1], scaleBefore.y, before.tile[1]);
  const across = mixed(side, scaleNow.x, now.tile[0], scaleBefore.x, before.tile[0]);
  return stretched(mask, side, down, across);
}

/** The two cells that are mixed at each place of one axis, the second at `first + 1`. */
export interface Mix {
  readonly first: Int32Array;
  /** Two for each place; 0 of a cell that is none. */
  readonly weights: Float32Array;
}

/** At these places of an axis of `cells` cells, in cells from the first one's centre on. */
export function mixAt(places: Float64Array, cells: number): Mix {
  const first = Int32Array.from(places, Math.floor);
  const weights = new Float32Array(2 * places.length);
  places.forEach((at, i) => {
    for (const next of [0, 1]) {
      const cell = first[i]! + next;
      if (cell >= 0 && cell < cells) weights[2 * i + next] = 1 - Math.abs(at - cell);
    }
  });
  return { first, weights };
}

/** Square cells, `side` on each axis, mixed along both axes. */
export function stretched(cells: Float32Array, side: number, down: Mix, across: Mix): Float32Array {
  const [height, width] = [down.first.length, across.first.length];
  const rows = new Float32Array(height * side);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < side; x++) {
      rows[y * side + x] = mixedAt(cells, down, y, x, side);
    }
  }
  const made = new Float32Array(height * width);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      made[y * width + x] = mixedAt(rows, across, x, y * side, 1);
    }
  }
  return made;
}

/** What is mixed at the place `i` of an axis, whose cells are `step` apart, from `start` on. */
function mixedAt(
  cells: Float32Array,
  { first, weights }: Mix,
  i: number,
  start: number,
  step: number,
): number {
  const [one, other] = [weights[2 * i]!, weights[2 * i + 1]!];
  const at = start + first[i]! * step;
  return (one === 0 ? 0 : one * cells[at]!) + (other === 0 ? 0 : other * cells[at + step]!);
}

/** Along one axis of so many cells: which cells before are in each cell now. */
function mixed(
  cells: number,
  scale: number,
  start: number,
  scaleBefore: number,
  startBefore: number,
): Mix {
  const stride = TILE_SIDE / cells;
  const places = Float64Array.from({ length: cells }, (_, cell) => {
    const onFrame = ((cell + 0.5) * stride) / scale + start;
    return ((onFrame - startBefore) * scaleBefore) / stride - 0.5;
  });
  return mixAt(places, cells);
}
