/**
 * What a manifest says of its strategy, one kind each.
 *
 * The zoom looks twice: at the whole photo, small, then at the thing, at the scale that suits it.
 * The first look's box tells how large the thing is in the photo. The second look is an ordinary
 * tap on an ordinary canvas, whose photo is a tile of the photo; what it answers is moved back to
 * where the tile was. Neither depends on how large the photo is.
 *
 * A guided look follows the zoom: it corrects the mask on the tile, gesture by gesture.
 */

import type { Passes } from "../answer/correction.ts";
import type { Cells } from "../answer/marks.ts";
import { GUIDE_STRIDE } from "../contract.ts";
import { span, tileScale, type PlacedTile, type Placement } from "../image/geometry.ts";
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

/**
 * How a mask is corrected on a tile, and when the tile moves.
 *
 * `zoom` says which tile a first tap is looked at on. A gesture that is not `margin` canvas pixels
 * inside the tile moves the tile to the mask, all positive gestures and this one, which then fill
 * the zoom's extent. So do these where they are left with less than the share `small` of the tile's
 * longer side. A mask that covers more than the share `spill` of a side of the tile gets a tile of
 * which they fill the share `roomy`.
 */
export interface GuidedRule extends Passes {
  readonly kind: "guided";
  readonly zoom: ZoomRule;
  readonly margin: number;
  readonly spill: number;
  readonly roomy: number;
  readonly small: number;
}

export type StrategyRule = SingleRule | ZoomRule | GuidedRule;

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
  const scale = tileScaleFor(rule, box, rule.extent);
  const { photo, content } = first;
  const firstScale = Math.max(content.height / photo.height, content.width / photo.width);
  if (scale / firstScale < rule.gain) return null;
  const spanned = (tapped: number, middle: number, canvasSide: number, photoSide: number) => {
    const side = Math.floor(canvasSide / scale + 0.5);
    return span(nearTap(rule.inside, tapped, middle, side), side, photoSide);
  };
  const [top, bottom] = spanned(y, (y0 + y1) / 2, canvas.height, photo.height);
  const [left, right] = spanned(x, (x0 + x1) / 2, canvas.width, photo.width);
  return [left, top, right, bottom];
}

/**
 * The tile whose canvas shows the longer side of a box as `extent` canvas pixels.
 *
 * `box` is in pixels of a photo of this size, beyond which no tile reaches.
 */
export function tileAbout(
  rule: ZoomRule,
  canvas: Size,
  photo: Size,
  box: Box,
  extent: number,
): Box {
  const [x0, y0, x1, y1] = box;
  const scale = tileScaleFor(rule, box, extent);
  const spanned = (middle: number, canvasSide: number, photoSide: number) =>
    span(middle, Math.floor(canvasSide / scale + 0.5), photoSide);
  const [top, bottom] = spanned((y0 + y1) / 2, canvas.height, photo.height);
  const [left, right] = spanned((x0 + x1) / 2, canvas.width, photo.width);
  return [left, top, right, bottom];
}

/**
 * Whether what has these bounds, in photo pixels, is not well inside a tile.
 *
 * A side of the tile that is the photo's needs no margin.
 */
export function leaves(rule: GuidedRule, view: PlacedTile, photo: Size, bounds: Box): boolean {
  const [x0, y0, x1, y1] = view.tile;
  const scale = tileScale(view);
  const [across, down] = [rule.margin / scale.x, rule.margin / scale.y];
  return (
    (x0 > 0 && bounds[0] < x0 + across) ||
    (y0 > 0 && bounds[1] < y0 + down) ||
    (x1 < photo.width && bounds[2] > x1 - across) ||
    (y1 < photo.height && bounds[3] > y1 - down)
  );
}

/**
 * Whether what has this box is too small on a tile, and another one shows more of it.
 *
 * `box` is in photo pixels.
 */
export function shrinks(rule: GuidedRule, box: Box, view: PlacedTile): boolean {
  const [x0, y0, x1, y1] = box;
  const scale = tileScale(view);
  const longer = Math.max((x1 - x0) * scale.x, (y1 - y0) * scale.y);
  const isCloser = tileScaleFor(rule.zoom, box, rule.zoom.extent) > Math.max(scale.x, scale.y);
  return isCloser && longer < rule.small * Math.max(view.canvas.height, view.canvas.width);
}

/** Whether a mask of a tile's cells reaches over a side of it that is not the photo's. */
export function spills(rule: GuidedRule, cells: Cells, view: PlacedTile, photo: Size): boolean {
  const [x0, y0, x1, y1] = view.tile;
  const { content } = view.placement;
  const rows = Math.ceil(content.height / GUIDE_STRIDE);
  const columns = Math.ceil(content.width / GUIDE_STRIDE);
  const covered = (count: number, cellAt: (i: number) => number) => {
    let inside = 0;
    for (let i = 0; i < count; i++) if (cells.data[cellAt(i)]! > 0.5) inside++;
    return inside / count;
  };
  const row = (y: number) => covered(columns, (x) => y * cells.width + x);
  const column = (x: number) => covered(rows, (y) => y * cells.width + x);
  return (
    (x0 > 0 && column(0) > rule.spill) ||
    (y0 > 0 && row(0) > rule.spill) ||
    (x1 < photo.width && column(columns - 1) > rule.spill) ||
    (y1 < photo.height && row(rows - 1) > rule.spill)
  );
}

/** Canvas pixels per photo pixel of a tile that shows a box as so many of them. */
function tileScaleFor({ enlarge }: ZoomRule, [x0, y0, x1, y1]: Box, extent: number): number {
  return Math.min(extent / Math.max(x1 - x0, y1 - y0, 1), enlarge);
}

/** The middle nearest to this one of a tile of `side` on which the tap lies well. */
function nearTap(inside: number, tapped: number, middle: number, side: number): number {
  const tap = Math.floor(tapped) + 0.5;
  const slack = (inside * side) / 2;
  return Math.min(Math.max(middle, tap - slack), tap + slack);
}
