/** A camera's frames, each seen once, in the worker. */

import { FrameError } from "../errors.ts";
import type { Pixels } from "../image/pixels.ts";
import type { Size } from "../rectangles.ts";
import { GroupTracker } from "../tracking/groups.ts";
import { checkThing } from "../tracking/passes.ts";
import { carriedThing, type FrameAnswer } from "../tracking/results.ts";
import type { FollowRule } from "../tracking/tile.ts";
import { trackedMask, type Tracked } from "../tracking/tracked.ts";
import type { TrackNetwork } from "../tracking/tracker.ts";
import type { OpenView } from "./localVideo.ts";
import { LocalFrame, OpenFrame, type FrameHost, type OpenThing } from "./openFrame.ts";

/**
 * Frames that come one after another; gestures are for the newest.
 *
 * Of frames nothing is kept but the newest, and the memory of a fixed size. What is marked on a
 * frame is followed from the next `push` on. A thing that is added later makes the others go on
 * from where they are: their memory begins anew.
 */
export class LocalStream<F> implements FrameHost {
  private number = -1;
  private photo: Pixels | null = null;
  private frame: OpenFrame | null = null;
  private readonly given = new Map<number, Uint8Array>();
  private found: readonly Tracked[] = [];
  private tracker: GroupTracker<F> | null = null;

  constructor(
    private readonly openView: OpenView,
    private readonly network: TrackNetwork<F>,
    private readonly rule: FollowRule,
  ) {}

  /** A thing in the newest frame, for gestures. */
  thing(_: number | null, which: number): LocalFrame {
    return new LocalFrame(this, null, which);
  }

  /** The things in the next frame; null while nothing is marked. */
  async push(photo: Pixels): Promise<FrameAnswer | null> {
    checkFrame(photo, this.photo ?? photo);
    await this.follow();
    [this.number, this.photo, this.frame] = [this.number + 1, photo, null];
    if (this.tracker === null) return null;
    this.found = await this.tracker.step(this.number, photo);
    const size = { height: photo.height, width: photo.width };
    const things = this.found.map((thing) => carriedThing(thing, thing));
    return { number: this.number, size, things };
  }

  get nbytes(): number {
    const memory = this.tracker?.nbytes ?? 0;
    return (this.photo?.data.length ?? 0) + memory + (this.frame?.nbytes ?? 0);
  }

  /** None: of the frames before the newest nothing is known. */
  get touched(): number[] {
    return [];
  }

  opened(_: null, which: number): OpenThing | undefined {
    return this.frame?.get(which);
  }

  async open(_: null, which: number): Promise<OpenThing> {
    if (this.photo === null) {
      throw new FrameError("There is no frame yet; push one, then tap on it.");
    }
    checkThing(which, this.things);
    this.frame ??= new OpenFrame(this.number, await this.openView(this.photo));
    return this.frame.thing(which, this.mask(which), this.given.has(which));
  }

  async touch(_: null, which: number, mask: Uint8Array): Promise<void> {
    this.given.set(which, mask);
  }

  untouch(_: null, which: number): void {
    this.given.delete(which);
  }

  forget(number: null, which: number): void {
    this.untouch(number, which);
    this.frame?.keep((other) => other !== which);
  }

  private mask(which: number): Uint8Array | null {
    const found = this.found[which];
    return this.given.get(which) ?? (found === undefined ? null : trackedMask(found));
  }

  /** How many things there are. */
  get things(): number {
    return Math.max(this.found.length, ...[...this.given.keys()].map((which) => which + 1));
  }

  /** Follow what was marked on the newest frame, which another is about to replace. */
  private async follow(): Promise<void> {
    if (this.photo === null || this.given.size === 0) return;
    const nowhere = new Uint8Array(this.photo.height * this.photo.width);
    const masks = Array.from({ length: this.things }, (_, which) => this.mask(which) ?? nowhere);
    if (this.tracker === null || masks.length !== this.found.length) {
      this.tracker = new GroupTracker(this.network, masks.length, this.rule);
    }
    await this.tracker.touch(this.number, this.photo, masks);
    this.given.clear();
  }
}

/** Throw a `FrameError` for a frame of another size than the clip's. */
export function checkFrame(frame: Size, { height, width }: Size): void {
  if (frame.height === height && frame.width === width) return;
  throw new FrameError(
    `All frames must be of one size, ${width} x ${height} pixels, not ${frame.width} x ` +
      `${frame.height}; resize them.`,
  );
}
