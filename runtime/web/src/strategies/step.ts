/** What a thing is after some gestures. */

import type { Own } from "../answer/correction.ts";
import type { Mark } from "../answer/marks.ts";
import { stateArrays, type MaskState } from "../answer/maskState.ts";
import type { Gesture } from "../answer/prompt.ts";
import type { Answer, Candidate, ComputedRegion } from "../answer/result.ts";
import type { PlacedTile } from "../image/geometry.ts";
import type { Box, Size } from "../rectangles.ts";
import type { Timings } from "../timing.ts";

/** The name by which a bundle's guided look is asked for, and that its results have. */
export const GUIDED = "guided";

/**
 * A thing after some gestures; it never changes.
 *
 * `given` is the mask that it began with, if it did not begin with a gesture. `view` is the tile
 * that was corrected last, `marks` are the gestures there, and `own` is what TraceNet's own masks
 * say of them, with what was given. A mask that was given has no tile. The rest is as in `Answer`.
 */
export interface Step {
  readonly gestures: readonly Gesture[];
  readonly given: MaskState | null;
  readonly mask: MaskState;
  readonly view: PlacedTile | null;
  readonly marks: readonly Mark[];
  readonly own: Own;
  readonly score: number;
  readonly level: string;
  readonly candidates: readonly Candidate[];
  readonly box: Box;
  readonly window: string;
  readonly canvas: Size;
  readonly macs: number;
  readonly regions: readonly ComputedRegion[];
  readonly obeyed: boolean | null;
  readonly timings: Timings;
}

/** What it keeps, and other steps may share. */
export function stepArrays({ given, mask, own }: Step): (Float32Array | Uint8Array)[] {
  const begun = given === null ? [] : stateArrays(given);
  return [...begun, ...stateArrays(mask), own.positive, own.negative];
}

/** What the app gets. */
export function answerOf({ mask, view, window, timings, ...step }: Step): Answer {
  const { photo } = mask;
  const whole = [0, 0, photo.width, photo.height];
  const isWhole = view === null || view.tile.every((side, i) => side === whole[i]);
  return {
    photo,
    probability: mask,
    score: step.score,
    level: step.level,
    box: step.box,
    candidates: step.candidates,
    schedule: GUIDED,
    maskWindow: window,
    canvas: step.canvas,
    macs: step.macs,
    tile: isWhole ? null : view.tile,
    regions: step.regions,
    obeyed: step.obeyed,
    timingsMs: timings,
  };
}
