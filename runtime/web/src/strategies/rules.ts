/**
 * What a manifest says of its strategy, one kind each.
 *
 * The zoom looks twice: at the whole photo, small, then at the thing, at the scale that suits it.
 * The first look's box tells how large the thing is in the photo. The second look is an ordinary
 * tap on an ordinary canvas, whose photo is a tile of the photo; what it answers is moved back to
 * where the tile was. Neither depends on how large the photo is.
 */

import type { Placement } from "../image/geometry.ts";
import type { Box, Point, Size } from "../rectangles.ts";

/** One look, by one of `schedules`, which are indices into the bundle's. */
export interface SingleRule {
  readonly kind: "single";
  readonly schedules: readonly number[];
}

/** When there is a second look, at which tile, and which of the looks answers: docs/bundle.md. */
export interface ZoomRule {
  readonly kind: "zoom";
  /** Indices into the bundle's schedules, of the first look and of the second. */
  readonly first: number;
  readonly tile: number;
  readonly extent: number;
  readonly enlarge: number;
  readonly gain: number;
  readonly inside: number;
  readonly trust: number;
}

export type StrategyRule = SingleRule | ZoomRule;

/**
 * What of the photo is looked at again, in whole photo pixels; null where once is enough.
 *
 * `canvas` is the second look's, `first` where the photo lies on the first's; (x, y) is the tapped
 * photo pixel, and `box` what the first look answered, clipped to the photo, in photo pixels.
 */
export function chooseTile(
  rule: ZoomRule,
  canvas: Size,
  first: Placement,
  { x, y }: Point,
  box: Box,
): Box | null {
  const [x0, y0, x1, y1] = box;
  const scale = Math.min(rule.extent / Math.max(x1 - x0, y1 - y0, 1), rule.enlarge);
  const { photo, content } = first;
  const firstScale = Math.max(content.height / photo.height, content.width / photo.width);
  if (scale / firstScale < rule.gain) return null;
  const span = (tapped: number, middle: number, canvasSide: number, photoSide: number) =>
    tileSpan(rule.inside, tapped, middle, Math.floor(canvasSide / scale + 0.5), photoSide);
  const [top, bottom] = span(y, (y0 + y1) / 2, canvas.height, photo.height);
  const [left, right] = span(x, (x0 + x1) / 2, canvas.width, photo.width);
  return [left, top, right, bottom];
}

/** Where a tile of `side` photo pixels starts and stops on one axis. */
function tileSpan(
  inside: number,
  tapped: number,
  middle: number,
  side: number,
  photoSide: number,
): [start: number, stop: number] {
  const tap = Math.floor(tapped) + 0.5;
  const slack = (inside * side) / 2;
  const near = Math.min(Math.max(middle, tap - slack), tap + slack);
  const size = Math.min(side, photoSide);
  const start = Math.min(Math.max(Math.floor(near - size / 2 + 0.5), 0), photoSide - size);
  return [start, start + size];
}
