/** Gestures on frames, answered one after the other, and what is known of each frame. */

import type {
  FrameResult,
  FrameSession,
  Size,
  TapResult,
  ThingResult,
  VideoSession,
} from "../../src/index.ts";
import type { Editing, State } from "../edits.ts";
import type { Masked, Things } from "../scene.ts";
import type { Point } from "../viewport.ts";

export class ClipEdits {
  private queue: Promise<unknown> = Promise.resolve();
  /** How much is asked that is not answered yet, but for candidates. */
  private asked = 0;

  /** @param onChange is called with the number of a frame whose gestures have changed */
  constructor(
    private readonly video: VideoSession,
    private readonly onChange: (number: number) => Promise<void>,
  ) {}

  /** The gestures on one thing in one frame. */
  on(number: number, thing: number): Editing {
    const change = (work: (session: FrameSession) => Promise<unknown>): Promise<State | null> => {
      this.asked++;
      return this.inTurn(async () => {
        await work(this.video.frame(number, thing));
        await this.onChange(number);
        return this.stateOf(number, thing);
      }).finally(() => this.asked--);
    };
    return {
      isGuided: true,
      make: (gesture, level) => change((session) => session.make(gesture, level ?? undefined)),
      undo: () => change((session) => session.undo()),
      redo: () => change((session) => session.redo()),
      clear: () => change((session) => session.clear()),
      candidate: (at, level) => this.candidate(number, thing, at, level),
    };
  }

  /** What a level of the first tap would give; null where something else has been asked. */
  private candidate(
    number: number,
    thing: number,
    at: Point,
    level: string,
  ): Promise<TapResult | null> {
    return this.inTurn(async () => {
      const session = this.video.frame(number, thing);
      // Once another frame is open nothing is known of this one's gestures.
      if (this.asked > 0 || session.result === null) return null;
      return session.candidate(at.x, at.y, level);
    });
  }

  /** Waits until all that was asked so far is answered. */
  async answered(): Promise<void> {
    await this.queue;
  }

  /** What is shown of a frame, for gestures on one thing. */
  async state(number: number, thing: number): Promise<State> {
    return this.inTurn(() => this.stateOf(number, thing));
  }

  /** The masks of all things in a frame. */
  things(number: number): Promise<Things> {
    return this.inTurn(async () => this.masksOf(await this.video.result(number)));
  }

  private async stateOf(number: number, thing: number): Promise<State> {
    const found = await this.video.result(number);
    const known = found?.things[thing];
    // The session begins anew where the thing was carried to, but is not seen.
    const isBegun = known !== undefined && (known.touched || known.mask.includes(1));
    const { result, gestures, canUndo, canRedo } = this.video.frame(number, thing);
    const canClear = canRedo || (known?.touched ?? false);
    const things = this.masksOf(found);
    return { result, things, isBegun, gestures, canUndo, canRedo, canClear };
  }

  private masksOf(result: FrameResult | null): Things {
    if (result !== null) return result.things.map((thing) => maskedOf(thing, result.size));
    return this.video.touched.length > 0 ? [null] : [];
  }

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.queue.then(work);
    this.queue = done.catch(() => undefined);
    return done;
  }
}

/** A thing's mask at any size; null of one of which nothing is known. */
function maskedOf(thing: ThingResult, size: Size): Masked | null {
  if (!thing.known) return null;
  return {
    maskAt: (height, width) => nearest(thing.mask, size, { height, width }),
  };
}

/** A mask at another size: that of the pixels whose middles are nearest. */
export function nearest(mask: Uint8Array, from: Size, to: Size): Uint8Array {
  if (from.height === to.height && from.width === to.width) return mask;
  const columns = Uint32Array.from({ length: to.width }, (_, x) =>
    Math.floor(((x + 0.5) * from.width) / to.width),
  );
  const scaled = new Uint8Array(to.height * to.width);
  for (let y = 0; y < to.height; y++) {
    const row = Math.floor(((y + 0.5) * from.height) / to.height) * from.width;
    for (let x = 0; x < to.width; x++) {
      scaled[y * to.width + x] = mask[row + (columns[x] as number)] as number;
    }
  }
  return scaled;
}
