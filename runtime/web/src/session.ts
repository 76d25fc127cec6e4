/** A photo that is open for many gestures. */

import type { Gesture } from "./answer/prompt.ts";
import { tapResult, type TapResult } from "./answer/result.ts";
import { SessionClosed } from "./errors.ts";
import type { Box, Point, Size } from "./rectangles.ts";
import type { Connection } from "./worker/connection.ts";
import type { Moved, Opened } from "./worker/protocol.ts";

export interface TapOptions {
  /**
   * The level that answers instead of the one with the highest score: one of the candidates'. Of a
   * guided look, only the first tap has one; asked at its place, the answer takes its place.
   */
  level?: string;
  /** Whether the pixel belongs to the thing, which is so by default. */
  positive?: boolean;
}

export interface ScribbleOptions {
  /** Of the line, in photo pixels. */
  width: number;
  /** Whether what it covers belongs to the thing, which is so by default. */
  positive?: boolean;
}

/**
 * A photo for many gestures: what they share is computed once, when it is opened.
 *
 * The first gesture says which thing is meant, each one after it corrects the mask, and `clear`
 * begins a new thing. Without a guided look each tap begins a new thing, and there are no other
 * gestures. All positions are photo pixels. Gestures are answered in their order; all reject with
 * `GestureError` for what is not on the photo or changes nothing, and with `SessionClosed` after
 * `close`.
 *
 * What is kept takes memory until `close`: arrays, whose size only the canvas decides, the photo's
 * pixels, where gestures still read them, and a few KB for each gesture.
 */
export class PhotoSession {
  private isClosed = false;
  private moved: Moved;
  private lastResult: TapResult | null = null;

  /** Sessions are made by `TapSegmenter.open`. */
  constructor(
    private readonly connection: Connection,
    private readonly opened: Opened,
    /** Whether a gesture after the first corrects; otherwise each tap begins a new thing. */
    readonly corrects: boolean,
  ) {
    const { nbytes } = opened;
    this.moved = { answer: null, gestures: [], canUndo: false, canRedo: false, nbytes };
  }

  /** The size of the photo, upright. */
  get photo(): Size {
    return this.opened.size;
  }

  /** Milliseconds of opening, by stage: decode, canvas, cut, engine/<program>, and total. */
  get timingsMs(): Readonly<Record<string, number>> {
    return this.opened.timingsMs;
  }

  /** How many bytes the shared arrays and masks take; 0 once closed. The photo does not count. */
  get nbytes(): number {
    return this.isClosed ? 0 : this.moved.nbytes;
  }

  /** What the last gesture that was answered gave; null before the first. */
  get result(): TapResult | null {
    return this.lastResult;
  }

  /** The gestures that made the result, oldest first. */
  get gestures(): readonly Gesture[] {
    return this.moved.gestures;
  }

  /** Whether there is a gesture to take back. */
  get canUndo(): boolean {
    return this.moved.canUndo;
  }

  /** Whether there is a gesture that was taken back. */
  get canRedo(): boolean {
    return this.moved.canRedo;
  }

  /**
   * The thing at a photo pixel, or, of a thing that is there, what belongs to it or not.
   *
   * x is the column, (0, 0) the top left. A first tap answers as `TapSegmenter.tap` does. Rejects
   * with `TapOutsidePhoto` for a tap that is not on the photo, `UnknownLevel` for a level that is
   * not asked, `GestureError` for a first tap that is negative and for a level of a later one.
   */
  tap(x: number, y: number, { level, positive = true }: TapOptions = {}): Promise<TapResult> {
    return this.make({ kind: "tap", at: { x, y }, positive }, level);
  }

  /** What a line through points covers belongs to the thing, or does not. */
  scribble(
    points: readonly Point[],
    { width, positive = true }: ScribbleOptions,
  ): Promise<TapResult> {
    return this.make({ kind: "scribble", points, width, positive });
  }

  /** The thing lies in this box. */
  box(box: Box): Promise<TapResult> {
    return this.make({ kind: "box", box });
  }

  /** Any gesture, as `tap`, `scribble` and `box` make them. */
  async make(gesture: Gesture, level?: string): Promise<TapResult> {
    const request = { session: this.session, gesture, level };
    return this.shown(await this.connection.ask("make", request))!;
  }

  /** What a level of the first tap would give, which stays as it is. */
  async candidate(x: number, y: number, level: string): Promise<TapResult> {
    const gesture: Gesture = { kind: "tap", at: { x, y }, positive: true };
    const request = { session: this.session, gesture, level };
    return tapResult(await this.connection.ask("candidate", request));
  }

  /**
   * Begin a new thing with its mask, from any source: photo.height * photo.width, not 0 inside.
   *
   * Gestures correct it. Rejects with a `GestureError` for a mask of another size.
   */
  async startFrom(mask: Uint8Array): Promise<TapResult> {
    const request = { session: this.session, mask };
    return this.shown(await this.connection.ask("startFrom", request))!;
  }

  /**
   * Take the last gesture back; what was there before it, bit for bit, or null.
   *
   * A new thing and a mask to start from are not taken back.
   */
  async undo(): Promise<TapResult | null> {
    return this.shown(await this.connection.ask("move", { session: this.session, by: -1 }));
  }

  /** Make the gesture again that was taken back last; as it was, bit for bit. */
  async redo(): Promise<TapResult | null> {
    return this.shown(await this.connection.ask("move", { session: this.session, by: 1 }));
  }

  /** Begin a new thing; all gestures are forgotten, the photo stays open. */
  async clear(): Promise<void> {
    this.shown(await this.connection.ask("clear", this.session));
  }

  /** Free the memory; closing twice is fine. Gestures that were made before are answered. */
  async close(): Promise<void> {
    if (this.isClosed) return;
    this.isClosed = true;
    await this.connection.ask("close", this.opened.session);
  }

  private get session(): number {
    if (this.isClosed) throw new SessionClosed("The session is closed; open the photo again.");
    return this.opened.session;
  }

  private shown(moved: Moved): TapResult | null {
    this.moved = moved;
    this.lastResult = moved.answer === null ? null : tapResult(moved.answer);
    return this.lastResult;
  }
}
