/** A clip that is open for gestures on any frame, in the worker. */

import type { Pixels } from "../image/pixels.ts";
import type { View } from "../strategies/strategy.ts";
import { ClipPasses, type ClipFrames } from "../tracking/passes.ts";
import type { FrameAnswer } from "../tracking/results.ts";
import type { FollowRule } from "../tracking/tile.ts";
import type { TrackNetwork } from "../tracking/tracker.ts";
import { LocalFrame, OpenFrame, type FrameHost, type OpenThing } from "./openFrame.ts";

/** Computes what all gestures on a photo share. */
export type OpenView = (photo: Pixels) => Promise<View>;

/**
 * A clip: things are marked on any of its frames, and carried to all others.
 *
 * Frames are read when they are needed, in any order, and not kept but for the one that is open for
 * gestures.
 */
export class LocalVideo<F> implements FrameHost {
  private readonly passes: ClipPasses<F>;
  private frame: OpenFrame | null = null;

  constructor(
    private readonly openView: OpenView,
    network: TrackNetwork<F>,
    private readonly frames: ClipFrames,
    rule: FollowRule,
  ) {
    this.passes = new ClipPasses(network, frames, rule);
  }

  /** A thing in a frame, for gestures. */
  thing(number: number | null, which: number): LocalFrame {
    return new LocalFrame(this, number, which);
  }

  /** The numbers of the frames that were touched, in the order of the clip. */
  get touched(): number[] {
    return this.passes.touched;
  }

  /** How many things there are. */
  get things(): number {
    return this.passes.things;
  }

  get nbytes(): number {
    return (this.frame?.nbytes ?? 0) + this.passes.nbytes;
  }

  /** Carry what was touched to one more frame; what is known there, null if all is done. */
  async advance(): Promise<FrameAnswer | null> {
    const number = await this.passes.advance();
    if (number === null) return null;
    // What is open of the frame begins from its new mask, where it was not touched.
    if (this.frame?.number === number) {
      this.frame.keep((which) => this.passes.isTouched(number, which));
    }
    return this.passes.result(number);
  }

  /** What is known of a frame now; null if that is nothing. */
  result(number: number): Promise<FrameAnswer | null> {
    return this.passes.result(number);
  }

  /** What is known of each thing, one of FRAME_STATES for each frame. */
  states(): Uint8Array[] {
    return this.passes.states();
  }

  opened(number: number, which: number): OpenThing | undefined {
    return this.frame?.number === number ? this.frame.get(which) : undefined;
  }

  async open(number: number, which: number): Promise<OpenThing> {
    const { passes } = this;
    passes.checkThing(which);
    if (this.frame?.number !== number) {
      this.frame = null; // its arrays are free while the next ones are computed
      const view = await this.openView(await this.frames.frame(number));
      this.frame = new OpenFrame(number, view);
    }
    const mask = await passes.mask(number, which);
    return this.frame!.thing(which, mask, passes.isTouched(number, which));
  }

  touch(number: number, which: number, mask: Uint8Array): Promise<void> {
    return this.passes.touch(number, which, mask);
  }

  untouch(number: number, which: number): void {
    this.passes.forget(number, which);
  }

  forget(number: number, which: number): void {
    this.untouch(number, which);
    // Things may be gone with it, whose gestures would else come back.
    const { frame } = this;
    frame?.keep((other) => {
      const isForgotten = frame.number === number && other === which;
      return !isForgotten && this.passes.isTouched(frame.number, other);
    });
  }
}
