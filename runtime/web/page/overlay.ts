/**
 * The mask as it lies over the photo: a tint with a soft edge, and a line of two colours around it.
 */

import type { Size } from "../src/index.ts";
import { blur } from "./blur.ts";
import { context2d } from "./dom.ts";
import { softRows } from "./feather.ts";

/**
 * One for each of several things, then again from the start. Each stands out on any photo, or the
 * near-black beside it does.
 */
export const TINTS = [
  [0, 200, 255],
  [255, 190, 0],
  [255, 105, 180],
  [120, 225, 70],
] as const;
type Tint = (typeof TINTS)[number];

const DARK = [8, 20, 32] as const;
const TINT_ALPHA = 105;
/** Width of the whole line as a share of the overlay's longer side. */
const LINE_WIDTH = 0.006;

/** @param feather in pixels of the mask */
export function maskOverlay(
  mask: Uint8Array,
  size: Size,
  feather: number,
  tint: Tint,
): OffscreenCanvas {
  const { height, width } = size;
  const canvas = new OffscreenCanvas(width, height);
  const pixels = new ImageData(width, height);
  paintOverlay(pixels.data, mask, size, feather, tint);
  context2d(canvas).putImageData(pixels, 0, 0);
  return canvas;
}

/** Write RGBA: the tint where the mask is, and its edge, bright on the inside and dark outside. */
export function paintOverlay(
  rgba: Uint8ClampedArray,
  mask: Uint8Array,
  { height, width }: Size,
  feather: number,
  tint: Tint,
): void {
  const soft = softRows(mask, height, width, 0, height, feather);
  // Blurred by the line's width, the mask crosses one half at its edge and is flat beyond the line.
  const edge = Float32Array.from(mask);
  blur(edge, height, width, Math.max(2, LINE_WIDTH * Math.max(height, width)));
  for (let i = 0; i < mask.length; i++) {
    const inside = edge[i] as number;
    const line = Math.sqrt(Math.max(0, 1 - Math.abs(2 * inside - 1)));
    const [red, green, blue] = line > 0.3 && inside < 0.4 ? DARK : tint;
    rgba[4 * i] = red;
    rgba[4 * i + 1] = green;
    rgba[4 * i + 2] = blue;
    rgba[4 * i + 3] = Math.max(TINT_ALPHA * (soft[i] as number), 255 * line);
  }
}
