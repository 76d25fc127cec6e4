/** The mask head: the call of a window phase that takes the vectors. */

import { FILTER, INVERSE_SIZE, OFFSET } from "../contract.ts";
import type { Tensor, Vectors } from "../graph/arrays.ts";
import { programCalls, type Phase, type ProgramCall } from "../graph/schedule.ts";
import type { Point } from "../rectangles.ts";
import type { LevelAnswer } from "./levels.ts";

/** The calls of a window phase that take vectors: one, where `checkChoice` has passed. */
export function maskHeads(phase: Phase): ProgramCall[] {
  return programCalls(phase.calls).filter(({ vectors }) => vectors.size > 0);
}

/**
 * What the mask head takes besides features, for the mask of a level.
 *
 * `tap` is a canvas pixel, `start` the cell at which the window of features begins, of
 * `featureStride` canvas pixels.
 */
export function headVectors(
  { filter, level }: LevelAnswer,
  tap: Point,
  start: Point,
  featureStride: number,
): Vectors {
  const vector = (...values: number[]): Tensor => ({
    data: Float32Array.from(values),
    shape: [1, values.length, 1, 1],
  });
  const offset = (cell: number, pixel: number) => (cell + 0.5) * featureStride - (pixel + 0.5);
  return new Map([
    [FILTER, filter],
    [OFFSET, vector(offset(start.x, tap.x), offset(start.y, tap.y))],
    [INVERSE_SIZE, vector(1 / level.sizeOfInterest)],
  ]);
}
