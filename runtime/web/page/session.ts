/** The segmenter, asked one thing after the other, and which photo it holds. */

import type { Segmenter, TapResult } from "../src/types.ts";
import type { OpenPhoto } from "./photo.ts";
import type { Point } from "./viewport.ts";

export class Session {
  /** The photo that the segmenter holds; null where it has to be encoded before the next tap. */
  private encoded: OpenPhoto | null = null;
  private queue: Promise<unknown> = Promise.resolve();
  /** Counts taps and photos: an answer that something later has overtaken is stale. */
  private latest = 0;

  constructor(private readonly segmenter: Segmenter) {}

  /** Make a photo ready for taps. @throws TraceNetError if it is refused */
  open(photo: OpenPhoto): Promise<void> {
    this.latest++;
    return this.inTurn(() => this.encode(photo));
  }

  /** The answer to a tap; null if a later tap or photo made it stale. */
  tap(photo: OpenPhoto, pixel: Point, level: string | null): Promise<TapResult | null> {
    const number = ++this.latest;
    return this.inTurn(async () => {
      if (number !== this.latest) return null;
      await this.encode(photo);
      const result = await this.segmenter.tap(pixel.x, pixel.y, level === null ? {} : { level });
      return number === this.latest ? result : null;
    });
  }

  /** Give back the memory; the next tap encodes its photo again. */
  free(): Promise<void> {
    return this.inTurn(async () => {
      this.encoded = null;
      await this.segmenter.drop();
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
