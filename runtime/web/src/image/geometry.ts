/**
 * Where a photo lies on its canvas, and how positions go from one to the other.
 *
 * Coordinates: pixel `x` covers `[x, x + 1)` and has its centre at `x + 0.5`, in the photo and on
 * the canvas alike. The photo sits at the top left of the canvas, so only a scale per axis
 * separates the two; it is `content / photo` and not the scale the fit aimed at, because the
 * content has a whole number of pixels.
 */

import { TapOutsidePhoto } from "../errors.ts";
import type { Box, Point, Size } from "../rectangles.ts";

/** Where a photo lies on its canvas: at the top left, `content` canvas pixels large. */
export interface Placement {
  readonly photo: Size;
  readonly content: Size;
}

/**
 * The canvas pixel under the centre of the photo pixel (x, y).
 *
 * Fractions are floored: a position inside a pixel means that pixel. The result always lies on the
 * content, never on the padding. Throws `TapOutsidePhoto` for a position that is not on the photo.
 */
export function toCanvas({ photo, content }: Placement, { x, y }: Point): Point {
  checkTap({ x, y }, photo);
  return {
    x: Math.floor(((2 * Math.floor(x) + 1) * content.width) / (2 * photo.width)),
    y: Math.floor(((2 * Math.floor(y) + 1) * content.height) / (2 * photo.height)),
  };
}

/** A box in canvas pixels as one in photo pixels, clipped to the photo. */
export function boxToPhoto({ photo, content }: Placement, [x0, y0, x1, y1]: Box): Box {
  const xScale = photo.width / content.width;
  const yScale = photo.height / content.height;
  return [
    clip(x0 * xScale, photo.width),
    clip(y0 * yScale, photo.height),
    clip(x1 * xScale, photo.width),
    clip(y1 * yScale, photo.height),
  ];
}

/** A tile of a photo on a canvas. */
export interface PlacedTile {
  /** Whole photo pixels. */
  readonly tile: Box;
  /** How the tile, taken for a photo, lies on the canvas. */
  readonly placement: Placement;
  readonly canvas: Size;
}

/** Canvas pixels per photo pixel, along x and y. */
export function tileScale({ placement: { photo, content } }: PlacedTile): Point {
  return { x: content.width / photo.width, y: content.height / photo.height };
}

/** A position in the photo as one on the canvas of a tile; on it or not. */
export function toTileCanvas(view: PlacedTile, { x, y }: Point): Point {
  const scale = tileScale(view);
  return { x: (x - view.tile[0]) * scale.x, y: (y - view.tile[1]) * scale.y };
}

/** A box in canvas pixels as one in photo pixels, clipped to the tile. */
export function tileBoxToPhoto({ tile: [left, top], placement }: PlacedTile, box: Box): Box {
  const [x0, y0, x1, y1] = boxToPhoto(placement, box);
  return [x0 + left, y0 + top, x1 + left, y1 + top];
}

/** Whether two tiles are the same one on the same canvas; their placements are, then. */
export function isSameTile(one: PlacedTile, other: PlacedTile): boolean {
  return (
    one.tile.every((side, i) => side === other.tile[i]) &&
    one.canvas.height === other.canvas.height &&
    one.canvas.width === other.canvas.width
  );
}

/** Throw `TapOutsidePhoto` for a position that is on no pixel of a photo. */
export function checkTap({ x, y }: Point, photo: Size): void {
  if (x >= 0 && x < photo.width && y >= 0 && y < photo.height) return;
  throw new TapOutsidePhoto(
    `The tap (${x}, ${y}) is outside the photo; x must be from 0 to ${photo.width - 1} ` +
      `and y from 0 to ${photo.height - 1}.`,
  );
}

/** The smallest box that holds all of them, of which there is one at least. */
export function united(boxes: readonly Box[]): Box {
  return boxes.reduce((one, other) => [
    Math.min(one[0], other[0]),
    Math.min(one[1], other[1]),
    Math.max(one[2], other[2]),
    Math.max(one[3], other[3]),
  ]);
}

/** Whether a box lies in another one. */
export function contains(outer: Box, inner: Box): boolean {
  return (
    outer[0] <= inner[0] && outer[1] <= inner[1] && outer[2] >= inner[2] && outer[3] >= inner[3]
  );
}

/** Where a tile of `side` photo pixels starts and stops on one axis. */
export function span(middle: number, side: number, photo: number): [start: number, stop: number] {
  const size = Math.min(side, photo);
  const start = Math.min(Math.max(Math.floor(middle - size / 2 + 0.5), 0), photo - size);
  return [start, start + size];
}

function clip(value: number, upper: number): number {
  return Math.min(Math.max(value, 0), upper);
}
