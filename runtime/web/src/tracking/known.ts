/** What is known of one thing of a clip, frame by frame. */

import type { MaskBits, ThingCells } from "./kept.ts";

/** What is known of a thing in a frame, as a byte. */
export const FRAME_STATES = { unknown: 0, absent: 1, present: 2 } as const;

/**
 * What is known of a thing, by the numbers of frames, as it is kept.
 *
 * `given` are the user's masks; `cells` what passes brought or, where passes have `begun`, the
 * user's mask as they see it, and `before` what was there until then. `ends` are touched frames at
 * which a pass ended because one was to begin there.
 */
export class KnownThing {
  readonly given = new Map<number, MaskBits>();
  cells = new Map<number, ThingCells>();
  begun = new Set<number>();
  before = new Map<number, ThingCells | undefined>();
  ends = new Set<number>();

  /** The next frame in this direction from which passes have begun. */
  stop(number: number, direction: number): number | null {
    const beyond = [...this.begun].filter((other) => (other - number) * direction > 0);
    const [nearest] = beyond.sort((a, b) => Math.abs(a - number) - Math.abs(b - number));
    return nearest ?? null;
  }

  /**
   * The touched frame from which what is known of `at` was carried, for a pass from `number`: the
   * one beyond `at`, or behind `number` where there is none; null for none.
   */
  source(number: number, at: number): number | null {
    return this.stop(number, at - number) ?? this.stop(number, number - at);
  }

  /** Whether a frame between two is touched, so that passes from there are still to come. */
  isRenewedBetween(number: number, at: number): boolean {
    const [low, high] = [Math.min(number, at), Math.max(number, at)];
    const waiting = [...this.given.keys()].filter((other) => {
      return low < other && other < high && !this.begun.has(other);
    });
    for (const other of waiting) this.ends.add(other);
    return waiting.length > 0;
  }

  /** One of FRAME_STATES for each frame of a clip of so many. */
  states(length: number): Uint8Array {
    const states = new Uint8Array(length);
    const { absent, present } = FRAME_STATES;
    for (const [number, cells] of this.cells) states[number] = cells.present ? present : absent;
    for (const [number, { window }] of this.given) {
      const [left, , right] = window;
      states[number] = left < right ? present : absent;
    }
    return states;
  }

  forgetWay(): void {
    this.cells = new Map();
    this.before = new Map();
    this.begun = new Set();
    this.ends = new Set();
  }
}
