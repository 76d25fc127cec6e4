/** What a graph's outputs mean: levels, and what each says at a tap. */

import type { Arrays, Tensor } from "../graph/arrays.ts";
import type { Graph } from "../graph/schedule.ts";
import type { Box, Point } from "../rectangles.ts";

/** An answering level: stride in canvas pixels, and the names of its three arrays. */
export interface Level {
  readonly name: string;
  readonly stride: number;
  readonly sizeOfInterest: number;
  readonly score: string;
  readonly box: string;
  readonly filter: string;
}

/** What the outputs of a bundle's schedules mean. */
export interface Meaning {
  /** All of the network's, finest first. */
  readonly levels: readonly Level[];
  /** Canvas pixels per cell of what the mask head reads. */
  readonly featureStride: number;
  /** A mask window must reach so many times as far as the predicted box. */
  readonly reachSlack: number;
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

/** The levels whose arrays a graph gives, finest first. */
export function asked({ levels }: Meaning, { outputs }: Graph): Level[] {
  return levels.filter((level) => outputs.score.includes(level.score));
}

/** What a level says at a tap, a pixel of the canvas. */
export function says(level: Level, { x, y }: Point, arrays: Arrays): LevelAnswer {
  const column = Math.floor(x / level.stride);
  const row = Math.floor(y / level.stride);
  const cell = (name: string) => arrays.get(name)!.cut(row, column, 1, 1);
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
