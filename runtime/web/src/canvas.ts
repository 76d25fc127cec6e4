/**
 * From photo to canvas.
 *
 * Coordinates: pixel `x` covers `[x, x + 1)` and has its centre at `x + 0.5`, in the photo and on
 * the canvas alike. The photo sits at the top left of the canvas, so only a scale per axis
 * separates the two; it is `content / photo` and not the scale the fit aimed at, because the
 * content has a whole number of pixels.
 */

import { TapOutsidePhoto } from "./errors.ts";
import type { Pixels } from "./pixels.ts";
import { resizePart } from "./resize.ts";
import type { Box, Size } from "./types.ts";

const BLOCK = 512;

/** Where a photo lies on its canvas: at the top left, `content` canvas pixels large. */
export interface Placement {
  readonly photo: Size;
  readonly content: Size;
}

/**
 * Where a photo lies on a canvas: one scale for both axes, the largest that fits.
 *
 * Neither side of the content is ever below one pixel, however narrow the photo.
 */
export function place(canvas: Size, photo: Size): Placement {
  const scale = Math.min(canvas.height / photo.height, canvas.width / photo.width);
  return {
    photo: { height: photo.height, width: photo.width },
    content: {
      height: Math.min(canvas.height, Math.max(1, roundHalfToEven(photo.height * scale))),
      width: Math.min(canvas.width, Math.max(1, roundHalfToEven(photo.width * scale))),
    },
  };
}

/**
 * The canvas pixel (x, y) under the centre of the photo pixel (x, y).
 *
 * Fractions are floored: a position inside a pixel means that pixel. The result always lies on the
 * content, never on the padding. Throws `TapOutsidePhoto` for a position that is not on the photo.
 */
export function toCanvas(placement: Placement, x: number, y: number): [x: number, y: number] {
  const { photo, content } = placement;
  if (!(x >= 0 && x < photo.width && y >= 0 && y < photo.height)) {
    throw new TapOutsidePhoto(
      `The tap (${x}, ${y}) is outside the photo; x must be from 0 to ${photo.width - 1} ` +
        `and y from 0 to ${photo.height - 1}.`,
    );
  }
  return [
    Math.floor(((2 * Math.floor(x) + 1) * content.width) / (2 * photo.width)),
    Math.floor(((2 * Math.floor(y) + 1) * content.height) / (2 * photo.height)),
  ];
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

/**
 * A tile of a photo on a canvas, resized block by block when a part of it is first cut.
 *
 * Blocks are 512 canvas pixels large, aligned at the top left, and each is resized by itself, so
 * that a pixel does not depend on what else is cut. The photo must not change while this is in use.
 */
export class CanvasImage {
  /** RGB, row by row; padding until a block is resized. */
  private readonly pixels: Uint8Array;
  private readonly resized = new Set<string>();
  private readonly content: Size;

  constructor(
    readonly canvas: Size,
    padValue: readonly [number, number, number],
    private readonly photo: Pixels,
    /** Whole photo pixels. */
    private readonly tile: Box,
  ) {
    const [x0, y0, x1, y1] = tile;
    this.content = place(canvas, { height: y1 - y0, width: x1 - x0 }).content;
    this.pixels = new Uint8Array(3 * canvas.height * canvas.width);
    for (let i = 0; i < this.pixels.length; i += 3) this.pixels.set(padValue, i);
  }

  /** The canvas pixels from row y0 and column x0 on, as floats: 3 x height x width. */
  cut(y0: number, x0: number, height: number, width: number): Float32Array {
    for (const top of blockStarts(y0, Math.min(y0 + height, this.content.height))) {
      for (const left of blockStarts(x0, Math.min(x0 + width, this.content.width))) {
        this.resizeBlock(top, left);
      }
    }
    const { pixels } = this;
    const plane = height * width;
    const cut = new Float32Array(3 * plane);
    let out = 0;
    for (let y = y0; y < y0 + height; y++) {
      let pixel = 3 * (y * this.canvas.width + x0);
      for (const end = out + width; out < end; out++, pixel += 3) {
        cut[out] = pixels[pixel]!;
        cut[plane + out] = pixels[pixel + 1]!;
        cut[2 * plane + out] = pixels[pixel + 2]!;
      }
    }
    return cut;
  }

  private resizeBlock(top: number, left: number): void {
    const block = `${top} ${left}`;
    if (this.resized.has(block)) return;
    const bottom = Math.min(top + BLOCK, this.content.height);
    const right = Math.min(left + BLOCK, this.content.width);
    const part = resizePart(this.photo, this.tile, this.content, [left, top, right, bottom]);
    const line = 3 * (right - left);
    for (let y = top; y < bottom; y++) {
      const row = part.subarray((y - top) * line, (y - top + 1) * line);
      this.pixels.set(row, 3 * (y * this.canvas.width + left));
    }
    this.resized.add(block);
  }
}

/** Where the blocks begin that hold the pixels `[start, stop)` of one axis. */
function blockStarts(start: number, stop: number): number[] {
  const starts: number[] = [];
  if (start >= stop) return starts;
  for (let block = Math.floor(start / BLOCK) * BLOCK; block < stop; block += BLOCK) {
    starts.push(block);
  }
  return starts;
}

function roundHalfToEven(value: number): number {
  const floor = Math.floor(value);
  const fraction = value - floor;
  return fraction > 0.5 || (fraction === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}

function clip(value: number, upper: number): number {
  return Math.min(Math.max(value, 0), upper);
}
