/** Replays a schedule on any engine: cut windows, run programs, keep arrays. */

import type { CanvasImage } from "./canvas.ts";
import type { Level, Manifest, Shape } from "./manifest.ts";
import { PROBABILITY_STRIDE } from "./placeMask.ts";
import type { Call, Schedule, Window } from "./schedule.ts";
import type { Table } from "./table.ts";
import { timed, timedAsync, type Timings } from "./timing.ts";
import type { Box, Size } from "./types.ts";
import { FEATURE_STRIDE, IMAGE } from "./windows.ts";

/** A tensor, 1 x C x H x W, row by row. */
export interface Tensor {
  readonly data: Float32Array;
  readonly shape: Shape;
}

/** Runs the programs of one bundle. */
export interface Engine {
  /** The wanted outputs of a program by name, for inputs of the shapes it declares. */
  run(
    program: string,
    inputs: ReadonlyMap<string, Tensor>,
    wanted: readonly string[],
  ): Promise<Map<string, Tensor>>;
}

/** A window of a feature map: its first cell is at (y0, x0) of that map. */
interface PlacedArray {
  readonly tensor: Tensor;
  readonly y0: number;
  readonly x0: number;
}

/** What windows are cut from, by name: windows of feature maps, and the canvas as `image`. */
export type Arrays = ReadonlyMap<string, PlacedArray | CanvasImage>;
type GrowingArrays = Map<string, PlacedArray | CanvasImage>;

/** What one level says at the tap; all positions are in canvas pixels. */
export interface LevelAnswer {
  readonly level: Level;
  /** In [0, 1]. */
  readonly score: number;
  /** Not clipped. */
  readonly box: Box;
  readonly filter: Tensor;
}

/** What every level says at the tap, a canvas pixel; `arrays` feed the mask part. */
export interface QueryAnswer {
  readonly x: number;
  readonly y: number;
  readonly levels: readonly LevelAnswer[];
  readonly arrays: Arrays;
  readonly regions: readonly CanvasRegion[];
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
interface Run {
  readonly x: number;
  readonly y: number;
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
  }

  /**
   * What runs once per photo: the arrays that taps on it begin with.
   *
   * For a schedule that encodes nothing they are the image itself, else it is dropped. `timings`
   * gets milliseconds added: `canvas` (windows of the image), `cut` (windows of other arrays) and
   * `engine/<program>`.
   */
  async encode(image: CanvasImage, timings: Timings): Promise<Arrays> {
    const arrays: GrowingArrays = new Map([[IMAGE, image]]);
    const run: Run = { x: 0, y: 0, arrays, regions: [], timings };
    const readLater = new Set([...this.afterQuery, ...readBy(this.schedule.query)]);
    await this.runCalls(this.schedule.encode, readLater, run);
    return arrays;
  }

  /**
   * Score, box and filter of every asked level at (x, y), a pixel of the canvas.
   *
   * `arrays` are what `encode` returned, and stay as they are. `timings` as in `encode`.
   */
  async answerQuery(arrays: Arrays, x: number, y: number, timings: Timings): Promise<QueryAnswer> {
    const run: Run = { x, y, arrays: new Map(arrays), regions: [], timings };
    await this.runCalls(this.schedule.query, this.afterQuery, run);
    const levels = this.levels.map((level) => answerOf(level, run));
    return { x, y, levels, arrays: run.arrays, regions: run.regions };
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
    const { calls, head, reach } = this.schedule.masks[maskIndex]!;
    const { x, y } = query;
    const run: Run = { x, y, arrays: new Map(query.arrays), regions: [], timings };
    await this.runCalls(calls, readBy([head]), run);

    const features = head.inputs[0]!;
    const inputs = this.cutInputs(head, run);
    const [y0, x0] = this.windowStart(head, features, run);
    for (const [name, tensor] of headInputs(answer, query, y0, x0)) inputs.set(name, tensor);
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
  private windowStart(
    call: Call,
    window: Window,
    tap: { readonly x: number; readonly y: number },
  ): [y0: number, x0: number] {
    const { keyStride } = this.schedule;
    return [
      window.step * this.table[call.originY]![Math.floor(tap.y / keyStride)]!,
      window.step * this.table[call.originX]![Math.floor(tap.x / keyStride)]!,
    ];
  }

  private validWindow(reach: number | null, { x, y }: QueryAnswer): Box {
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

function readBy(calls: readonly Call[]): Set<string> {
  return new Set(calls.flatMap((call) => call.inputs.map((window) => window.array)));
}

/** The window that starts at (y0, x0) of the feature map; the array itself where it is all of it. */
function cutPlaced(
  array: PlacedArray,
  y0: number,
  x0: number,
  height: number,
  width: number,
): Tensor {
  const { data, shape } = array.tensor;
  const [, channels, arrayHeight, arrayWidth] = shape;
  if (height === arrayHeight && width === arrayWidth) return array.tensor;
  const cut = new Float32Array(channels * height * width);
  for (let channel = 0, out = 0; channel < channels; channel++) {
    let cell = (channel * arrayHeight + y0 - array.y0) * arrayWidth + x0 - array.x0;
    for (let y = 0; y < height; y++, cell += arrayWidth, out += width) {
      cut.set(data.subarray(cell, cell + width), out);
    }
  }
  return { data: cut, shape: [1, channels, height, width] };
}

function answerOf(level: Level, { x, y, arrays }: Run): LevelAnswer {
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

/** The three inputs of a mask head that are not cut from an array; (y0, x0): its first cell. */
function headInputs(
  answer: LevelAnswer,
  tap: { readonly x: number; readonly y: number },
  y0: number,
  x0: number,
): [string, Tensor][] {
  const vector = (...values: number[]): Tensor => ({
    data: Float32Array.from(values),
    shape: [1, values.length, 1, 1],
  });
  const offsetX = (x0 + 0.5) * FEATURE_STRIDE - (tap.x + 0.5);
  const offsetY = (y0 + 0.5) * FEATURE_STRIDE - (tap.y + 0.5);
  return [
    ["filter", answer.filter],
    ["offset", vector(offsetX, offsetY)],
    ["inverse_size", vector(1 / answer.level.sizeOfInterest)],
  ];
}
