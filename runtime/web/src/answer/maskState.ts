/**
 * The mask of a thing that is corrected: maps of tiles, the newest on top, over a mask given.
 *
 * It lives in photo coordinates: a correction sees a tile and changes nothing outside of it.
 */

import { GUIDE_STRIDE } from "../contract.ts";
import {
  contains,
  isSameTile,
  tileBoxToPhoto,
  tileScale,
  united,
  type PlacedTile,
} from "../image/geometry.ts";
import {
  axesOf,
  centreOf,
  pixelsWithin,
  writeMask,
  type PictureAxis,
  type ProbabilityMap,
} from "../image/mask.ts";
import type { Box, Point, Size } from "../rectangles.ts";
import { distanceTo, pairsOf, type Cells, type Stroke } from "./marks.ts";

/** Canvas pixels; what is so near to a stroke's line has its label. */
export const STROKE_REACH = 2;

/** Canvas pixels of a line that are painted at once. */
const PIECE = 16;

/**
 * What a look or a correction said of a tile.
 *
 * `map` fills the tile; `strokes` are the gestures so far in its canvas pixels, oldest first: what
 * is within `STROKE_REACH` of them has their label, whatever the map says.
 */
export interface Layer {
  readonly map: ProbabilityMap;
  readonly view: PlacedTile;
  readonly strokes: readonly Stroke[];
}

/**
 * The mask so far, of a photo; it never changes, and can be posted to the page.
 *
 * A place belongs to the mask as the newest of `layers`, which stand oldest first, whose tile holds
 * it says, otherwise as the mask `base` (of the photo's size, 1 inside) says, if there is one.
 */
export interface MaskState {
  readonly photo: Size;
  readonly layers: readonly Layer[];
  readonly base: Uint8Array | null;
}

/** Where nothing is. */
export function emptyState(photo: Size): MaskState {
  return { photo: { height: photo.height, width: photo.width }, layers: [], base: null };
}

/** What it is made of, and other states may share. */
export function stateArrays({ layers, base }: MaskState): (Float32Array | Uint8Array)[] {
  const maps = layers.map(({ map }) => map.probability);
  return base === null ? maps : [...maps, base];
}

/** The mask with one more layer; those that it covers are dropped. */
export function put({ photo, layers, base }: MaskState, layer: Layer): MaskState {
  const kept = layers.filter(({ view }) => !contains(layer.view.tile, view.tile));
  const coversAll = contains(layer.view.tile, [0, 0, photo.width, photo.height]);
  return { photo, layers: [...kept, layer], base: coversAll ? null : base };
}

/** The mask in a picture of the whole photo of this size: 1 inside, row by row. */
export function stateMaskAt({ photo, layers, base }: MaskState, target: Size): Uint8Array {
  const mask =
    base === null ? new Uint8Array(target.height * target.width) : resized(base, photo, target);
  for (const layer of layers) paint(layer, mask, target);
  return mask;
}

/** A mask in a picture of another size: each pixel is the one under its centre. */
function resized(mask: Uint8Array, size: Size, target: Size): Uint8Array {
  if (size.height === target.height && size.width === target.width) return mask.slice();
  const columns = Uint32Array.from(
    { length: target.width },
    (_, x) => ((x + 0.5) * size.width) / target.width,
  );
  const made = new Uint8Array(target.height * target.width);
  for (let y = 0, out = 0; y < target.height; y++) {
    const row = Math.floor(((y + 0.5) * size.height) / target.height) * size.width;
    for (let x = 0; x < target.width; x++, out++) made[out] = mask[row + columns[x]!]!;
  }
  return made;
}

/** Of states whose box was asked for; a state never changes, and a given mask is large. */
const boxesOfStates = new WeakMap<MaskState, Box | null>();

/** About the mask, in photo pixels, up to a cell; null of an empty one. */
export function stateBox(state: MaskState): Box | null {
  let box = boxesOfStates.get(state);
  if (box === undefined) {
    box = boxOf(state);
    boxesOfStates.set(state, box);
  }
  return box;
}

function boxOf({ photo, layers, base }: MaskState): Box | null {
  const tiles = layers.map(({ view }) => view.tile);
  const boxes = layers.map((layer, n) => layerBox(layer, tiles.slice(n + 1)));
  if (base !== null) boxes.push(baseBox(base, photo, tiles));
  const found = boxes.filter((box) => box !== null);
  return found.length === 0 ? null : united(found);
}

/**
 * The mask on a tile's canvas, one cell per `GUIDE_STRIDE` canvas pixels.
 *
 * The newest layer's own cells where it is of the same tile; otherwise the mean of what is there at
 * the centres of each cell's canvas pixels. 0 beside the photo.
 */
export function carried({ photo, layers, base }: MaskState, view: PlacedTile): Cells {
  const newest = layers.at(-1);
  if (newest !== undefined && isSameTile(newest.view, view) && fillsCanvas(newest)) {
    const { height, width, probability } = newest.map;
    return { height, width, data: probability };
  }
  const { tile, canvas, placement } = view;
  const scale = tileScale(view);
  const x = Float64Array.from({ length: canvas.width }, (_, i) => tile[0] + (i + 0.5) / scale.x);
  const y = Float64Array.from({ length: canvas.height }, (_, i) => tile[1] + (i + 0.5) / scale.y);
  const values = new Float32Array(canvas.height * canvas.width);
  if (base !== null) fillFromMask(values, base, photo, x, y);
  for (const layer of layers) fillFromLayer(values, layer, x, y);
  for (let row = 0; row < canvas.height; row++) {
    const first = row < placement.content.height ? placement.content.width : 0;
    values.fill(0, row * canvas.width + first, (row + 1) * canvas.width);
  }
  return coarser({ ...canvas, data: values }, GUIDE_STRIDE);
}

/** The mean of every `factor` x `factor` values. */
export function coarser(cells: Cells, factor: number): Cells {
  const [height, width] = [cells.height / factor, cells.width / factor];
  const data = new Float32Array(height * width);
  for (let y = 0; y < cells.height; y++) {
    const row = Math.floor(y / factor) * width;
    for (let x = 0; x < cells.width; x++) {
      const cell = row + Math.floor(x / factor);
      data[cell] = data[cell]! + cells.data[y * cells.width + x]!;
    }
  }
  return { height, width, data: data.map((sum) => sum / (factor * factor)) };
}

/** Fill in the tile's part of a mask of the whole photo. */
function paint({ map, strokes }: Layer, mask: Uint8Array, target: Size): void {
  const [down, across] = axesOf(map, target);
  const [left, right] = pixelsWithin(across, 0, across.content);
  const [top, bottom] = pixelsWithin(down, 0, down.content);
  for (let y = top; y < bottom; y++) {
    mask.fill(0, y * target.width + left, y * target.width + right);
  }
  writeMask(map, mask, target);
  for (const stroke of strokes) {
    for (const piece of piecesOf(stroke)) paintPiece(mask, target.width, piece, down, across);
  }
}

/** The line in parts so short that what is about each is small. */
function* piecesOf(stroke: Stroke): Generator<Stroke> {
  if (stroke.points.length === 1) yield stroke;
  for (const [start, stop] of pairsOf(stroke.points)) {
    const count = Math.max(1, Math.ceil(Math.hypot(stop.x - start.x, stop.y - start.y) / PIECE));
    const ends = Array.from({ length: count + 1 }, (_, n) => ({
      x: start.x + (n / count) * (stop.x - start.x),
      y: start.y + (n / count) * (stop.y - start.y),
    }));
    for (const points of pairsOf(ends)) yield { ...stroke, points };
  }
}

/** Give the pixels whose centre is near to a line, and on the tile, its label. */
function paintPiece(
  mask: Uint8Array,
  maskWidth: number,
  piece: Stroke,
  down: PictureAxis,
  across: PictureAxis,
): void {
  const pixels = (axis: PictureAxis, along: (point: Point) => number) => {
    const values = piece.points.map(along);
    return pixelsWithin(
      axis,
      Math.floor(Math.min(...values) - STROKE_REACH),
      Math.ceil(Math.max(...values) + STROKE_REACH) + 1,
    );
  };
  const centres = (axis: PictureAxis, [first, stop]: readonly [number, number]) =>
    Float32Array.from({ length: stop - first }, (_, i) => centreOf(axis, first + i));
  const columns = pixels(across, ({ x }) => x);
  const rows = pixels(down, ({ y }) => y);
  const width = columns[1] - columns[0];
  distanceTo(piece, centres(across, columns), centres(down, rows)).forEach((away, i) => {
    if (away > STROKE_REACH) return;
    const row = rows[0] + Math.floor(i / width);
    mask[row * maskWidth + columns[0] + (i % width)] = piece.positive ? 1 : 0;
  });
}

/** About the cells above 0.5 whose centre is on no newer tile; photo pixels. */
function layerBox({ map, view }: Layer, newer: readonly Box[]): Box | null {
  const { stride, height, width, probability, window } = map;
  const scale = tileScale(view);
  let [left, top, right, bottom] = [width, height, -1, -1];
  for (let row = 0; row < height; row++) {
    const y = view.tile[1] + (window[1] + (row + 0.5) * stride) / scale.y;
    for (let column = 0; column < width; column++) {
      if (!(probability[row * width + column]! > 0.5)) continue;
      const x = view.tile[0] + (window[0] + (column + 0.5) * stride) / scale.x;
      if (newer.some(([x0, y0, x1, y1]) => x0 <= x && x < x1 && y0 <= y && y < y1)) continue;
      left = Math.min(left, column);
      right = Math.max(right, column);
      top = Math.min(top, row);
      bottom = row;
    }
  }
  if (bottom < 0) return null;
  return tileBoxToPhoto(view, [
    window[0] + stride * left,
    window[1] + stride * top,
    window[0] + stride * (right + 1),
    window[1] + stride * (bottom + 1),
  ]);
}

/** About a mask's pixels that are on no tile. */
function baseBox(mask: Uint8Array, { height, width }: Size, tiles: readonly Box[]): Box | null {
  let [left, top, right, bottom] = [width, height, 0, 0];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (mask[y * width + x] === 0) continue;
      if (tiles.some(([x0, y0, x1, y1]) => x0 <= x && x < x1 && y0 <= y && y < y1)) continue;
      left = Math.min(left, x);
      right = Math.max(right, x + 1);
      top = Math.min(top, y);
      bottom = y + 1;
    }
  }
  return bottom === 0 ? null : [left, top, right, bottom];
}

function fillsCanvas({ map, view: { canvas } }: Layer): boolean {
  const whole = [0, 0, canvas.width, canvas.height];
  return map.stride === GUIDE_STRIDE && map.window.every((side, i) => side === whole[i]);
}

/** At columns `x` and rows `y` of the photo, what a mask says. */
function fillFromMask(
  values: Float32Array,
  mask: Uint8Array,
  photo: Size,
  x: Float64Array,
  y: Float64Array,
): void {
  const columns = x.map((at) => Math.min(Math.floor(at), photo.width - 1));
  y.forEach((at, row) => {
    const line = Math.min(Math.floor(at), photo.height - 1) * photo.width;
    for (let i = 0; i < x.length; i++) values[row * x.length + i] = mask[line + columns[i]!]!;
  });
}

/** Where columns `x` and rows `y` of the photo are on a layer's tile, its probabilities. */
function fillFromLayer(
  values: Float32Array,
  { map, view }: Layer,
  x: Float64Array,
  y: Float64Array,
): void {
  const { probability, width } = map;
  const [x0, y0, x1, y1] = view.tile;
  const scale = tileScale(view);
  const columns = mixed(x, x0, x1, scale.x, [map.window[0], map.window[2]], map.stride);
  const rows = mixed(y, y0, y1, scale.y, [map.window[1], map.window[3]], map.stride);
  rows.forEach((row, j) => {
    if (row === null) return;
    columns.forEach((column, i) => {
      if (column === null) return;
      let value = 0;
      if (row.isInWindow && column.isInWindow) {
        const across = (line: number) =>
          probability[line * width + column.first]! * (1 - column.share) +
          probability[line * width + column.second]! * column.share;
        value = across(row.first) * (1 - row.share) + across(row.second) * row.share;
      }
      values[j * x.length + i] = value;
    });
  });
}

/** The two cells that mix at a place of one axis, and the second one's share. */
interface Mixed {
  readonly first: number;
  readonly second: number;
  readonly share: number;
  /** Whether the map reaches there. */
  readonly isInWindow: boolean;
}

/** For positions in the photo on one axis; null of one that is not on the tile. */
function mixed(
  at: Float64Array,
  tileStart: number,
  tileStop: number,
  scale: number,
  [windowStart, windowStop]: readonly [start: number, stop: number],
  stride: number,
): (Mixed | null)[] {
  const last = (windowStop - windowStart) / stride - 1;
  return [...at].map((position) => {
    if (!(tileStart <= position && position < tileStop)) return null;
    const canvas = (position - tileStart) * scale;
    const place = Math.min(Math.max((canvas - windowStart) / stride - 0.5, 0), last);
    const first = Math.floor(place);
    const isInWindow = windowStart <= canvas && canvas < windowStop;
    return { first, second: Math.min(first + 1, last), share: place - first, isInWindow };
  });
}
