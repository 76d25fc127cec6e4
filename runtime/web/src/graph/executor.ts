/** Runs a schedule on any engine: cut windows, run programs, keep arrays. */

import { IMAGE } from "../contract.ts";
import type { Box, Point } from "../rectangles.ts";
import { timed, type Timings } from "../timing.ts";
import { PlacedArray, type Arrays, type Cuttable, type Tensor, type Vectors } from "./arrays.ts";
import { placeMask } from "./operations.ts";
import type { Program } from "./program.ts";
import {
  callsOf,
  cellOf,
  makes,
  programCalls,
  reads,
  startsOf,
  windowsOf,
  type Call,
  type Choice,
  type PlaceMask,
  type ProgramCall,
  type Window,
} from "./schedule.ts";

/** Runs the programs of one bundle. */
export interface Engine {
  /** The wanted outputs of a program by name, for inputs of the shapes it declares. */
  run(
    program: string,
    inputs: ReadonlyMap<string, Tensor>,
    wanted: readonly string[],
  ): Promise<Map<string, Tensor>>;
}

/** A window that a program reads, in canvas pixels. */
export interface CanvasRegion {
  readonly program: string;
  readonly box: Box;
}

/** A program call, with its outputs that are read later, and the arrays that nothing reads then. */
interface ProgramStep extends ProgramCall {
  readonly kept: readonly Window[];
  readonly unread: readonly string[];
}

type Step = ProgramStep | PlaceMask;

/** A schedule on one canvas and one engine; it keeps nothing between calls. */
export class Executor {
  /** Multiply-adds of `encode` and of `runTap`. */
  readonly encodeMacs: number;
  readonly tapMacs: number;
  private readonly rows: readonly Int32Array[];
  private readonly encodeSteps: readonly Step[];
  private readonly tapSteps: readonly Step[];
  private readonly windowSteps: readonly (readonly Step[])[];
  private readonly correctionSteps: readonly Step[];

  /** `choice` must have passed `checkWindows`. */
  constructor(
    private readonly programs: ReadonlyMap<string, Program>,
    private readonly choice: Choice,
    private readonly engine: Engine,
  ) {
    this.rows = startsOf(choice);
    const { graph } = choice.schedule;
    const windows = windowsOf(graph);
    const { mask: masks, mask_state: states, ...afterTap } = graph.outputs;
    const correction = callsOf(graph, "correction");
    const later = [
      ...Object.values(afterTap).flat(),
      ...windows.flatMap(({ calls }) => calls.flatMap(reads)),
    ];
    const [shared, own] = this.split(callsOf(graph, "tap"));
    const encode = [...callsOf(graph, "photo"), ...shared];
    const afterPhoto = [...later, ...own.flatMap(reads), ...correction.flatMap(reads)];
    this.encodeSteps = stepsOf(encode, afterPhoto);
    this.tapSteps = stepsOf(own, later);
    this.windowSteps = windows.map(({ calls }) => stepsOf(calls, masks));
    this.correctionSteps = stepsOf(correction, states);
    this.encodeMacs = this.macs(encode);
    this.tapMacs = this.macs(own);
  }

  /**
   * The arrays that a tap begins with: run what is the same for every tap.
   *
   * Besides the photo phase these are the calls of the tap phase whose windows are the same for
   * every tap: on a small canvas, one window often is all of it. `timings` gets milliseconds added:
   * `canvas` (windows of the image), `cut` (windows of other arrays) and `engine/<program>`.
   */
  encode(image: Cuttable, timings: Timings): Promise<Arrays> {
    const arrays = new Map([[IMAGE, image]]);
    return this.run(this.encodeSteps, { x: 0, y: 0 }, arrays, new Map(), timings);
  }

  /** The arrays after the tap phase, at a pixel of the canvas. `timings` as in `encode`. */
  runTap(encoded: Arrays, tap: Point, timings: Timings): Promise<Arrays> {
    return this.run(this.tapSteps, tap, encoded, new Map(), timings);
  }

  /** The arrays after one of the window phases, on those of the tap phase. */
  runWindow(
    index: number,
    tap: Point,
    afterTap: Arrays,
    vectors: Vectors,
    timings: Timings,
  ): Promise<Arrays> {
    return this.run(this.windowSteps[index]!, tap, afterTap, vectors, timings);
  }

  /** The arrays after the phase per correction, with these planes; `encoded` stays as it is. */
  runCorrection(
    encoded: Arrays,
    planes: ReadonlyMap<string, Tensor>,
    timings: Timings,
  ): Promise<Arrays> {
    const placed = [...planes].map(([name, v]) => [name, new PlacedArray(v, 0, 0)] as const);
    const arrays = new Map([...encoded, ...placed]);
    return this.run(this.correctionSteps, { x: 0, y: 0 }, arrays, new Map(), timings);
  }

  /** Where the windows of a call start, in units of its rows. */
  origin({ originY, originX }: ProgramCall, tap: Point): Point {
    const key = this.keyCell(tap);
    return { x: this.rows[originX]![key.x]!, y: this.rows[originY]![key.y]! };
  }

  /** The windows that calls read at a tap, in their order. */
  regions(calls: readonly Call[], tap: Point): CanvasRegion[] {
    return programCalls(calls).flatMap((call) => {
      const { x, y } = this.origin(call, tap);
      return call.inputs.map((window) => {
        const cell = cellOf(this.choice.schedule, call, window);
        const [left, top] = [window.step * x * cell.width, window.step * y * cell.height];
        const [width, height] = [window.width * cell.width, window.height * cell.height];
        return { program: call.program, box: [left, top, left + width, top + height] };
      });
    });
  }

  /** Multiply-adds of calls. */
  macs(calls: readonly Call[]): number {
    const add = (sum: number, call: ProgramCall) => sum + this.programs.get(call.program)!.macs;
    return programCalls(calls).reduce(add, 0);
  }

  /** What steps leave; `before` stays as it is. */
  private async run(
    steps: readonly Step[],
    tap: Point,
    before: Arrays,
    vectors: Vectors,
    timings: Timings,
  ): Promise<Arrays> {
    const { schedule, canvas } = this.choice;
    const arrays = new Map(before);
    for (const step of steps) {
      if (step.kind === "program") {
        await this.runProgram(step, this.origin(step, tap), arrays, vectors, timings);
      } else {
        const array = arrays.get(step.input)!;
        const place = () => placeMask(step, array, this.keyCell(tap), schedule.keyStride, canvas);
        arrays.set(step.output, timed(timings, "mask", place));
      }
    }
    return arrays;
  }

  private async runProgram(
    step: ProgramStep,
    { x, y }: Point,
    arrays: Map<string, Cuttable>,
    vectors: Vectors,
    timings: Timings,
  ): Promise<void> {
    const inputs = new Map<string, Tensor>();
    for (const window of step.inputs) {
      const { name, array, height, width } = window;
      const cut = () => arrays.get(array)!.cut(window.step * y, window.step * x, height, width);
      inputs.set(name, timed(timings, array === IMAGE ? "canvas" : "cut", cut));
    }
    for (const [tensor, vector] of step.vectors) inputs.set(tensor, vectors.get(vector)!);
    for (const name of step.unread) arrays.delete(name);
    const wanted = step.kept.map(({ name }) => name);
    const outputs = await timed(timings, `engine/${step.program}`, () =>
      this.engine.run(step.program, inputs, wanted),
    );
    for (const window of step.kept) {
      const tensor = outputs.get(window.name)!;
      arrays.set(window.array, new PlacedArray(tensor, window.step * y, window.step * x));
    }
  }

  private keyCell({ x, y }: Point): Point {
    const { keyStride } = this.choice.schedule;
    return { x: Math.floor(x / keyStride), y: Math.floor(y / keyStride) };
  }

  /** Calls that cut the same windows of the same arrays for every tap, and the others. */
  private split(calls: readonly Call[]): [shared: Call[], own: Call[]] {
    const constant = this.rows.map((row) => row.every((start) => start === row[0]));
    const [shared, own]: [Call[], Call[]] = [[], []];
    const ownArrays = new Set<string>();
    for (const call of calls) {
      const isShared =
        call.kind === "program" &&
        constant[call.originY] &&
        constant[call.originX] &&
        !reads(call).some((array) => ownArrays.has(array));
      (isShared ? shared : own).push(call);
      if (!isShared) for (const array of makes(call)) ownArrays.add(array);
    }
    return [shared, own];
  }
}

/**
 * Calls in their order, and with each of them the arrays that nothing reads any more.
 *
 * A tap on a large canvas makes arrays of many megabytes, of which few are needed at a time.
 */
function stepsOf(calls: readonly Call[], readLater: readonly string[]): Step[] {
  const lastUse = new Map<string, Call>();
  for (const call of calls) {
    for (const array of [...reads(call), ...makes(call)]) lastUse.set(array, call);
  }
  for (const array of readLater) lastUse.delete(array);
  return calls.map((call) => {
    if (call.kind === "place_mask") return call;
    const kept = call.outputs.filter(({ array }) => lastUse.get(array) !== call);
    const unread = [...lastUse.keys()].filter((array) => lastUse.get(array) === call);
    return { ...call, kept, unread };
  });
}
