/** The one frame of a clip whose arrays are kept, in the worker, for gestures on its things. */

import type { Gesture } from "../answer/prompt.ts";
import { maskOf, type Answer } from "../answer/result.ts";
import { GuidedView } from "../strategies/guided.ts";
import type { View } from "../strategies/strategy.ts";
import { LocalSession } from "./localSession.ts";
import type { Moved } from "./protocol.ts";

/** A thing of the frame that is open; `given` tells that its first mask is the user's. */
export interface OpenThing {
  readonly session: LocalSession;
  given: boolean;
}

/** A frame, and its things that gestures were for. */
export class OpenFrame {
  private readonly things = new Map<number, OpenThing>();

  constructor(
    readonly number: number,
    private readonly view: View,
  ) {}

  /** One of the things, if it is open. */
  get(which: number): OpenThing | undefined {
    return this.things.get(which);
  }

  /** One of the things, which begins from the mask that it has in this frame, if that is one. */
  thing(which: number, mask: Uint8Array | null, given: boolean): OpenThing {
    let opened = this.things.get(which);
    if (opened === undefined) {
      opened = { session: new LocalSession(this.view), given };
      const isCorrected = this.view instanceof GuidedView && mask !== null;
      if (isCorrected && (given || mask.includes(1))) opened.session.startFrom(mask);
      this.things.set(which, opened);
    }
    return opened;
  }

  /** Forget the gestures on things that are not to be kept. */
  keep(isKept: (which: number) => boolean): void {
    for (const which of this.things.keys()) if (!isKept(which)) this.things.delete(which);
  }

  /** How much memory the arrays take, and the steps of gestures. */
  get nbytes(): number {
    const sessions = [...this.things.values()].map(({ session }) => session.history.nbytes);
    return sessions.reduce((sum, nbytes) => sum + nbytes - this.view.nbytes, this.view.nbytes);
  }
}

/** What a clip's frame belongs to; null as a number is the newest frame. */
export interface FrameHost {
  /** How many bytes are kept. */
  readonly nbytes: number;
  /** A thing that is open of a frame; none if another frame is. */
  opened(number: number | null, which: number): OpenThing | undefined;
  /** A thing of a frame, which is opened if it is not. */
  open(number: number | null, which: number): Promise<OpenThing>;
  /** Take the user's mask. */
  touch(number: number | null, which: number, mask: Uint8Array): Promise<void>;
  /** Take that back. */
  untouch(number: number | null, which: number): void;
  /** Take that back, and what gestures there have been on the thing. */
  forget(number: number | null, which: number): void;
}

/**
 * A thing in a frame of a clip, for gestures as a `LocalSession` takes them.
 *
 * Where the thing has a mask in this frame, carried there or given before, gestures correct that;
 * otherwise the first says what is meant. Each gesture makes the frame a touched one. It is opened
 * at the first, which closes the frame that was open until then.
 */
export class LocalFrame {
  constructor(
    private readonly host: FrameHost,
    private readonly number: number | null,
    private readonly which: number,
  ) {}

  /** As `LocalSession.make`. */
  async make(gesture: Gesture, level?: string): Promise<Answer> {
    const { session } = await this.open();
    return this.touched(await session.make(gesture, level));
  }

  /** As `LocalSession.candidate`. */
  async candidate(gesture: Gesture, level: string): Promise<Answer> {
    const { session } = await this.open();
    return session.candidate(gesture, level);
  }

  /** The thing's mask in this frame, not 0 inside; an empty one says that it is not seen. */
  async startFrom(mask: Uint8Array): Promise<Answer> {
    const opened = await this.open();
    const answer = opened.session.startFrom(mask);
    opened.given = true;
    return this.touched(answer);
  }

  /** As `LocalSession.move`; without the first gesture on a frame it is no touched one. */
  async move(by: -1 | 1): Promise<Answer | null> {
    const { session, given } = await this.open();
    const answer = session.move(by);
    if (answer !== null && (given || session.history.canUndo)) return this.touched(answer);
    this.host.untouch(this.number, this.which);
    return answer;
  }

  /** Forget all gestures on this thing in this frame: it has what was carried there, if any. */
  clear(): void {
    this.host.forget(this.number, this.which);
  }

  /** What the page is told with every answer. */
  get history(): Omit<Moved, "answer"> {
    const session = this.host.opened(this.number, this.which)?.session;
    const none = { gestures: [], canUndo: false, canRedo: false };
    return { ...none, ...session?.history, nbytes: this.host.nbytes };
  }

  private open(): Promise<OpenThing> {
    return this.host.open(this.number, this.which);
  }

  private async touched(answer: Answer): Promise<Answer> {
    await this.host.touch(this.number, this.which, maskOf(answer.probability, answer.photo));
    return answer;
  }
}
