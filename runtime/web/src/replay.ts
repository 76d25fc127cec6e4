/** Replays a schedule on any engine: cut windows, run programs, keep arrays. */

import { cutPlaced, type Arrays, type GrowingArrays } from "./arrays.ts";
import type { CanvasImage } from "./canvas.ts";
import type { Engine, Tensor } from "./engine.ts";
import { answerOf, headInputs, type CanvasTap, type LevelAnswer } from "./levelAnswer.ts";
import type { Level, Manifest } from "./manifest.ts";
import { PROBABILITY_STRIDE } from "./placeMask.ts";
import { featureStride, type Call, type Schedule, type Window } from "./schedule.ts";
import type { Table } from "./table.ts";
import { timed, timedAsync, type Timings } from "./timing.ts";
import type { Box, Size } from "./types.ts";
import { IMAGE } from "./windows.ts";

/** A photo on the canvas, and all that does not depend on the tap. */
export interface EncodedCanvas {
  readonly arrays: Arrays;
  /** The windows that calls of the query read for all taps. */
  readonly regions: readonly CanvasRegion[];
  /** Multiply-adds of what was run for all taps. */
  readonly macs: number;
}

/** What every level says at the tap, a canvas pixel; `arrays` feed the mask part. */
export interface QueryAnswer extends CanvasTap {
  readonly levels: readonly LevelAnswer[];
  readonly arrays: Arrays;
  readonly regions: readonly CanvasRegion[];
  /** Multiply-adds of the query, without what was run for all taps. */
  readonly macs: number;
}

/** The valid part of a mask: probabilities at 2 canvas pixels a cell, and where they are. */
export interface MaskAnswer extends Size {
  readonly probability: Float32Array;
  /** The canvas pixels that they fill; outside, the mask is empty. */
  readonly window: Box;
  readonly regions: readonly CanvasRegion[];
}

/** A window that a program read, in canvas pixels. */
export interface CanvasRegion {
  readonly program: string;
  readonly input: string;
  readonly box: Box;
}

/** A tap on the canvas and what its calls have made so far. */
interface Run extends CanvasTap {
  readonly arrays: GrowingArrays;
  readonly regions: CanvasRegion[];
  readonly timings: Timings;
}

/**
 * A schedule on one canvas and one engine; it keeps nothing between calls.
 *
 * The manifest must have passed `checkConsistency`, and `table` must be that of the canvas:
 * `checkedTable` makes it.
 */
export class Replay {
  private readonly levels: readonly Level[];
  /** Calls of the query that are the same for every tap, and the others. */
  private readonly sharedQuery: readonly Call[];
  private readonly ownQuery: readonly Call[];
  /** Multiply-adds of the shared calls. */
  private readonly sharedMacs: number;
  /** Arrays that are read when the query has run. */
  private readonly afterQuery: ReadonlySet<string>;

  constructor(
    manifest: Manifest,
    readonly schedule: Schedule,
    readonly canvas: Size,
    private readonly table: Table,
    private readonly engine: Engine,
  ) {
    this.levels = manifest.levels.filter((level) => schedule.levels.includes(level.name));
    const masks = schedule.masks.flatMap((mask) => [...mask.calls, mask.head]);
    const answers = this.levels.flatMap((level) => [level.score, level.box, level.filter]);
    this.afterQuery = new Set([...answers, ...readBy(masks)]);
    this.sharedQuery = callsForAllTaps(schedule, table);
    this.ownQuery = schedule.query.filter((call) => !this.sharedQuery.includes(call));
    this.sharedMacs = this.sharedQuery.reduce(
      (sum, { program }) => sum + manifest.programs.get(program)!.macs,
      0,
    );
  }

  /**
   * What runs once per photo, whatever is tapped.
   *
   * Besides the calls that the schedule encodes photos with, these are the calls of the query whose
   * windows are the same for every tap: on a small canvas, one window often is all of it. `timings`
   * gets milliseconds added: `canvas` (windows of the image), `cut` (windows of other arrays) and
   * `engine/<program>`.
   */
  async encode(image: CanvasImage, timings: Timings): Promise<EncodedCanvas> {
    const arrays: GrowingArrays = new Map([[IMAGE, image]]);
    const run: Run = { x: 0, y: 0, arrays, regions: [], timings };
    const { encode, query } = this.schedule;
    await this.runCalls(encode, new Set([...this.afterQuery, ...readBy(query)]), run);
    const shared: Run = { ...run, regions: [] };
    const readLater = new Set([...this.afterQuery, ...readBy(this.ownQuery)]);
    await this.runCalls(this.sharedQuery, readLater, shared);
    const macs = this.schedule.macs.encode + this.sharedMacs;
    return { arrays, regions: shared.regions, macs };
  }

  /**
   * Score, box and filter of every asked level at (x, y), a pixel of the canvas.
   *
   * `encoded` is what `encode` returned, and stays as it is. `timings` as in `encode`.
   */
  async answerQuery(
    encoded: EncodedCanvas,
    x: number,
    y: number,
    timings: Timings,
  ): Promise<QueryAnswer> {
    const regions = [...encoded.regions];
    const run: Run = { x, y, arrays: new Map(encoded.arrays), regions, timings };
    await this.runCalls(this.ownQuery, this.afterQuery, run);
    const levels = this.levels.map((level) => answerOf(level, run, run.arrays));
    const macs = this.schedule.macs.query - this.sharedMacs;
    return { x, y, levels, arrays: run.arrays, regions, macs };
  }

  /** The index of the first mask alternative that reaches far enough for a level's box. */
  chooseMask(query: QueryAnswer, answer: LevelAnswer): number {
    const [x0, y0, x1, y1] = answer.box;
    const [x, y] = [query.x + 0.5, query.y + 0.5];
    const extent = Math.max(
      x - Math.max(x0, 0),
      y - Math.max(y0, 0),
      Math.min(x1, this.canvas.width) - x,
      Math.min(y1, this.canvas.height) - y,
    );
    const { masks, reachSlack } = this.schedule;
    const enough = masks.findIndex(({ reach }) => reach === null || reach >= reachSlack * extent);
    return enough < 0 ? masks.length - 1 : enough;
  }

  /** The mask that a level's filter gives, computed by one of the mask alternatives. */
  async computeMask(
    query: QueryAnswer,
    answer: LevelAnswer,
    maskIndex: number,
    timings: Timings,
  ): Promise<MaskAnswer> {
    const mask = this.schedule.masks[maskIndex]!;
    const { calls, head, reach } = mask;
    const { x, y } = query;
    const run: Run = { x, y, arrays: new Map(query.arrays), regions: [], timings };
    await this.runCalls(calls, readBy([head]), run);

    const features = head.inputs[0]!;
    const inputs = this.cutInputs(head, run);
    const [y0, x0] = this.windowStart(head, features, run);
    const stride = featureStride(this.schedule, mask);
    for (const [name, tensor] of headInputs(answer, query, y0, x0, stride)) {
      inputs.set(name, tensor);
    }
    const output = head.outputs[0]!;
    const outputs = await this.run(head, inputs, [output.name], timings);
    return timed(timings, "mask", () => {
      const window = this.validWindow(reach, query);
      const [left, top, right, bottom] = window.map((side) => side / PROBABILITY_STRIDE) as [
        ...Box,
      ];
      const [maskY, maskX] = this.windowStart(head, output, run);
      const placed = { tensor: outputs.get(output.name)!, y0: maskY, x0: maskX };
      const [height, width] = [bottom - top, right - left];
      const probability = cutPlaced(placed, top, left, height, width).data;
      return { probability, height, width, window, regions: run.regions };
    });
  }

  private async runCalls(
    calls: readonly Call[],
    readLater: ReadonlySet<string>,
    run: Run,
  ): Promise<void> {
    for (const [number, call] of calls.entries()) {
      const inputs = this.cutInputs(call, run);
      // A tap on a large canvas makes arrays of many megabytes, of which few are needed at a time.
      const needed = new Set([...readLater, ...readBy(calls.slice(number + 1))]);
      for (const name of run.arrays.keys()) if (!needed.has(name)) run.arrays.delete(name);
      const kept = call.outputs.filter((window) => needed.has(window.array));
      const wanted = kept.map((window) => window.name);
      const outputs = await this.run(call, inputs, wanted, run.timings);
      for (const window of kept) {
        const [y0, x0] = this.windowStart(call, window, run);
        run.arrays.set(window.array, { tensor: outputs.get(window.name)!, y0, x0 });
      }
    }
  }

  private run(
    call: Call,
    inputs: ReadonlyMap<string, Tensor>,
    wanted: readonly string[],
    timings: Timings,
  ): Promise<Map<string, Tensor>> {
    return timedAsync(timings, `engine/${call.program}`, () =>
      this.engine.run(call.program, inputs, wanted),
    );
  }

  private cutInputs(call: Call, run: Run): Map<string, Tensor> {
    const inputs = new Map<string, Tensor>();
    for (const window of call.inputs) {
      const [y0, x0] = this.windowStart(call, window, run);
      const array = run.arrays.get(window.array)!;
      const { height, width } = window;
      const tensor = timed(run.timings, window.array === IMAGE ? "canvas" : "cut", () =>
        "tensor" in array
          ? cutPlaced(array, y0, x0, height, width)
          : { data: array.cut(y0, x0, height, width), shape: [1, 3, height, width] as const },
      );
      inputs.set(window.name, tensor);
      run.regions.push({
        program: call.program,
        input: window.name,
        box: this.regionOf(call, window, y0, x0),
      });
    }
    return inputs;
  }

  /** The canvas pixels of a window; a cell of its feature map has unit / step of them to a side. */
  private regionOf(call: Call, window: Window, y0: number, x0: number): Box {
    const cellHeight = this.schedule.rows[call.originY]!.unit / window.step;
    const cellWidth = this.schedule.rows[call.originX]!.unit / window.step;
    return [
      x0 * cellWidth,
      y0 * cellHeight,
      (x0 + window.width) * cellWidth,
      (y0 + window.height) * cellHeight,
    ];
  }

  /** (y, x) of a window's first cell, in cells of its own feature map. */
  private windowStart(call: Call, window: Window, tap: CanvasTap): [y0: number, x0: number] {
    const { keyStride } = this.schedule;
    return [
      window.step * this.table[call.originY]![Math.floor(tap.y / keyStride)]!,
      window.step * this.table[call.originX]![Math.floor(tap.x / keyStride)]!,
    ];
  }

  private validWindow(reach: number | null, { x, y }: CanvasTap): Box {
    const { height, width } = this.canvas;
    if (reach === null) return [0, 0, width, height];
    const { keyStride } = this.schedule;
    const left = Math.floor(x / keyStride) * keyStride;
    const top = Math.floor(y / keyStride) * keyStride;
    return [
      Math.max(0, left - reach),
      Math.max(0, top - reach),
      Math.min(width, left + keyStride + reach),
      Math.min(height, top + keyStride + reach),
    ];
  }
}

/** The calls of a query that cut the same windows of the same arrays for every tap. */
function callsForAllTaps(schedule: Schedule, table: Table): Call[] {
  const constant = (row: number) => table[row]!.every((start) => start === table[row]![0]);
  const own = new Set<string>();
  return schedule.query.filter((call) => {
    const shared =
      constant(call.originY) &&
      constant(call.originX) &&
      call.inputs.every((window) => !own.has(window.array));
    if (!shared) for (const window of call.outputs) own.add(window.array);
    return shared;
  });
}

function readBy(calls: readonly Call[]): Set<string> {
  return new Set(calls.flatMap((call) => call.inputs.map((window) => window.array)));
}
