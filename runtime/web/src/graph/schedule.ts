/** A graph of programs and a schedule of it; docs/bundle.md explains every field. */

import type { Size } from "../rectangles.ts";

export type Axis = "y" | "x";

/** In the order in which they come. */
export const WHENS = ["photo", "tap", "window", "correction"] as const;
export type When = (typeof WHENS)[number];

export const ROLES = ["score", "box", "filter", "mask", "mask_state"] as const;
export type Role = (typeof ROLES)[number];

/**
 * The closed form of a table row: where a call's windows start, for each key cell of an axis.
 *
 * `unit` is in canvas pixels; `size`, `phases` and `advance` are in units.
 */
export interface Row {
  readonly axis: Axis;
  readonly unit: number;
  readonly size: number;
  readonly phases: readonly number[];
  readonly advance: number;
}

/**
 * A tensor `name` of a program, cut from or kept as `array`: starts at step * origin.
 *
 * Its size and the start are in cells of the array's own feature map.
 */
export interface Window extends Size {
  readonly name: string;
  readonly array: string;
  readonly step: number;
}

/**
 * Cut the inputs, run the program, keep the outputs.
 *
 * `originY` and `originX` are indices into the rows of the schedule. `vectors` are names of
 * external inputs, by the program's tensor that takes them.
 */
export interface ProgramCall {
  readonly kind: "program";
  readonly program: string;
  readonly originY: number;
  readonly originX: number;
  readonly inputs: readonly Window[];
  readonly vectors: ReadonlyMap<string, string>;
  readonly outputs: readonly Window[];
}

/**
 * Keep of the array `input` what is valid for the tap, as the array `output`.
 *
 * That is what lies within `reach` canvas pixels of the key cell; null for all of it.
 */
export interface PlaceMask {
  readonly kind: "place_mask";
  readonly input: string;
  readonly output: string;
  readonly reach: number | null;
}

/** What runs on arrays: a program, or one of the operations that the runtime does itself. */
export type Call = ProgramCall | PlaceMask;

/** The calls of one time in a photo's life. */
export interface Phase {
  readonly name: string;
  readonly when: When;
  readonly calls: readonly Call[];
}

/**
 * An array over the whole canvas that is filled when a phase begins.
 *
 * It has `channels`, starts at (0, 0), and a cell is `stride` canvas pixels.
 */
export interface PlaneInput {
  readonly kind: "plane";
  readonly channels: number;
  readonly stride: number;
}

/** The canvas as an array of three channels, or numbers that are computed when a phase begins. */
export type ExternalInput =
  | { readonly kind: "image" }
  | { readonly kind: "vector"; readonly channels: number }
  | PlaneInput;

/** What comes in, by name; what runs, in order; which arrays come out, by role. */
export interface Graph {
  readonly inputs: ReadonlyMap<string, ExternalInput>;
  readonly phases: readonly Phase[];
  /** Without a correction there is no `mask_state`. */
  readonly outputs: Readonly<Record<Role, readonly string[]>>;
}

/** The canvas sides from `least` to `most` pixels, both included, in steps of `multiple`. */
export interface SideRange {
  readonly least: number;
  readonly most: number;
  readonly multiple: number;
}

/** A graph on a canvas: what is cut where. */
export interface Schedule {
  readonly name: string;
  /** The canvas that it was planned for. */
  readonly canvas: Size;
  readonly serves: { readonly height: SideRange; readonly width: SideRange };
  /** The share of the receptive fields' halo that its windows keep; 1 where it is exact. */
  readonly halo: number;
  /** Canvas pixels per key cell, of which the rows have an entry each. */
  readonly keyStride: number;
  readonly rows: readonly Row[];
  /** Where the rows for the schedule's own canvas begin in the bundle's table. */
  readonly tableOffset: number;
  readonly graph: Graph;
}

/** A schedule, and the canvas to run it on. */
export interface Choice {
  readonly schedule: Schedule;
  readonly canvas: Size;
}

/** The arrays that a call cuts windows from. */
export function reads(call: Call): string[] {
  return call.kind === "program" ? call.inputs.map((window) => window.array) : [call.input];
}

/** The arrays that a call leaves. */
export function makes(call: Call): string[] {
  return call.kind === "program" ? call.outputs.map((window) => window.array) : [call.output];
}

/** Those calls that run programs. */
export function programCalls(calls: readonly Call[]): ProgramCall[] {
  return calls.filter((call) => call.kind === "program");
}

/** Those calls that place masks; of a window's phase there is one. */
export function masksPlaced(calls: readonly Call[]): PlaceMask[] {
  return calls.filter((call) => call.kind === "place_mask");
}

/** The calls that run at one time, in order. */
export function callsOf(graph: Graph, when: "photo" | "tap" | "correction"): Call[] {
  return graph.phases.filter((phase) => phase.when === when).flatMap(({ calls }) => calls);
}

/** The alternatives of which a tap runs one, the smallest reach first. */
export function windowsOf(graph: Graph): Phase[] {
  return graph.phases.filter((phase) => phase.when === "window");
}

/** The planes among the inputs, by name. */
export function planesOf({ inputs }: Graph): Map<string, PlaneInput> {
  return new Map([...inputs].flatMap(([name, v]) => (v.kind === "plane" ? [[name, v]] : [])));
}

/** Whether a schedule's programs serve a canvas of this size. */
export function servesCanvas({ serves }: Schedule, { height, width }: Size): boolean {
  return holds(serves.height, height) && holds(serves.width, width);
}

/** A schedule on the canvas that it was planned for. */
export function ownChoice(schedule: Schedule): Choice {
  return { schedule, canvas: schedule.canvas };
}

/** The entries of every row, one for each key cell of its axis, in units of the row. */
export function startsOf({ schedule, canvas }: Choice): Int32Array[] {
  return schedule.rows.map((row) =>
    rowStarts(row, row.axis === "y" ? canvas.height : canvas.width, schedule.keyStride),
  );
}

/** Canvas pixels that a cell of one of a call's windows has. */
export function cellOf({ rows }: Schedule, call: ProgramCall, { step }: Window): Size {
  return { height: rows[call.originY]!.unit / step, width: rows[call.originX]!.unit / step };
}

function rowStarts(row: Row, side: number, keyStride: number): Int32Array {
  const starts = new Int32Array(Math.floor(side / keyStride));
  const last = Math.floor(side / row.unit) - row.size;
  const turn = row.phases.length;
  for (let key = 0; key < starts.length; key++) {
    const start = row.phases[key % turn]! + row.advance * Math.floor(key / turn);
    starts[key] = Math.min(Math.max(start, 0), last);
  }
  return starts;
}

function holds({ least, most, multiple }: SideRange, side: number): boolean {
  return least <= side && side <= most && side % multiple === 0;
}
