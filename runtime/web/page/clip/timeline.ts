/** What is known of a clip's frames, for the timeline: which were touched, and what was tracked. */

import { FRAME_STATES, type FrameResult } from "../../src/index.ts";

const { unknown, absent, present } = FRAME_STATES;

/** Frames [from, to) of which the same is known, one of FRAME_STATES. */
export interface Run {
  readonly from: number;
  readonly to: number;
  readonly known: number;
}

/** All frames, by thing. */
export class Knowledge {
  /** One state for each frame, by thing. */
  private things: readonly Uint8Array[] = [];

  constructor(private readonly length: number) {}

  /** Begin anew, with what is known of all frames. */
  replace(states: readonly Uint8Array[]): void {
    this.things = states;
  }

  /** Take note of a frame's result, of things that there are. */
  learn({ number, things }: FrameResult): void {
    this.things.forEach((states, i) => {
      const thing = things[i];
      states[number] = !thing?.known ? unknown : thing.present ? present : absent;
    });
  }

  runs(thing: number): Run[] {
    return runsOf(this.things[thing] ?? new Uint8Array(this.length));
  }

  /** How many things there are. */
  get count(): number {
    return this.things.length;
  }

  /** How many frames are not known of some thing that is known of others. */
  get missing(): number {
    const marked = this.things.filter((states) => states.some((state) => state !== unknown));
    if (marked.length === 0) return this.length;
    let missing = 0;
    for (let i = 0; i < this.length; i++) {
      if (marked.some((states) => states[i] === unknown)) missing++;
    }
    return missing;
  }
}

/**
 * How many frames tracking goes through, at most: from each frame whose gestures have changed to
 * the touched ones next to it; from all that are touched, if one is not any more.
 */
export function framesToCarry(
  changed: ReadonlySet<number>,
  touched: readonly number[],
  length: number,
): number {
  const isAnew = [...changed].some((number) => !touched.includes(number));
  const from = touched.filter((number) => isAnew || changed.has(number));
  return from.reduce((sum, number) => {
    const place = touched.indexOf(number);
    return sum + (touched[place + 1] ?? length) - (touched[place - 1] ?? -1) - 1;
  }, 0);
}

/** The longest runs of equal numbers, from the first frame to the last. */
export function runsOf(known: Uint8Array): Run[] {
  const runs: Run[] = [];
  for (let from = 0, to = 1; from < known.length; to++) {
    if (to < known.length && known[to] === known[from]) continue;
    runs.push({ from, to, known: known[from] as number });
    from = to;
  }
  return runs;
}

/**
 * Where frames lie on a timeline: the middle of the first at `inset`, that of the last as far from
 * the other end, as a slider's thumb goes. In CSS pixels.
 */
export class Scale {
  constructor(
    private readonly width: number,
    private readonly inset: number,
    private readonly length: number,
  ) {}

  /** Of a frame's middle, or, with n + 0.5, between two. */
  x(number: number): number {
    const steps = Math.max(this.length - 1, 1);
    return this.inset + ((this.width - 2 * this.inset) * number) / steps;
  }

  /** Where a run of frames begins and ends: half a frame beside its outermost middles. */
  ends({ from, to }: Run): readonly [left: number, right: number] {
    const last = Math.max(this.length - 1, 0);
    return [this.x(Math.max(0, from - 0.5)), this.x(Math.min(last, to - 0.5))];
  }
}
