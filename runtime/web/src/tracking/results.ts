/** What a clip's frames give: the things in them. */

import type { Box, Size } from "../rectangles.ts";
import { maskOfBits, thingOf, type MaskBits, type ThingCells } from "./kept.ts";
import { shown, trackedBox, trackedMask, type Tracked } from "./tracked.ts";

/**
 * A thing in a frame, before its mask is made; it can be posted to the page.
 *
 * Where the user `touched` it, the mask is that of the session, presence and score are 1, or 0 of
 * an empty mask.
 */
export interface ThingAnswer {
  /** The probability that it is seen there. */
  readonly presence: number;
  /** Whether it is taken to be seen; what is not has an empty mask. */
  readonly present: boolean;
  /**
   * The mean probability of the mask's cells, 0 of an empty one; it says how sure the network is of
   * the mask, not how good that is.
   */
  readonly score: number;
  /** About the mask, in frame pixels, up to a cell; null of an empty one. */
  readonly box: Box | null;
  readonly touched: boolean;
  /** Whether a pass has brought it to this frame; if not, all else reads as if it were not seen. */
  readonly known: boolean;
  /** What the mask is made of; null of an empty one. */
  readonly inside: Tracked | ThingCells | MaskBits | null;
}

/** A frame's number, from 0, and its things, in the order of theirs. */
export interface FrameAnswer {
  readonly number: number;
  readonly size: Size;
  readonly things: readonly ThingAnswer[];
}

/** A thing in a frame. */
export interface ThingResult extends ThingAnswer {
  /** 1 in the thing, 0 elsewhere, in frame pixels, row by row; made at the first use. */
  readonly mask: Uint8Array;
}

/** A frame of a clip. */
export interface FrameResult extends FrameAnswer {
  readonly things: readonly ThingResult[];
}

/** The result of an answer. */
export function frameResult({ number, size, things }: FrameAnswer): FrameResult {
  const made = things.map((thing) => Object.assign(new ThingMask(thing.inside, size), thing));
  return { number, size, things: made };
}

class ThingMask {
  private whole: Uint8Array | null = null;

  constructor(
    private readonly source: ThingAnswer["inside"],
    private readonly size: Size,
  ) {}

  get mask(): Uint8Array {
    this.whole ??= maskFrom(this.source, this.size);
    return this.whole;
  }
}

function maskFrom(inside: ThingAnswer["inside"], size: Size): Uint8Array {
  if (inside === null) return new Uint8Array(size.height * size.width);
  if ("bits" in inside) return maskOfBits(inside, size);
  return trackedMask("cells" in inside ? thingOf(inside, size) : inside);
}

/** A thing that a pass has brought, and what its mask is made of. */
export function carriedThing(thing: Tracked, inside: Tracked | ThingCells): ThingAnswer {
  const cells = shown(thing).filter((value) => value > 0.5);
  const score = cells.reduce((sum, value) => sum + value, 0) / Math.max(cells.length, 1);
  const { presence, present } = thing;
  return { presence, present, score, box: trackedBox(thing), touched: false, known: true, inside };
}

/** A thing whose mask the user gave. */
export function touchedThing(inside: MaskBits): ThingAnswer {
  const present = inside.bits.length > 0;
  const seen = present ? 1 : 0;
  const box = present ? inside.window : null;
  return { presence: seen, present, score: seen, box, touched: true, known: true, inside };
}

/** A thing of which nothing is known. */
export const UNKNOWN: ThingAnswer = {
  presence: 0,
  present: false,
  score: 0,
  box: null,
  touched: false,
  known: false,
  inside: null,
};
