/** The segmenter and the photo that it answers taps on, one request after the other. */

import type { Segmenter, TapResult } from "../src/types.ts";
import type { OpenPhoto } from "./photo.ts";
import type { Point } from "./viewport.ts";

export class Session {
  private photo: OpenPhoto | null = null;
  /** The photo that the segmenter holds; null where it has to be encoded before the next tap. */
  private encoded: OpenPhoto | null = null;
  private queue: Promise<unknown> = Promise.resolve();
  private latestTap = 0;

  constructor(private readonly segmenter: Segmenter) {}

  /** Take another photo. @throws TraceNetError if it is refused: the photo before it stays */
  open(photo: OpenPhoto): Promise<void> {
    this.latestTap++;
    return this.inTurn(async () => {
      await this.encode(photo);
      this.photo = photo;
    });
  }

  /** The answer to a tap; null if there is no photo, or if a later tap or photo made it stale. */
  tap(pixel: Point, level: string | null): Promise<TapResult | null> {
    const number = ++this.latestTap;
    return this.inTurn(async () => {
      if (number !== this.latestTap || this.photo === null) return null;
      await this.encode(this.photo);
      const result = await this.segmenter.tap(pixel.x, pixel.y, level === null ? {} : { level });
      return number === this.latestTap ? result : null;
    });
  }

  /** Give back the memory; the next tap, or `prepare`, encodes the photo again. */
  free(): Promise<void> {
    return this.inTurn(async () => {
      this.encoded = null;
      await this.segmenter.drop();
    });
  }

  /** Encode the photo again after `free`, so that the next tap need not wait for it. */
  prepare(): Promise<void> {
    return this.inTurn(async () => {
      if (this.photo !== null) await this.encode(this.photo);
    });
  }

  private async encode(photo: OpenPhoto): Promise<void> {
    if (this.encoded === photo) return;
    this.encoded = null;
    await this.segmenter.encode(photo.file);
    this.encoded = photo;
  }

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.queue.then(work);
    this.queue = done.catch(() => undefined);
    return done;
  }
}
