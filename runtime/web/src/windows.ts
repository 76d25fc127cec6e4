/**
 * Does every window of a schedule lie inside its array, for every tap of a canvas?
 *
 * The start of each window is followed through the table for every key cell, both axes by
 * themselves: a window is a product of two intervals.
 */

import { BundleError } from "./errors.ts";
import type { Dtype, Level, Manifest, Program } from "./manifest.ts";
import { PROBABILITY_STRIDE } from "./placeMask.ts";
import {
  featureStride,
  type Axis,
  type Call,
  type MaskSchedule,
  type Schedule,
  type Window,
} from "./schedule.ts";
import type { Table } from "./table.ts";
import type { Size } from "./types.ts";

/** The name of the array that is the canvas. */
export const IMAGE = "image";

const COMPUTED_HEAD_INPUTS: readonly [name: string, channels: number | null][] = [
  ["filter", null],
  ["offset", 2],
  ["inverse_size", 1],
];

/** Where an array starts for each key cell of an axis: `step` times the entry of a table row. */
interface Starts {
  readonly step: number;
  readonly row: Int32Array;
}

/** An array as a program leaves it. */
interface ArrayExtent extends Size {
  readonly startY: Starts;
  readonly startX: Starts;
  readonly channels: number;
  readonly dtype: Dtype;
}

type Arrays = Map<string, ArrayExtent>;

/**
 * Throw a `BundleError` unless a schedule can be replayed for every tap of a canvas.
 *
 * Every program and array that it names must be there with the shape and dtype it is used with,
 * and every window inside its array. `table` is that of the canvas, which the schedule must serve.
 */
export function checkWindows(
  manifest: Manifest,
  schedule: Schedule,
  canvas: Size,
  table: Table,
): void {
  const checker = new WindowChecker(manifest, schedule, canvas, table);
  const arrays = checker.runEncode();
  checker.runQuery(arrays);
  checker.checkAnswers(arrays);
  for (const mask of schedule.masks) checker.checkMask(mask, new Map(arrays));
}

class WindowChecker {
  private readonly levels: readonly Level[];

  constructor(
    private readonly manifest: Manifest,
    private readonly schedule: Schedule,
    private readonly canvas: Size,
    private readonly table: Table,
  ) {
    this.levels = manifest.levels.filter((level) => schedule.levels.includes(level.name));
  }

  /** The arrays that are there when the query begins. */
  runEncode(): Arrays {
    const image: ArrayExtent = {
      startY: { step: 0, row: new Int32Array(this.canvas.height / this.schedule.keyStride) },
      startX: { step: 0, row: new Int32Array(this.canvas.width / this.schedule.keyStride) },
      channels: 3,
      height: this.canvas.height,
      width: this.canvas.width,
      dtype: "float32",
    };
    const arrays: Arrays = new Map([[IMAGE, image]]);
    for (const call of this.schedule.encode) {
      this.runCall(call, arrays);
      for (const row of this.origin(call)) {
        if (row.some((start) => start !== row[0])) {
          this.refuse(`the call of '${call.program}' in encode depends on the tap`);
        }
      }
    }
    if (this.schedule.encode.length > 0) arrays.delete(IMAGE);
    return arrays;
  }

  runQuery(arrays: Arrays): void {
    for (const call of this.schedule.query) this.runCall(call, arrays);
  }

  /** The tap's cell of every asked level must lie in the three arrays of that level. */
  checkAnswers(arrays: Arrays): void {
    for (const level of this.levels) {
      this.checkAnswer(arrays, level, level.score, 1);
      this.checkAnswer(arrays, level, level.box, 4);
      this.checkAnswer(arrays, level, level.filter, null);
    }
  }

  checkMask(mask: MaskSchedule, arrays: Arrays): void {
    for (const call of mask.calls) this.runCall(call, arrays);
    const { head } = mask;
    const program = this.program(head);
    const [features, output] = [head.inputs[0]!, head.outputs[0]!];
    if (head.inputs.length !== 1 || features.name !== "features") {
      this.refuse(`the head of mask '${mask.name}' must take one window named 'features'`);
    }
    if (head.outputs.length !== 1 || output.name !== "mask") {
      this.refuse(`the head of mask '${mask.name}' must give one window named 'mask'`);
    }
    const taken = ["features", ...COMPUTED_HEAD_INPUTS.map(([name]) => name)];
    if (!sameNames(taken, [...program.inputs.keys()])) {
      this.refuse(`the program '${head.program}' does not take the inputs of a mask head`);
    }
    this.checkInput(head, features, program, arrays);
    this.checkOutput(head, output, program);
    if (program.outputs.get("mask")!.shape[1] !== 1) {
      this.refuse(`the output of '${head.program}' does not have one channel`);
    }
    const { rows } = this.schedule;
    const units = [rows[head.originY]!.unit, rows[head.originX]!.unit];
    if (units.some((unit) => unit !== PROBABILITY_STRIDE * output.step)) {
      this.refuse(
        `the mask of '${head.program}' does not have ${PROBABILITY_STRIDE} canvas pixels a cell`,
      );
    }
    const finer = output.step / features.step;
    if (
      !Number.isInteger(finer) ||
      output.height !== finer * features.height ||
      output.width !== finer * features.width
    ) {
      this.refuse(
        `the mask of '${head.program}' is not a whole number of times as fine as its features`,
      );
    }
    this.checkComputedInputs(head, program, arrays);
    this.checkValidPart(mask, features);
  }

  private checkAnswer(arrays: Arrays, level: Level, name: string, channels: number | null): void {
    const array = arrays.get(name);
    if (array === undefined || name === IMAGE) {
      this.refuse(`the array '${name}' of level '${level.name}' is made by no call`);
    }
    if (channels !== null && array.channels !== channels) {
      this.refuse(`the array '${name}' does not have ${channels} channel(s)`);
    }
    const { keyStride } = this.schedule;
    for (const [starts, size] of axesOf(array)) {
      starts.row.forEach((entry, key) => {
        const start = starts.step * entry;
        const first = Math.floor((key * keyStride) / level.stride);
        const last = Math.floor(((key + 1) * keyStride - 1) / level.stride);
        if (first < start || last >= start + size) {
          this.refuse(`the array '${name}' misses the cell of some taps`);
        }
      });
    }
  }

  private checkComputedInputs(head: Call, program: Program, arrays: Arrays): void {
    for (const [name, channels] of COMPUTED_HEAD_INPUTS) {
      const [, given, height, width] = program.inputs.get(name)!.shape;
      if (height !== 1 || width !== 1 || (channels !== null && given !== channels)) {
        this.refuse(`the input '${name}' of '${head.program}' has the wrong shape`);
      }
    }
    const expected = program.inputs.get("filter")!;
    for (const level of this.levels) {
      const array = arrays.get(level.filter)!;
      if (array.channels !== expected.shape[1] || array.dtype !== expected.dtype) {
        this.refuse(`the array '${level.filter}' does not fit the program '${head.program}'`);
      }
    }
  }

  /** The features must cover all of the canvas for which the mask is said to be valid. */
  private checkValidPart(mask: MaskSchedule, features: Window): void {
    const stride = this.schedule.keyStride;
    const cell = featureStride(this.schedule, mask);
    const [rowY, rowX] = this.origin(mask.head);
    for (const [row, size, side] of [
      [rowY, features.height, this.canvas.height],
      [rowX, features.width, this.canvas.width],
    ] as const) {
      const reach = mask.reach ?? side;
      row.forEach((entry, key) => {
        const start = cell * features.step * entry;
        const first = Math.max(key * stride - reach, 0);
        const last = Math.min((key + 1) * stride + reach, side);
        if (first < start || last > start + cell * size) {
          this.refuse(`the window of mask '${mask.name}' is smaller than its reach`);
        }
      });
    }
  }

  private runCall(call: Call, arrays: Arrays): void {
    const program = this.program(call);
    const names = call.inputs.map((window) => window.name);
    if (!sameNames(names, [...program.inputs.keys()])) {
      this.refuse(`a call of '${call.program}' does not give each of its inputs once`);
    }
    for (const window of call.inputs) this.checkInput(call, window, program, arrays);
    const [rowY, rowX] = this.origin(call);
    for (const window of call.outputs) {
      this.checkOutput(call, window, program);
      if (window.array === IMAGE || arrays.has(window.array)) {
        this.refuse(`the array '${window.array}' is made twice`);
      }
      const spec = program.outputs.get(window.name)!;
      arrays.set(window.array, {
        startY: { step: window.step, row: rowY },
        startX: { step: window.step, row: rowX },
        channels: spec.shape[1],
        height: window.height,
        width: window.width,
        dtype: spec.dtype,
      });
    }
  }

  private checkInput(call: Call, window: Window, program: Program, arrays: Arrays): void {
    const array = arrays.get(window.array);
    if (array === undefined && window.array === IMAGE) {
      this.refuse(`'${call.program}' reads the image, which only encode may`);
    }
    if (array === undefined) {
      this.refuse(`'${call.program}' needs the array '${window.array}' before it is made`);
    }
    const spec = program.inputs.get(window.name)!;
    const [, channels, height, width] = spec.shape;
    if (channels !== array.channels || height !== window.height || width !== window.width) {
      this.refuse(`the input '${window.name}' of '${call.program}' has the wrong shape`);
    }
    // The canvas is converted to what the program takes.
    if (spec.dtype !== array.dtype && window.array !== IMAGE) {
      this.refuse(`the input '${window.name}' of '${call.program}' has the wrong dtype`);
    }
    const [rowY, rowX] = this.origin(call);
    for (const [row, starts, size, arraySize] of [
      [rowY, array.startY, window.height, array.height],
      [rowX, array.startX, window.width, array.width],
    ] as const) {
      row.forEach((entry, key) => {
        const cut = window.step * entry - starts.step * starts.row[key]!;
        if (cut < 0 || cut + size > arraySize) {
          this.refuse(
            `the window '${window.name}' of '${call.program}' leaves the array '${window.array}'`,
          );
        }
      });
    }
  }

  private checkOutput(call: Call, window: Window, program: Program): void {
    const spec = program.outputs.get(window.name);
    if (spec === undefined) this.refuse(`'${call.program}' has no output '${window.name}'`);
    if (spec.shape[2] !== window.height || spec.shape[3] !== window.width) {
      this.refuse(`the output '${window.name}' of '${call.program}' has the wrong shape`);
    }
  }

  private program(call: Call): Program {
    const program = this.manifest.programs.get(call.program);
    if (program === undefined) {
      this.refuse(`it runs '${call.program}', which is not one of the programs`);
    }
    return program;
  }

  private origin(call: Call): [y: Int32Array, x: Int32Array] {
    return [this.tableRow(call.originY, "y"), this.tableRow(call.originX, "x")];
  }

  private tableRow(number: number, axis: Axis): Int32Array {
    const row = this.schedule.rows[number];
    if (row === undefined) {
      this.refuse(`it uses row ${number} and has ${this.schedule.rows.length} rows`);
    }
    if (row.axis !== axis) this.refuse(`row ${number} is used for the wrong axis, ${axis}`);
    return this.table[number]!;
  }

  private refuse(reason: string): never {
    throw new BundleError(
      `The bundle contradicts itself: in the schedule '${this.schedule.name}' on ` +
        `${this.canvas.height} x ${this.canvas.width}, ${reason}; export it again.`,
    );
  }
}

function axesOf(array: ArrayExtent): [Starts, number][] {
  return [
    [array.startY, array.height],
    [array.startX, array.width],
  ];
}

function sameNames(names: readonly string[], others: readonly string[]): boolean {
  return names.length === others.length && new Set([...names, ...others]).size === names.length;
}
