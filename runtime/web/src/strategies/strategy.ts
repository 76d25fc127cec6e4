/**
 * What every strategy offers.
 *
 * Adding one: its rule, a module beside this one, a kind to parse, and a line in bundle/choice.ts.
 */

import type { Viewer } from "../answer/look.ts";
import type { Answer } from "../answer/result.ts";
import { programCalls, type Schedule } from "../graph/schedule.ts";
import type { Pixels } from "../image/pixels.ts";
import type { Point } from "../rectangles.ts";
import type { Timings } from "../timing.ts";

/** A tap that is answered; its mask is not computed yet. */
export interface Answered {
  /** As `Look.result`. */
  result(timings: Timings, level?: string): Promise<Answer>;
}

/** A photo that was opened for many taps. */
export interface View {
  /** How much memory the arrays take; the photo does not count. */
  readonly nbytes: number;
  /** Multiply-adds of opening it, which its looks do not count. */
  readonly macs: number;
  /**
   * What answers a tap at a photo pixel.
   *
   * Throws `TapOutsidePhoto` for a tap that is not on the photo, a `BundleError` for an answer that
   * is not finite.
   */
  look(at: Point, timings: Timings): Promise<Answered>;
}

/** What a tap does with schedules. */
export interface Strategy {
  /** By which users ask for it; null where they name a schedule instead. */
  readonly name: string | null;
  /** What may run, each once. */
  readonly schedules: readonly Schedule[];
  /** Run once what all looks at a photo share. */
  open(viewer: Viewer, photo: Pixels, timings: Timings): Promise<View>;
}

/** The names of all programs that may run. */
export function programsOf({ schedules }: Strategy): string[] {
  const calls = schedules.flatMap(({ graph }) => graph.phases.flatMap((v) => v.calls));
  return [...new Set(programCalls(calls).map(({ program }) => program))].sort();
}
