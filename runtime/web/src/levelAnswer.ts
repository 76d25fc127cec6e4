/** What a level says at a tap, and what a mask head is told of it. */

import { cutPlaced, type Arrays, type PlacedArray } from "./arrays.ts";
import type { Tensor } from "./engine.ts";
import type { Level } from "./manifest.ts";
import type { Box } from "./types.ts";

/** A pixel of the canvas. */
export interface CanvasTap {
  readonly x: number;
  readonly y: number;
}

/** What one level says at the tap; all positions are in canvas pixels. */
export interface LevelAnswer {
  readonly level: Level;
  /** In [0, 1]. */
  readonly score: number;
  /** Not clipped. */
  readonly box: Box;
  readonly filter: Tensor;
}

/** What the arrays of a level say in the tap's cell. */
export function answerOf(level: Level, { x, y }: CanvasTap, arrays: Arrays): LevelAnswer {
  const column = Math.floor(x / level.stride);
  const row = Math.floor(y / level.stride);
  const cell = (name: string) => cutPlaced(arrays.get(name) as PlacedArray, row, column, 1, 1);
  const centreX = (column + 0.5) * level.stride;
  const centreY = (row + 0.5) * level.stride;
  const [left, top, right, bottom] = [...cell(level.box).data].map(
    (distance) => distance * level.sizeOfInterest,
  ) as [...Box];
  return {
    level,
    score: cell(level.score).data[0]!,
    box: [centreX - left, centreY - top, centreX + right, centreY + bottom],
    filter: cell(level.filter),
  };
}

/**
 * The three inputs of a mask head that are not cut from an array.
 *
 * (y0, x0) is the first cell of its window of features, of `stride` canvas pixels.
 */
export function headInputs(
  answer: LevelAnswer,
  tap: CanvasTap,
  y0: number,
  x0: number,
  stride: number,
): [string, Tensor][] {
  const vector = (...values: number[]): Tensor => ({
    data: Float32Array.from(values),
    shape: [1, values.length, 1, 1],
  });
  const offsetX = (x0 + 0.5) * stride - (tap.x + 0.5);
  const offsetY = (y0 + 0.5) * stride - (tap.y + 0.5);
  return [
    ["filter", answer.filter],
    ["offset", vector(offsetX, offsetY)],
    ["inverse_size", vector(1 / answer.level.sizeOfInterest)],
  ];
}
