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
  if (!(x >= 0 && x < photo.width && y >= 0 && y < photo.height)) {
    throw new TapOutsidePhoto(
      `The tap (${x}, ${y}) is outside the photo; x must be from 0 to ${photo.width - 1} ` +
        `and y from 0 to ${photo.height - 1}.`,
    );
  }
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

function clip(value: number, upper: number): number {
  return Math.min(Math.max(value, 0), upper);
}
