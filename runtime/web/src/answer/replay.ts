/** Replays a schedule on one canvas as TraceNet means it: ask the levels, choose a window, mask. */

import { GUIDE, PROBABILITY_STRIDE } from "../contract.ts";
import type { Arrays, PlacedArray, Tensor } from "../graph/arrays.ts";
import { Executor, type CanvasRegion, type Engine } from "../graph/executor.ts";
import type { Program } from "../graph/program.ts";
import {
  callsOf,
  masksPlaced,
  windowsOf,
  type Call,
  type Choice,
  type Phase,
  type ProgramCall,
} from "../graph/schedule.ts";
import type { Box, Point, Size } from "../rectangles.ts";
import { timed, type Timings } from "../timing.ts";
import { asked, says, type Level, type LevelAnswer, type Meaning } from "./levels.ts";
import type { Cells } from "./marks.ts";
import { headVectors, maskHeads } from "./maskHead.ts";

/** What every level says at the tap, a canvas pixel; `arrays` feed the mask part. */
export interface QueryAnswer {
  readonly tap: Point;
  readonly levels: readonly LevelAnswer[];
  readonly arrays: Arrays;
  readonly regions: readonly CanvasRegion[];
}

/** The valid part of a mask: probabilities at 2 canvas pixels a cell, and where they are. */
export interface MaskAnswer extends Size {
  readonly probability: Float32Array;
  /** The canvas pixels that they fill; outside, the mask is empty. */
  readonly window: Box;
  /** The name of the mask window that it was computed in. */
  readonly maskWindow: string;
  readonly regions: readonly CanvasRegion[];
  readonly macs: number;
}

/** A schedule on one canvas and one engine. */
export class Replay {
  readonly executor: Executor;
  private readonly levels: readonly Level[];
  private readonly query: readonly Call[];
  private readonly windows: readonly Phase[];
  private readonly heads: readonly ProgramCall[];
  private readonly correction: readonly Call[];
  private readonly reaches: readonly number[];

  /** `choice` must have passed `checkChoice`. */
  constructor(
    programs: ReadonlyMap<string, Program>,
    private readonly meaning: Meaning,
    readonly choice: Choice,
    engine: Engine,
  ) {
    const { graph } = choice.schedule;
    this.executor = new Executor(programs, choice, engine);
    this.levels = asked(meaning, graph);
    this.query = callsOf(graph, "tap");
    this.windows = windowsOf(graph);
    this.heads = this.windows.map((phase) => maskHeads(phase)[0]!);
    this.correction = callsOf(graph, "correction");
    this.reaches = this.windows.map((phase) => masksPlaced(phase.calls)[0]!.reach ?? Infinity);
  }

  /** Score, box and filter of every asked level at a pixel of the canvas. */
  async answerQuery(encoded: Arrays, tap: Point, timings: Timings): Promise<QueryAnswer> {
    const arrays = await this.executor.runTap(encoded, tap, timings);
    const levels = this.levels.map((level) => says(level, tap, arrays));
    return { tap, levels, arrays, regions: this.executor.regions(this.query, tap) };
  }

  /** The index of the first mask window that reaches far enough for a level's box. */
  chooseMask({ tap }: QueryAnswer, { box: [x0, y0, x1, y1] }: LevelAnswer): number {
    const { height, width } = this.choice.canvas;
    const [x, y] = [tap.x + 0.5, tap.y + 0.5];
    const extent = Math.max(
      x - Math.max(x0, 0),
      y - Math.max(y0, 0),
      Math.min(x1, width) - x,
      Math.min(y1, height) - y,
    );
    const needed = this.meaning.reachSlack * extent;
    const enough = this.reaches.findIndex((reach) => reach >= needed);
    return enough < 0 ? this.windows.length - 1 : enough;
  }

  /** The mask that a level's filter gives, computed in one of the mask windows. */
  async computeMask(
    { tap, arrays }: QueryAnswer,
    answer: LevelAnswer,
    maskIndex: number,
    timings: Timings,
  ): Promise<MaskAnswer> {
    const [{ name, calls }, head] = [this.windows[maskIndex]!, this.heads[maskIndex]!];
    const vectors = timed(timings, "mask", () => {
      const { step } = head.inputs[0]!;
      const { x, y } = this.executor.origin(head, tap);
      const start = { x: step * x, y: step * y };
      return headVectors(answer, tap, start, this.meaning.featureStride);
    });
    const after = await this.executor.runWindow(maskIndex, tap, arrays, vectors, timings);
    const { mask } = this.choice.schedule.graph.outputs;
    const { tensor, x0, y0 } = after.get(mask[maskIndex]!) as PlacedArray;
    const [, , height, width] = tensor.shape;
    const window = [x0, y0, x0 + width, y0 + height].map((cell) => cell * PROBABILITY_STRIDE);
    return {
      probability: tensor.data,
      height,
      width,
      window: window as [...Box],
      maskWindow: name,
      regions: this.executor.regions(calls, tap),
      macs: this.executor.macs(calls),
    };
  }

  /** What a guided look makes of its planes, those of `guidePlanes`: probabilities. */
  async correct(encoded: Arrays, planes: Tensor, timings: Timings): Promise<Cells> {
    const arrays = await this.executor.runCorrection(encoded, new Map([[GUIDE, planes]]), timings);
    const { mask_state: names } = this.choice.schedule.graph.outputs;
    const { tensor } = arrays.get(names[0]!) as PlacedArray;
    const [, , height, width] = tensor.shape;
    return { height, width, data: tensor.data };
  }

  /** Multiply-adds of a correction. */
  get correctionMacs(): number {
    return this.executor.macs(this.correction);
  }

  /** The windows that a correction reads. */
  get correctionRegions(): CanvasRegion[] {
    return this.executor.regions(this.correction, { x: 0, y: 0 });
  }
}
