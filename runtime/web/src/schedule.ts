/** What runs for a tap; docs/bundle.md explains every field. */

import type { Size } from "./types.ts";

export type Axis = "y" | "x";

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
 * `originY` and `originX` are indices into the rows of the schedule.
 */
export interface Call {
  readonly program: string;
  readonly originY: number;
  readonly originX: number;
  readonly inputs: readonly Window[];
  readonly outputs: readonly Window[];
}

/** One alternative for the mask; `reach` in canvas pixels, null for the whole canvas. */
export interface MaskSchedule {
  readonly name: string;
  readonly reach: number | null;
  readonly calls: readonly Call[];
  readonly head: Call;
}

/** Multiply-adds: of FullNet, of what runs once per photo, of the query, of each mask by name. */
export interface Macs {
  readonly full: number;
  readonly encode: number;
  readonly query: number;
  readonly masks: ReadonlyMap<string, number>;
}

/** The canvas sides from `least` to `most` pixels, both included, in steps of `multiple`. */
export interface SideRange {
  readonly least: number;
  readonly most: number;
  readonly multiple: number;
}

/** What to run for a tap, and how to choose the mask alternative. */
export interface Schedule {
  readonly name: string;
  /** The canvas that it was planned for. */
  readonly canvas: Size;
  readonly serves: { readonly height: SideRange; readonly width: SideRange };
  /** The share of the receptive fields' halo that its windows keep; 1 where it is exact. */
  readonly halo: number;
  /** Names, finest first. */
  readonly levels: readonly string[];
  readonly keyLevel: string;
  /** Of the key level, in canvas pixels. */
  readonly keyStride: number;
  readonly rows: readonly Row[];
  /** Where the rows for the schedule's own canvas begin in the bundle's table. */
  readonly tableOffset: number;
  readonly encode: readonly Call[];
  readonly query: readonly Call[];
  readonly masks: readonly MaskSchedule[];
  readonly reachSlack: number;
  readonly macs: Macs;
}

/** Canvas pixels per cell of the mask features that the head of a mask reads. */
export function featureStride(schedule: Schedule, { head }: MaskSchedule): number {
  return schedule.rows[head.originY]!.unit / head.inputs[0]!.step;
}

/** Whether a schedule's programs serve a canvas of this size. */
export function servesCanvas(schedule: Schedule, { height, width }: Size): boolean {
  return holds(schedule.serves.height, height) && holds(schedule.serves.width, width);
}

/** The names of all programs that a schedule runs. */
export function programsOf(schedule: Schedule): Set<string> {
  const calls = [...schedule.encode, ...schedule.query];
  for (const mask of schedule.masks) calls.push(...mask.calls, mask.head);
  return new Set(calls.map((call) => call.program));
}

function holds({ least, most, multiple }: SideRange, side: number): boolean {
  return least <= side && side <= most && side % multiple === 0;
}
