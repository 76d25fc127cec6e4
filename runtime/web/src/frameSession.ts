/** A thing in one frame of a clip, for gestures. */

import type { Gesture } from "./answer/prompt.ts";
import { tapResult, type TapResult } from "./answer/result.ts";
import type { Box, Point } from "./rectangles.ts";
import type { ScribbleOptions, TapOptions } from "./session.ts";
import type { Connection } from "./worker/connection.ts";
import type { FrameMoved, FrameThing } from "./worker/protocol.ts";

/** What a thing in the open frame is, as its last gesture left it. */
export interface ThingState {
  readonly moved: FrameMoved;
  readonly result: TapResult | null;
}

/** What frames' sessions share: of things only those of the frame that is open are known. */
export interface OpenClip {
  readonly connection: Connection;
  /** Throws `SessionClosed` once it is closed. */
  readonly clip: number;
  state(number: number | null, thing: number): ThingState | undefined;
  keep(number: number | null, thing: number, state: ThingState): void;
  /** Forget the gestures on things of the open frame that were all taken back. */
  dropUndone(): void;
}

/**
 * A thing in a frame of a clip, for gestures as a `PhotoSession` takes them.
 *
 * Where the thing has a mask in this frame, carried there or given before, gestures correct that;
 * otherwise the first says what is meant. Each gesture makes the frame a touched one. It is opened
 * at the first, which closes the frame that was open until then: when that is opened again, it
 * begins from its mask, and what was done before is not undone step by step.
 */
export class FrameSession {
  /** Sessions are made by `VideoSession.frame` and by streams. */
  constructor(
    private readonly open: OpenClip,
    private readonly number: number | null,
    private readonly which: number,
  ) {}

  /** What the last gesture gave; null before the first, and once another frame is open. */
  get result(): TapResult | null {
    return this.state?.result ?? null;
  }

  /** The gestures that made the result, oldest first. */
  get gestures(): readonly Gesture[] {
    return this.state?.moved.gestures ?? [];
  }

  /** Whether there is a gesture to take back. */
  get canUndo(): boolean {
    return this.state?.moved.canUndo ?? false;
  }

  /** Whether there is a gesture that was taken back. */
  get canRedo(): boolean {
    return this.state?.moved.canRedo ?? false;
  }

  /** As `PhotoSession.tap`, at a frame pixel. */
  tap(x: number, y: number, { level, positive = true }: TapOptions = {}): Promise<TapResult> {
    return this.make({ kind: "tap", at: { x, y }, positive }, level);
  }

  /** As `PhotoSession.scribble`. */
  scribble(
    points: readonly Point[],
    { width, positive = true }: ScribbleOptions,
  ): Promise<TapResult> {
    return this.make({ kind: "scribble", points, width, positive });
  }

  /** As `PhotoSession.box`. */
  box(box: Box): Promise<TapResult> {
    return this.make({ kind: "box", box });
  }

  /** Any gesture, as `tap`, `scribble` and `box` make them. */
  async make(gesture: Gesture, level?: string): Promise<TapResult> {
    const request = { ...this.place, gesture, level };
    return this.shown(await this.open.connection.ask("makeInFrame", request))!;
  }

  /** As `PhotoSession.candidate`. */
  async candidate(x: number, y: number, level: string): Promise<TapResult> {
    const gesture: Gesture = { kind: "tap", at: { x, y }, positive: true };
    const request = { ...this.place, gesture, level };
    return tapResult(await this.open.connection.ask("candidateInFrame", request));
  }

  /** The thing's mask in this frame, not 0 inside; an empty one says that it is not seen. */
  async startFrom(mask: Uint8Array): Promise<TapResult> {
    const request = { ...this.place, mask };
    return this.shown(await this.open.connection.ask("startFromInFrame", request))!;
  }

  /** As `PhotoSession.undo`; without the first gesture on a frame it is no touched one. */
  async undo(): Promise<TapResult | null> {
    return this.shown(await this.open.connection.ask("moveInFrame", { ...this.place, by: -1 }));
  }

  /** As `PhotoSession.redo`. */
  async redo(): Promise<TapResult | null> {
    return this.shown(await this.open.connection.ask("moveInFrame", { ...this.place, by: 1 }));
  }

  /**
   * Forget all gestures on this thing in this frame: it has what was carried there, if any, and is
   * no touched one.
   */
  async clear(): Promise<void> {
    this.shown(await this.open.connection.ask("clearInFrame", this.place));
    this.open.dropUndone();
  }

  private get place(): FrameThing {
    return { clip: this.open.clip, number: this.number, thing: this.which };
  }

  private get state(): ThingState | undefined {
    return this.open.state(this.number, this.which);
  }

  private shown(moved: FrameMoved): TapResult | null {
    const result = moved.answer === null ? null : tapResult(moved.answer);
    this.open.keep(this.number, this.which, { moved, result });
    return result;
  }
}
