/** A clip that is open for gestures on any frame, and a camera's frames, each seen once. */

import { FrameError, GestureError, SessionClosed } from "./errors.ts";
import { FrameSession, type OpenClip, type ThingState } from "./frameSession.ts";
import type { FramePicture } from "./image/photo.ts";
import type { Size } from "./rectangles.ts";
import { frameResult, type FrameResult } from "./tracking/results.ts";
import { transferred, type Connection } from "./worker/connection.ts";
import type { LoadProgress } from "./worker/protocol.ts";

/** A clip's frames, of one size, at random access. */
export interface FrameSource {
  /** Of each frame, in pixels. */
  readonly size: Size;
  readonly length: number;
  /**
   * A frame, from 0, upright; the clip closes it.
   *
   * Frames are asked for one at a time, in the order of need: from a touched one on, then back.
   */
  frame(number: number): Promise<FramePicture>;
}

export interface VideoOptions {
  /** Told of what only clips need, which is fetched, opened and verified with the first. */
  onProgress?: (progress: LoadProgress) => void;
  signal?: AbortSignal;
}

/**
 * A clip: things are marked on any of its frames, and carried to all others.
 *
 * Frames are read when they are needed, in any order, and not kept but for the one that is open for
 * gestures. Of each frame and thing that is carried half a kilobyte is kept, until `close`.
 * What is asked is answered in its order; all reject with `SessionClosed` after `close`.
 */
export class VideoSession {
  private readonly open: OpenedClip;

  /** Clips are opened by `TapSegmenter.openVideo`. */
  constructor(
    private readonly connection: Connection,
    clip: number,
    private readonly frames: FrameSource,
  ) {
    this.open = new OpenedClip(connection, clip);
    connection.giveFrames(clip, (number) => frames.frame(number));
  }

  /** How many frames there are. */
  get length(): number {
    return this.frames.length;
  }

  /** The size of each frame. */
  get size(): Size {
    return this.frames.size;
  }

  /** The numbers of the frames that were touched, in the order of the clip. */
  get touched(): readonly number[] {
    return this.open.touched;
  }

  /** How many things there are. */
  get things(): number {
    return this.open.things;
  }

  /** How many bytes masks, keys and values, and the open frame take; 0 once closed. */
  get nbytes(): number {
    return this.open.nbytes;
  }

  /**
   * A frame, from 0, for gestures on one of the things, which are numbered from 0, too.
   *
   * Throws `FrameError` for a number that is none of the clip's; gestures on a thing that would
   * leave a gap reject with `GestureError`.
   */
  frame(number: number, thing = 0): FrameSession {
    this.checkNumber(number);
    return new FrameSession(this.open, number, thing);
  }

  /**
   * Carry what was touched since the last time; each frame in which something is new.
   *
   * A touched frame is carried in both directions; the frame itself comes first, then those after
   * it, then those before it, the nearest first. A thing changes up to the next frame on either
   * side that was touched for it, where what was there is merged with what is new; touched frames
   * never change, nor do other things. Whoever leaves the loop, or aborts, which rejects with the
   * signal's reason after a frame, keeps what came; the next call goes on where it was left, then
   * carries what was touched meanwhile. Where a touch was taken back that had been carried, all
   * others are carried anew.
   *
   * Rejects with `GestureError` where nothing is touched, and with whatever a frame rejects with;
   * the next call then carries the same touched frame again.
   */
  async *propagate({ signal }: { signal?: AbortSignal } = {}): AsyncGenerator<FrameResult, void> {
    this.open.checkOpen();
    if (this.touched.length === 0) {
      throw new GestureError("Nothing is marked in this clip; tap on one of its frames first.");
    }
    for (;;) {
      signal?.throwIfAborted();
      const advanced = await this.connection.ask("advance", this.open.clip);
      if (advanced === null) return;
      const { answer, nbytes } = advanced;
      this.open.nbytes = nbytes;
      this.open.carried(answer.number, (thing) => answer.things[thing]?.touched ?? false);
      yield frameResult(answer);
    }
  }

  /** What is known of a frame now; null if that is nothing. Throws as `frame` does. */
  async result(number: number): Promise<FrameResult | null> {
    this.checkNumber(number);
    const answer = await this.connection.ask("frameResult", { clip: this.open.clip, number });
    return answer === null ? null : frameResult(answer);
  }

  /**
   * What is known of all frames now: for each thing one of `FRAME_STATES` for each frame.
   *
   * After a touch was taken back that had been carried, other frames are known until `propagate`
   * goes on, which carries all anew. Rejects with `SessionClosed` once it is closed.
   */
  async states(): Promise<readonly Uint8Array[]> {
    return this.connection.ask("frameStates", this.open.clip);
  }

  /** Free the memory; closing twice is fine. */
  close(): void {
    this.open.close();
  }

  private checkNumber(number: number): void {
    if (Number.isInteger(number) && number >= 0 && number < this.length) return;
    throw new FrameError(
      `There is no frame ${number}; the clip has ${this.length}, numbered from 0.`,
    );
  }
}

/**
 * Frames that come one after another; gestures are for the newest, and for thing 0.
 *
 * Of frames nothing is kept but the newest, and a memory of a fixed size. What is marked on a frame
 * is followed from the next `push` on. A thing that is added later makes the others go on from where
 * they are: their memory begins anew.
 */
export class StreamSession extends FrameSession {
  private readonly newest: OpenedClip;

  /** Streams are opened by `TapSegmenter.openStream`. */
  constructor(
    private readonly connection: Connection,
    clip: number,
  ) {
    const newest = new OpenedClip(connection, clip);
    super(newest, null, 0);
    this.newest = newest;
  }

  /**
   * The things in the next frame, which is closed; null while nothing is marked.
   *
   * Rejects with `FrameError` for another size than the first one's.
   */
  async push(frame: FramePicture): Promise<FrameResult | null> {
    try {
      const request = { clip: this.newest.clip, frame };
      const transfer = transferred(frame);
      const answer = await this.connection.ask("push", request, { transfer });
      this.newest.carried(null, () => false);
      return answer === null ? null : frameResult(answer);
    } finally {
      // One that could not be handed over is still here.
      if ("close" in frame) frame.close();
    }
  }

  /** Another thing, from 0, for gestures on the newest frame, whichever that is then. */
  thing(which: number): FrameSession {
    return new FrameSession(this.newest, null, which);
  }

  /** Free the memory; closing twice is fine. */
  close(): void {
    this.newest.close();
  }
}

/** What is known of a clip here: of the frame that is open its things, and which were touched. */
class OpenedClip implements OpenClip {
  touched: readonly number[] = [];
  private number: number | null = null;
  private readonly states = new Map<number, ThingState>();
  things = 0;
  nbytes = 0;
  private isClosed = false;

  constructor(
    readonly connection: Connection,
    private readonly name: number,
  ) {}

  get clip(): number {
    this.checkOpen();
    return this.name;
  }

  /** Throws `SessionClosed` once it is closed. */
  checkOpen(): void {
    if (this.isClosed) throw new SessionClosed("The clip is closed; open it again.");
  }

  state(number: number | null, thing: number): ThingState | undefined {
    return number === this.number ? this.states.get(thing) : undefined;
  }

  keep(number: number | null, thing: number, state: ThingState): void {
    if (number !== this.number) this.states.clear();
    this.number = number;
    this.states.set(thing, state);
    this.touched = state.moved.touched;
    this.things = state.moved.things;
    this.nbytes = state.moved.nbytes;
  }

  dropUndone(): void {
    for (const [thing, { moved }] of this.states) {
      if (!moved.canUndo && moved.canRedo) this.states.delete(thing);
    }
  }

  /** A frame has new masks: what is open of it begins from these, where it was not touched. */
  carried(number: number | null, isTouched: (thing: number) => boolean): void {
    if (number !== this.number) return;
    for (const thing of this.states.keys()) if (!isTouched(thing)) this.states.delete(thing);
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    [this.things, this.nbytes] = [0, 0];
    this.states.clear();
    this.connection.dropFrames(this.name);
    // Nobody waits for the answer; a worker that was ended needs none.
    this.connection.ask("closeClip", this.name).catch(() => undefined);
  }
}
