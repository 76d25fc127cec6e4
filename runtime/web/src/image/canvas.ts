/** From photo to canvas. */

import type { Box, Size } from "../rectangles.ts";
import type { Placement } from "./geometry.ts";
import type { Pixels } from "./pixels.ts";
import { resizePart } from "./resize.ts";

const BLOCK = 512;

/** The colour beside a photo. */
export type PadValue = readonly [red: number, green: number, blue: number];

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
 * A tile of a photo on a canvas, resized block by block when a part of it is first cut.
 *
 * Blocks are 512 canvas pixels large, aligned at the top left, and each is resized by itself, so
 * that a pixel does not depend on what else is cut. The photo must not change while this is in use.
 */
export class CanvasImage {
  /** RGB, row by row; padding until a block is resized. */
  private readonly pixels: Uint8Array;
  private readonly resized = new Set<string>();
  readonly placement: Placement;

  constructor(
    readonly canvas: Size,
    padValue: PadValue,
    private readonly photo: Pixels,
    /** Whole photo pixels. */
    private readonly tile: Box,
  ) {
    const [x0, y0, x1, y1] = tile;
    this.placement = place(canvas, { height: y1 - y0, width: x1 - x0 });
    this.pixels = new Uint8Array(3 * canvas.height * canvas.width);
    for (let i = 0; i < this.pixels.length; i += 3) this.pixels.set(padValue, i);
  }

  /** How much memory the canvas takes, without the photo. */
  get nbytes(): number {
    return this.pixels.length;
  }

  /** The canvas pixels from row y0 and column x0 on, as floats. */
  cut(
    y0: number,
    x0: number,
    height: number,
    width: number,
  ): { data: Float32Array; shape: readonly [1, 3, number, number] } {
    const { content } = this.placement;
    for (const top of blockStarts(y0, Math.min(y0 + height, content.height))) {
      for (const left of blockStarts(x0, Math.min(x0 + width, content.width))) {
        this.resizeBlock(top, left);
      }
    }
    const { pixels } = this;
    const plane = height * width;
    const data = new Float32Array(3 * plane);
    let out = 0;
    for (let y = y0; y < y0 + height; y++) {
      let pixel = 3 * (y * this.canvas.width + x0);
      for (const end = out + width; out < end; out++, pixel += 3) {
        data[out] = pixels[pixel]!;
        data[plane + out] = pixels[pixel + 1]!;
        data[2 * plane + out] = pixels[pixel + 2]!;
      }
    }
    return { data, shape: [1, 3, height, width] };
  }

  private resizeBlock(top: number, left: number): void {
    const block = `${top} ${left}`;
    if (this.resized.has(block)) return;
    const { content } = this.placement;
    const bottom = Math.min(top + BLOCK, content.height);
    const right = Math.min(left + BLOCK, content.width);
    const part = resizePart(this.photo, this.tile, content, [left, top, right, bottom]);
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

/** To the nearest whole number, of two the even one, as Python rounds. */
export function roundHalfToEven(value: number): number {
  const floor = Math.floor(value);
  const fraction = value - floor;
  return fraction > 0.5 || (fraction === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}
