/** A photo that is open for many taps. */

import { tapResult, type TapResult } from "./answer/result.ts";
import { SessionClosed } from "./errors.ts";
import type { Size } from "./rectangles.ts";
import type { Connection } from "./worker/connection.ts";
import type { Opened } from "./worker/protocol.ts";

export interface TapOptions {
  /** The level that answers instead of the one with the highest score: one of the candidates'. */
  level?: string;
}

/**
 * A photo for many taps: what they share is computed once, when it is opened.
 *
 * Each tap begins a new thing. What is kept takes memory until `close`: arrays, whose size only the
 * canvas decides, and the photo's pixels, where taps still read them.
 */
export class PhotoSession {
  private isClosed = false;

  /** Sessions are made by `TapSegmenter.open`. */
  constructor(
    private readonly connection: Connection,
    private readonly opened: Opened,
  ) {}

  /** The size of the photo, upright. */
  get photo(): Size {
    return this.opened.size;
  }

  /** Milliseconds of opening, by stage: decode, canvas, cut, engine/<program>, and total. */
  get timingsMs(): Readonly<Record<string, number>> {
    return this.opened.timingsMs;
  }

  /** How many bytes the shared arrays take; 0 once closed. The photo does not count. */
  get nbytes(): number {
    return this.isClosed ? 0 : this.opened.nbytes;
  }

  /**
   * The thing at a pixel of the photo: x is the column, (0, 0) the top left.
   *
   * To ask another level of the tap before costs a mask only. Rejects with `TapOutsidePhoto` for a
   * tap that is not on the photo, `UnknownLevel` for a level that is not asked, `SessionClosed`
   * after `close`.
   */
  async tap(x: number, y: number, { level }: TapOptions = {}): Promise<TapResult> {
    if (this.isClosed) throw new SessionClosed("The session is closed; open the photo again.");
    const request = { on: this.opened.session, at: { x, y }, level };
    return tapResult(await this.connection.ask("tap", request));
  }

  /** Free the memory; closing twice is fine. Taps that were asked before are answered. */
  async close(): Promise<void> {
    if (this.isClosed) return;
    this.isClosed = true;
    await this.connection.ask("close", this.opened.session);
  }
}
