/** What a tap gives: the thing under it, in photo pixels. */

import { maskAt, type ProbabilityMap } from "../image/mask.ts";
import type { Box, Size } from "../rectangles.ts";
import { stateMaskAt, type MaskState } from "./maskState.ts";

/** The level of a mask that no look answered. */
export const GIVEN = "given";

/** What one level says; the box is in photo pixels, clipped to the photo. */
export interface Candidate {
  readonly level: string;
  readonly score: number;
  readonly box: Box;
}

/** A window that a program of the tap read, as the receptive-field table placed it. */
export interface ComputedRegion {
  readonly program: string;
  /** In photo pixels, clipped to the photo; of a zoom, each look's windows on what it looked at. */
  readonly box: Box;
  /** 0 for a first look (or the only one), 1 for closer looks and corrections. */
  readonly look: number;
}

/** What says of every place of a photo whether it belongs to the thing. */
export type Probability = ProbabilityMap | MaskState;

/** The mask in a picture of the whole photo of this size: 1 inside, row by row. */
export function maskOf(probability: Probability, target: Size): Uint8Array {
  return "layers" in probability
    ? stateMaskAt(probability, target)
    : maskAt(probability, target);
}

/**
 * A tap's result before its mask is made; it can be posted to the page.
 *
 * Of a guided look, `probability` is the mask so far, `maskWindow` its phase, `canvas` and `tile`
 * those of the tile that it corrects, and the stages are canvas, tap (looks), encode (a tile),
 * correction, mask and total. Score, level and candidates stay those of the look that the thing
 * began with (1, `GIVEN` and none for a mask that was given); `box` is that look's until something
 * is corrected, then it is about the mask.
 */
export interface Answer extends Candidate {
  /** The size of the whole photo. */
  readonly photo: Size;
  /** What it says of every place of the photo, as the network gives it. */
  readonly probability: Probability;
  /** Every level that was asked, the best first. */
  readonly candidates: readonly Candidate[];
  /** The schedule that answered, or the strategy, if that has a name. */
  readonly schedule: string;
  /** The window that the mask was computed in. */
  readonly maskWindow: string;
  /** That of the look that answered. */
  readonly canvas: Size;
  /** Multiply-adds behind the answer, without those that a session ran once for the photo. */
  readonly macs: number;
  /** Of a zoom that looked twice: what the closer look saw, in photo pixels. */
  readonly tile: Box | null;
  /** In the order in which they were read. */
  readonly regions: readonly ComputedRegion[];
  /**
   * Whether the newest gesture had its label before it was forced; null where nothing was corrected.
   */
  readonly obeyed: boolean | null;
  /** Milliseconds by stage: canvas, cut, engine/<program>, mask, and total, which covers all. */
  readonly timingsMs: Readonly<Record<string, number>>;
}

/** The thing under a tap. */
export interface TapResult extends Answer {
  /** 1 in the thing, 0 elsewhere: photo.height * photo.width, row by row; made at the first use. */
  readonly mask: Uint8Array;
  /** The mask at another size of the whole photo, such as that of a preview. */
  maskAt(height: number, width: number): Uint8Array;
}

/** The result of an answer. */
export function tapResult(answer: Answer): TapResult {
  return Object.assign(new Masks(answer.probability), answer);
}

class Masks {
  private whole: Uint8Array | null = null;

  constructor(private readonly probability: Probability) {}

  get mask(): Uint8Array {
    this.whole ??= maskOf(this.probability, this.probability.photo);
    return this.whole;
  }

  maskAt(height: number, width: number): Uint8Array {
    return maskOf(this.probability, { height, width });
  }
}
