/**
 * What every correction keeps to, whatever the network says.
 *
 * What is at a stroke has its label, far from the newest stroke nothing changes against its sense,
 * and far from a negative line only what is clear is taken away. Cells are of `GUIDE_STRIDE` canvas
 * pixels.
 */

import { GUIDE_STRIDE } from "../contract.ts";
import { tileScale, type PlacedTile } from "../image/geometry.ts";
import type { Point } from "../rectangles.ts";
import {
  cellCentres,
  distanceTo,
  lengthOf,
  marksOff,
  pairsOf,
  type Cells,
  type Stroke,
} from "./marks.ts";
import { STROKE_REACH } from "./maskState.ts";

/** What a cell that disobeys becomes. */
const INSIDE = 0.75;
const OUTSIDE = 0.25;

/** How far from 0.5 a cell must be, so that cells of one label mix to it. */
const CLEAR = 0.01;

/**
 * How far what is wrong reaches from a negative line: this share of its length, and at least so
 * many canvas pixels.
 */
const REACH = 0.25;
const LEAST_REACH = 8;

/**
 * From which share of the root of the mask's area on a negative line says that most of it is wrong.
 */
const LONG = 0.75;

/** Canvas pixels over which a cell must become clearer to be taken away, from 0.5 to `OUTSIDE`. */
const BEYOND = 16;

/** Canvas pixels between the places of a line that are looked at. */
const SPACING = 1;

/** Whether the mask has a stroke's label all along its line. */
export function obeys({ height, width, data }: Cells, stroke: Stroke): boolean {
  const mixed = (at: number, count: number) => {
    const place = Math.min(Math.max(at / GUIDE_STRIDE - 0.5, 0), count - 1);
    const first = Math.floor(place);
    return { first, second: Math.min(first + 1, count - 1), share: place - first };
  };
  return placesAlong(stroke).every(({ x, y }) => {
    const [column, row] = [mixed(x, width), mixed(y, height)];
    const across = (line: number) =>
      data[line * width + column.first]! * (1 - column.share) +
      data[line * width + column.second]! * column.share;
    const value = across(row.first) * (1 - row.share) + across(row.second) * row.share;
    return value > 0.5 === stroke.positive;
  });
}

/**
 * The cells, where those at a stroke that disobey it are made to; the newest stroke is last.
 *
 * These are all that any pixel of the photo within `STROKE_REACH` of the line mixes, so they hang
 * together as the line does.
 */
export function force(cells: Cells, strokes: readonly Stroke[], view: PlacedTile): Cells {
  const data = cells.data.slice();
  const [low, high] = [Math.fround(0.5 + CLEAR), Math.fround(0.5 - CLEAR)];
  for (const stroke of strokes) {
    const near = mixedNear(stroke, cells, view);
    for (let i = 0; i < data.length; i++) {
      if (near[i] === 0) continue;
      if (stroke.positive && data[i]! < low) data[i] = INSIDE;
      else if (!stroke.positive && data[i]! > high) data[i] = OUTSIDE;
    }
  }
  return { ...cells, data };
}

/**
 * The cells, where none that a pixel farther than `near` from a stroke mixes goes against it.
 *
 * There a negative stroke makes nothing more probable than `before`, a positive one nothing less,
 * so that the one adds no pixel and the other removes none.
 */
export function hold(
  cells: Cells,
  before: Cells,
  stroke: Stroke,
  near: number,
  view: PlacedTile,
): Cells {
  const reach = mixing(view);
  const least = Math.fround(Math.max(near - Math.hypot(reach.x, reach.y), 0));
  const [x, y] = [cellCentres(cells.width), cellCentres(cells.height)];
  const away = distanceTo(stroke, x, y, least + 1);
  const kept = stroke.positive ? Math.max : Math.min;
  const data = cells.data.map((value, i) =>
    away[i]! > least ? kept(value, before.data[i]!) : value,
  );
  return { ...cells, data };
}

/**
 * The cells, where a negative line takes nothing away far from it that is not clear.
 *
 * A line along what is wrong shows how large that is, which a tap does not. The farther beyond that
 * a cell is, the less probable it must be to leave the mask `before`. A line that is long for that
 * mask leaves the network free.
 */
export function spare(cells: Cells, before: Cells, stroke: Stroke): Cells {
  const length = lengthOf(stroke.points);
  const inside = before.data.reduce((count, value) => count + (value > 0.5 ? 1 : 0), 0);
  if (!marksOff(stroke) || length >= LONG * GUIDE_STRIDE * Math.sqrt(inside)) return cells;
  const reach = Math.fround(Math.max(REACH * length, LEAST_REACH));
  const [x, y] = [cellCentres(cells.width), cellCentres(cells.height)];
  const away = distanceTo(stroke, x, y, reach + BEYOND);
  const data = cells.data.map((value, i) => {
    const beyond = Math.min(Math.max((away[i]! - reach) / BEYOND, 0), 1);
    const unclear = beyond > 0 && value > 0.5 - (0.5 - OUTSIDE) * beyond;
    return before.data[i]! > 0.5 && unclear ? Math.max(value, before.data[i]!) : value;
  });
  return { ...cells, data };
}

/** Canvas pixels along x and y within which a cell's centre counts for a pixel's centre. */
function mixing(view: PlacedTile): Point {
  const { x, y } = tileScale(view);
  return { x: Math.max(GUIDE_STRIDE, x), y: Math.max(GUIDE_STRIDE, y) };
}

/** 1 for cells that a pixel mixes whose centre is within `STROKE_REACH` of the line. */
function mixedNear(stroke: Stroke, { height, width }: Cells, view: PlacedTile): Uint8Array {
  // A place that is looked at is at most half a spacing from any other of the line.
  const reach = Math.hypot(STROKE_REACH, SPACING / 2);
  const { x: mixesX, y: mixesY } = mixing(view);
  const square = (cell: number, at: number, mixes: number) =>
    Math.max(Math.abs((cell + 0.5) * GUIDE_STRIDE - at) - mixes, 0) ** 2;
  const near = new Uint8Array(height * width);
  for (const place of placesAlong(stroke)) {
    const [left, right] = cellsAbout(place.x, mixesX + reach, width);
    const [top, bottom] = cellsAbout(place.y, mixesY + reach, height);
    for (let row = top; row < bottom; row++) {
      const down = square(row, place.y, mixesY);
      for (let column = left; column < right; column++) {
        if (down + square(column, place.x, mixesX) < reach ** 2) near[row * width + column] = 1;
      }
    }
  }
  return near;
}

/** All cells of an axis with their centre so near to a position, and hardly more. */
function cellsAbout(at: number, reach: number, count: number): [first: number, stop: number] {
  const first = Math.floor((at - reach) / GUIDE_STRIDE - 0.5);
  const last = Math.ceil((at + reach) / GUIDE_STRIDE - 0.5);
  return [Math.max(0, first), Math.min(count, last + 1)];
}

/** Places of a line, close to each other. */
function placesAlong({ points }: Stroke): Point[] {
  const places = points.slice(0, 1);
  for (const [start, stop] of pairsOf(points)) {
    const length = Math.hypot(stop.x - start.x, stop.y - start.y);
    const count = Math.max(1, Math.ceil(length / SPACING));
    for (let n = 1; n <= count; n++) {
      places.push({
        x: start.x + (n / count) * (stop.x - start.x),
        y: start.y + (n / count) * (stop.y - start.y),
      });
    }
  }
  return places;
}
