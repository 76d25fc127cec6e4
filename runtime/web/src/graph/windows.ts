/**
 * Does every window of a schedule lie inside its array, for every tap of a canvas?
 *
 * The start of each window is followed through the table for every key cell, both axes by
 * themselves: a window is a product of two intervals.
 */

import { IMAGE, PROBABILITY_STRIDE } from "../contract.ts";
import { contradiction } from "../errors.ts";
import type { Size } from "../rectangles.ts";
import type { Program } from "./program.ts";
import {
  callsOf,
  cellOf,
  planesOf,
  startsOf,
  windowsOf,
  type Axis,
  type Call,
  type Choice,
  type PlaceMask,
  type PlaneInput,
  type ProgramCall,
  type Window,
} from "./schedule.ts";

/** A row of the table for each axis. */
type Origin = Readonly<Record<keyof Size, Int32Array>>;

/** An array as its call leaves it, in cells of `cell` canvas pixels: starts at step * origin. */
export interface Extent extends Size {
  readonly origin: Origin;
  readonly step: number;
  readonly channels: number;
  readonly cell: Size;
}

/** Arrays by name. */
export type Extents = ReadonlyMap<string, Extent>;

/** The arrays after the tap phase, and those after a correction. */
export interface Checked {
  readonly tap: Extents;
  readonly correction: Extents;
}

/**
 * Throw a `BundleError` unless a schedule can be replayed for every tap of a canvas.
 *
 * Every program and array that it names must be there with the shape it is used with,
 * and every window inside its array. The graph must have passed `checkStructure`, and the schedule
 * serve the canvas.
 */
export function checkWindows(programs: ReadonlyMap<string, Program>, choice: Choice): Checked {
  const checker = new Checker(programs, choice);
  const { graph } = choice.schedule;
  const arrays = new Map([[IMAGE, checker.image()]]);
  const photo = callsOf(graph, "photo");
  for (const call of photo) {
    checker.run(call, arrays);
    checker.checkConstant(call);
  }
  if (photo.length > 0) arrays.delete(IMAGE);
  const planes = [...planesOf(graph)].map(([name, v]) => [name, checker.plane(v)] as const);
  const correction = new Map([...arrays, ...planes]);
  for (const call of callsOf(graph, "tap")) checker.run(call, arrays);
  const { mask: _, mask_state: __, ...afterTap } = graph.outputs;
  for (const [role, names] of Object.entries(afterTap)) {
    for (const name of names) {
      if (name === IMAGE || !arrays.has(name)) {
        refuse(choice, `the array '${name}', its ${role}, is made by no call`);
      }
    }
  }
  for (const { calls } of windowsOf(graph)) {
    const after = new Map(arrays);
    for (const call of calls) checker.run(call, after);
  }
  for (const call of callsOf(graph, "correction")) {
    checker.run(call, correction);
    checker.checkWhole(call);
  }
  return { tap: arrays, correction };
}

/** Whether an array has, for every key cell of an axis, the cells [first, stop). */
export function covers(
  array: Extent,
  needed: (key: number, side: keyof Size) => readonly [first: number, stop: number],
): boolean {
  return (["height", "width"] as const).every((side) =>
    array.origin[side].every((entry, key) => {
      const [first, stop] = needed(key, side);
      const start = array.step * entry;
      return first >= start && stop <= start + array[side];
    }),
  );
}

/** Whether two lists have the same names, each as often. */
export function sameNames(names: readonly string[], others: readonly string[]): boolean {
  const sorted = [...others].sort();
  return names.length === others.length && [...names].sort().every((v, i) => v === sorted[i]);
}

/** Throw a `BundleError`: in the schedule on this canvas, `reason`. */
export function refuse({ schedule, canvas }: Choice, reason: string): never {
  throw contradiction(
    `in the schedule '${schedule.name}' on ${canvas.height} x ${canvas.width}, ${reason}`,
  );
}

class Checker {
  private readonly starts: readonly Int32Array[];

  constructor(
    private readonly programs: ReadonlyMap<string, Program>,
    private readonly choice: Choice,
  ) {
    this.starts = startsOf(choice);
  }

  image(): Extent {
    return this.whole(3, 1);
  }

  plane({ channels, stride }: PlaneInput): Extent {
    const { height, width } = this.choice.canvas;
    if (height % stride !== 0 || width % stride !== 0) {
      this.refuse(`planes of stride ${stride} do not fill it`);
    }
    return this.whole(channels, stride);
  }

  /** An array over all of the canvas. */
  private whole(channels: number, stride: number): Extent {
    const { schedule, canvas } = this.choice;
    const zeros = (side: number) => new Int32Array(side / schedule.keyStride);
    const origin = { height: zeros(canvas.height), width: zeros(canvas.width) };
    const size = { height: canvas.height / stride, width: canvas.width / stride };
    return { ...size, origin, step: 1, channels, cell: { height: stride, width: stride } };
  }

  /** What runs once per photo must not depend on the tap. */
  checkConstant(call: Call): void {
    if (call.kind !== "program") return;
    const { height, width } = this.origin(call);
    for (const row of [height, width]) {
      if (row.some((start) => start !== row[0])) {
        this.refuse(`the call of '${call.program}' per photo depends on the tap`);
      }
    }
  }

  /** What runs once per correction sees all of the canvas. */
  checkWhole(call: Call): void {
    if (call.kind !== "program") return;
    const { schedule, canvas } = this.choice;
    const origin = this.origin(call);
    for (const window of [...call.inputs, ...call.outputs]) {
      const cell = cellOf(schedule, call, window);
      for (const side of ["height", "width"] as const) {
        if (origin[side].some((v) => v !== 0) || window[side] * cell[side] !== canvas[side]) {
          this.refuse(
            `the window '${window.name}' of '${call.program}', per correction, is not the whole ` +
              "canvas",
          );
        }
      }
    }
  }

  run(call: Call, arrays: Map<string, Extent>): void {
    if (call.kind === "program") this.runProgram(call, arrays);
    else this.placeMask(call, arrays);
  }

  private placeMask({ input, output, reach }: PlaceMask, arrays: Map<string, Extent>): void {
    const { schedule, canvas } = this.choice;
    const array = arrays.get(input);
    if (array === undefined) this.refuse(`place_mask needs the array '${input}' before it is made`);
    const said = `the array '${input}' of masks`;
    if (array.channels !== 1) this.refuse(`${said} does not have one channel`);
    if (array.cell.height !== PROBABILITY_STRIDE || array.cell.width !== PROBABILITY_STRIDE) {
      this.refuse(`${said} does not have ${PROBABILITY_STRIDE} canvas pixels a cell`);
    }
    const stride = schedule.keyStride;
    const isCovered = covers(array, (key, side) => {
      const first = Math.max(key * stride - (reach ?? Infinity), 0);
      const stop = Math.min((key + 1) * stride + (reach ?? Infinity), canvas[side]);
      return [first / PROBABILITY_STRIDE, stop / PROBABILITY_STRIDE];
    });
    if (!isCovered) this.refuse(`${said} is smaller than its reach`);
    if (output === IMAGE || arrays.has(output)) this.refuse(`the array '${output}' is made twice`);
  }

  private runProgram(call: ProgramCall, arrays: Map<string, Extent>): void {
    const program = this.programs.get(call.program);
    if (program === undefined) {
      this.refuse(`it runs '${call.program}', which is not one of the programs`);
    }
    const names = [...call.inputs.map((window) => window.name), ...call.vectors.keys()];
    if (!sameNames(names, [...program.inputs.keys()])) {
      this.refuse(`a call of '${call.program}' does not give each of its inputs once`);
    }
    for (const window of call.inputs) this.checkInput(call, window, program, arrays);
    this.checkVectors(call, program);
    const origin = this.origin(call);
    for (const window of call.outputs) {
      const spec = program.outputs.get(window.name);
      if (spec === undefined) this.refuse(`'${call.program}' has no output '${window.name}'`);
      const [, channels, height, width] = spec.shape;
      if (height !== window.height || width !== window.width) {
        this.refuse(`the output '${window.name}' of '${call.program}' has the wrong shape`);
      }
      if (window.array === IMAGE || arrays.has(window.array)) {
        this.refuse(`the array '${window.array}' is made twice`);
      }
      const cell = cellOf(this.choice.schedule, call, window);
      arrays.set(window.array, { height, width, origin, step: window.step, channels, cell });
    }
  }

  private checkInput(call: ProgramCall, window: Window, program: Program, arrays: Extents): void {
    const array = arrays.get(window.array);
    if (array === undefined && window.array === IMAGE) {
      this.refuse(`'${call.program}' reads the image, which only the photo phase may`);
    }
    if (array === undefined) {
      this.refuse(`'${call.program}' needs the array '${window.array}' before it is made`);
    }
    const spec = program.inputs.get(window.name)!;
    const [, channels, height, width] = spec.shape;
    if (channels !== array.channels || height !== window.height || width !== window.width) {
      this.refuse(`the input '${window.name}' of '${call.program}' has the wrong shape`);
    }
    const origin = this.origin(call);
    const isCovered = covers(array, (key, side) => {
      const first = window.step * origin[side][key]!;
      return [first, first + window[side]];
    });
    if (!isCovered) {
      this.refuse(
        `the window '${window.name}' of '${call.program}' leaves the array '${window.array}'`,
      );
    }
  }

  private checkVectors(call: ProgramCall, { inputs }: Program): void {
    for (const [tensor, vector] of call.vectors) {
      const spec = inputs.get(tensor)!;
      const kind = this.choice.schedule.graph.inputs.get(vector);
      const channels = kind?.kind === "vector" ? kind.channels : 0;
      if (spec.shape.join() !== [1, channels, 1, 1].join()) {
        this.refuse(`the input '${tensor}' of '${call.program}' does not fit '${vector}'`);
      }
    }
  }

  private origin(call: ProgramCall): Origin {
    return { height: this.row(call.originY, "y"), width: this.row(call.originX, "x") };
  }

  private row(number: number, axis: Axis): Int32Array {
    const { rows } = this.choice.schedule;
    if (number >= rows.length) this.refuse(`it uses row ${number} and has ${rows.length} rows`);
    if (rows[number]!.axis !== axis) {
      this.refuse(`row ${number} is used for the wrong axis, ${axis}`);
    }
    return this.starts[number]!;
  }

  private refuse(reason: string): never {
    refuse(this.choice, reason);
  }
}
