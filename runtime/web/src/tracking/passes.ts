/** Masks carried through a clip from frames that the user touched, in both directions. */

import { GestureError } from "../errors.ts";
import type { Pixels } from "../image/pixels.ts";
import type { Size } from "../rectangles.ts";
import { GroupTracker } from "./groups.ts";
import {
  isSameMask,
  keep,
  keepMask,
  maskOfBits,
  thingOf,
  unpacked,
  unpackedMask,
  type MaskBits,
  type ThingCells,
} from "./kept.ts";
import { KnownThing } from "./known.ts";
import { TOUCHED_SLOTS } from "./memory.ts";
import {
  carriedThing,
  touchedThing,
  UNKNOWN,
  type FrameAnswer,
  type ThingAnswer,
} from "./results.ts";
import type { FollowRule } from "./tile.ts";
import { trackedMask, type Tracked } from "./tracked.ts";
import type { Change, TrackNetwork } from "./tracker.ts";

/** A clip's frames, of one size, at random access. */
export interface ClipFrames {
  readonly size: Size;
  readonly length: number;
  frame(number: number): Promise<Pixels>;
}

/**
 * A touched frame from which things are to be carried.
 *
 * `given` are the masks that the frame had when these were touched, if it was touched for them until
 * then, and `old` what the things were in all frames before they are carried. One that `isWhole` is
 * carried as if no other were still to come.
 */
interface Job {
  readonly number: number;
  readonly things: Set<number>;
  readonly given: Map<number, MaskBits | undefined>;
  readonly isWhole: boolean;
  old: ReadonlyMap<number, ReadonlyMap<number, ThingCells>> | null;
}

/**
 * The things of a clip, frame by frame, as they are known so far.
 *
 * A frame is touched for each thing by itself: the passes from there change that thing alone, up to
 * the frames next to it that are touched for it. What else is seen there runs along, so that things
 * do not take each other's place, but keeps its masks.
 */
export class ClipPasses<F> {
  private readonly known: KnownThing[] = [];
  /** The frames that the user touched, in the order in which that was. */
  private order: number[] = [];
  private due: Job[] = [];
  private running: { readonly job: Job; readonly frames: AsyncGenerator<number> } | null = null;
  private tracker: {
    readonly together: readonly number[];
    readonly tracker: GroupTracker<F>;
  } | null = null;
  private isAnew = false;

  constructor(
    private readonly network: TrackNetwork<F>,
    private readonly frames: ClipFrames,
    private readonly rule: FollowRule,
  ) {}

  /** How many things there are. */
  get things(): number {
    return this.known.length;
  }

  /** The numbers of the frames that the user touched, in the order of the clip. */
  get touched(): number[] {
    return [...this.order].sort((a, b) => a - b);
  }

  /** Size in bytes of the masks of all frames, and of the memory. */
  get nbytes(): number {
    let sum = this.tracker?.tracker.nbytes ?? 0;
    for (const { given, before, cells } of this.known) {
      for (const { bits } of given.values()) sum += bits.length;
      for (const kept of [...before.values(), ...cells.values()]) sum += kept?.cells.length ?? 0;
    }
    return sum;
  }

  /** Whether the user touched a frame for a thing. */
  isTouched(number: number, which: number): boolean {
    return this.known[which]?.given.has(number) ?? false;
  }

  /** Throw a `GestureError` for a thing that would leave a gap in the numbers. */
  checkThing(which: number): void {
    checkThing(which, this.things);
  }

  /** Take the user's mask of a thing, not 0 inside, for a frame's; `advance` then carries it. */
  async touch(number: number, which: number, mask: Uint8Array): Promise<void> {
    this.checkThing(which);
    const kept = await keepMask(mask, this.frames.size);
    if (which === this.things) this.known.push(new KnownThing());
    const { given } = this.known[which]!;
    const before = given.get(number);
    given.set(number, kept);
    if (!isSameMask(kept, before)) this.queue(number, which, before);
    if (!this.order.includes(number)) this.order.push(number);
  }

  /** Have a thing carried from a frame that had this mask of the user's, if any. */
  private queue(number: number, which: number, before: MaskBits | undefined): void {
    let job = this.due.find((job) => job.number === number && job.old === null);
    if (job === undefined) {
      job = { number, things: new Set(), given: new Map(), isWhole: false, old: null };
      this.due.push(job);
    }
    if (!job.things.has(which)) {
      job.things.add(which);
      job.given.set(which, before);
    } else if (isSameMask(this.known[which]!.given.get(number)!, job.given.get(which))) {
      job.things.delete(which); // it is as it was carried
      this.due = this.due.filter((job) => job.things.size > 0);
    }
  }

  /**
   * Take a touch back; the frame has again what it had before.
   *
   * Where the touch was carried already, `advance` carries all others anew, each as if it had been
   * carried before the next was made.
   */
  forget(number: number, which: number): void {
    const thing = this.known[which];
    if (!thing?.given.delete(number)) return;
    for (const job of this.due) if (job.number === number) job.things.delete(which);
    this.due = this.due.filter((job) => job.things.size > 0);
    if (thing.begun.has(number) || thing.ends.has(number)) {
      [this.isAnew, this.running, this.tracker] = [true, null, null];
    }
    if (thing.begun.delete(number)) {
      const before = thing.before.get(number);
      thing.before.delete(number);
      if (before === undefined) thing.cells.delete(number);
      else thing.cells.set(number, before);
    }
    if (!this.known.some(({ given }) => given.has(number))) {
      this.order = this.order.filter((other) => other !== number);
    }
    while (this.known.at(-1)?.given.size === 0) this.known.pop();
  }

  /**
   * Carry what was touched to one more frame; the frame's number, null if all is done.
   *
   * Touched frames are carried one after another, in the order in which they were touched, up to the
   * next one or the clip's end. What the frames on the way had from another touched frame is merged
   * with what the pass gives. An error leaves what was carried; the next call begins again with the
   * same touched frame, and comes to the same result.
   */
  async advance(): Promise<number | null> {
    for (;;) {
      if (this.running === null) {
        this.renew();
        const job = this.due.shift();
        if (job === undefined) return null;
        this.running = { job, frames: this.carry(job) };
      }
      const { job, frames } = this.running;
      try {
        const next = await frames.next();
        if (!next.done) return next.value;
        this.running = null;
      } catch (error) {
        this.running = null;
        this.due.unshift(job);
        throw error;
      }
    }
  }

  /** A thing's mask in a frame: 1 inside, row by row; null where it is not known. */
  async mask(number: number, which: number): Promise<Uint8Array | null> {
    const thing = this.known[which];
    const given = thing?.given.get(number);
    if (given !== undefined) return maskOfBits(await unpackedMask(given), this.frames.size);
    const cells = thing?.cells.get(number);
    return cells === undefined ? null : trackedMask(await this.unpacked(cells));
  }

  /** What is known of a frame; null if that is nothing. */
  async result(number: number): Promise<FrameAnswer | null> {
    const things = await Promise.all(this.known.map((thing) => this.answer(number, thing)));
    const { size } = this.frames;
    return things.some(({ known }) => known) ? { number, size, things } : null;
  }

  /** What is known of each thing, one of FRAME_STATES for each frame. */
  states(): Uint8Array[] {
    return this.known.map((thing) => thing.states(this.frames.length));
  }

  private async answer(number: number, { given, cells }: KnownThing): Promise<ThingAnswer> {
    const [mask, carried] = [given.get(number), cells.get(number)];
    if (mask !== undefined) return touchedThing(await unpackedMask(mask));
    if (carried === undefined) return UNKNOWN;
    const inside = await unpacked(carried);
    return carriedThing(thingOf(inside, this.frames.size), inside);
  }

  private async unpacked(cells: ThingCells): Promise<Tracked> {
    return thingOf(await unpacked(cells), this.frames.size);
  }

  /** After a touch was taken back that others may have been merged with. */
  private renew(): void {
    if (!this.isAnew) return;
    this.isAnew = false;
    for (const thing of this.known) thing.forgetWay();
    this.due = this.order.map((number) => {
      const touched = [...this.known.keys()].filter((which) => this.isTouched(number, which));
      return { number, things: new Set(touched), given: new Map(), isWhole: true, old: null };
    });
  }

  /** Gives the number of every frame in which a thing is new, that of the touched one first. */
  private async *carry(job: Job): AsyncGenerator<number> {
    const { number } = job;
    const fresh = [...job.things].sort((a, b) => a - b);
    const seen = await this.seen(number, fresh);
    const together = [...seen.keys()];
    const masks = [...seen.values()];
    const tracker = await this.trackerOf(together, number);
    job.old ??= new Map(fresh.map((which) => [which, new Map(this.known[which]!.cells)]));
    const { old } = job;
    const touched = await tracker.touch(number, await this.frames.frame(number), masks);
    const changes = new Map<number, Change>();
    for (const which of fresh) {
      const thing = this.known[which]!;
      const place = together.indexOf(which);
      const before = old.get(which)!.get(number);
      if (before !== undefined) {
        changes.set(which, tracker.change(place, await this.unpacked(before)));
      }
      if (!thing.begun.has(number)) thing.before.set(number, before);
      thing.cells.set(number, await keep(touched[place]!));
      thing.begun.add(number);
    }
    yield number;
    for (const direction of [1, -1]) {
      if (direction < 0) await tracker.touch(number, await this.frames.frame(number), masks);
      for (let at = number + direction; at >= 0 && at < this.frames.length; at += direction) {
        const going = fresh.filter((which) => this.reaches(job, which, at));
        if (going.length === 0) break;
        const frame = await this.frames.frame(at);
        const found = await tracker.step(at, frame);
        for (const which of going) {
          const place = together.indexOf(which);
          const change = changes.get(which);
          const there = old.get(which)!.get(at);
          const source = this.known[which]!.source(number, at);
          let thing = found[place]!;
          if (change !== undefined && source !== null && there !== undefined) {
            const [away, other] = [Math.abs(at - number), Math.abs(at - source)];
            const distances = [away / (away + other), other / (away + other)] as const;
            const before = await this.unpacked(there);
            thing = await tracker.fuse(place, frame, before, change, distances);
          }
          this.known[which]!.cells.set(at, await keep(thing));
        }
        if (going.some((which) => !this.isTouched(at, which))) yield at;
      }
    }
  }

  /**
   * Whether a pass brings a thing to a frame: there is no frame before it from which passes have
   * begun, or are to begin.
   */
  private reaches({ number, isWhole }: Job, which: number, at: number): boolean {
    const thing = this.known[which]!;
    const stop = thing.stop(number, at - number);
    if (stop !== null) return Math.abs(at - number) < Math.abs(stop - number);
    // What lies beyond a frame that is still to come is better carried from there.
    return isWhole || !thing.isRenewedBetween(number, at);
  }

  /** The masks of a frame, of new things and of all others that are seen there. */
  private async seen(number: number, fresh: readonly number[]): Promise<Map<number, Uint8Array>> {
    const masks = new Map<number, Uint8Array>();
    for (const which of this.known.keys()) {
      const mask = await this.mask(number, which);
      if (mask !== null && (fresh.includes(which) || mask.includes(1))) masks.set(which, mask);
    }
    return masks;
  }

  /** The tracker that remembers what was touched so far, for those of these things. */
  private async trackerOf(together: readonly number[], number: number): Promise<GroupTracker<F>> {
    if (this.tracker?.together.join() === together.join()) return this.tracker.tracker;
    const tracker = new GroupTracker(this.network, together.length, this.rule);
    const others = this.order.filter((other) => other !== number);
    for (const place of others.slice(1 - TOUCHED_SLOTS)) {
      if (!together.some((which) => this.known[which]!.begun.has(place))) continue;
      const found = await Promise.all(together.map((which) => this.mask(place, which)));
      const masks = found.filter((mask) => mask !== null);
      if (masks.length < together.length) continue;
      await tracker.touch(place, await this.frames.frame(place), masks);
    }
    this.tracker = { together, tracker };
    return tracker;
  }
}

/** Throw a `GestureError` for a thing that leaves a gap after so many. */
export function checkThing(which: number, things: number): void {
  if (Number.isInteger(which) && which >= 0 && which <= things) return;
  throw new GestureError(
    `Things are numbered from 0 without gaps: the next new one is thing ${things}, not ${which}.`,
  );
}
