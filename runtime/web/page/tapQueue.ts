/** Taps, asked one after the other, and which photo is open for them. */

import type { PhotoSession, TapResult, TapSegmenter } from "../src/index.ts";
import type { OpenPhoto } from "./photo.ts";
import type { Point } from "./viewport.ts";

export class TapQueue {
  /** The session of the page's photo; null where that has to be opened before the next tap. */
  private opened: { readonly photo: OpenPhoto; readonly session: PhotoSession } | null = null;
  private queue: Promise<unknown> = Promise.resolve();
  /** Counts taps and photos: an answer that something later has overtaken is stale. */
  private latest = 0;

  constructor(private readonly segmenter: TapSegmenter) {}

  /** Make a photo ready for taps. @throws TraceNetError if it is refused */
  open(photo: OpenPhoto): Promise<void> {
    this.latest++;
    return this.inTurn(async () => void (await this.sessionOf(photo)));
  }

  /** The answer to a tap; null if a later tap or photo made it stale. */
  tap(photo: OpenPhoto, pixel: Point, level: string | null): Promise<TapResult | null> {
    const number = ++this.latest;
    return this.inTurn(async () => {
      if (number !== this.latest) return null;
      const session = await this.sessionOf(photo);
      const result = await session.tap(pixel.x, pixel.y, level === null ? {} : { level });
      return number === this.latest ? result : null;
    });
  }

  /** Give back the memory; the next tap opens its photo again. */
  free(): Promise<void> {
    return this.inTurn(() => this.close());
  }

  /** There is one session at a time, so that two photos never need memory at once. */
  private async sessionOf(photo: OpenPhoto): Promise<PhotoSession> {
    if (this.opened?.photo !== photo) {
      await this.close();
      this.opened = { photo, session: await this.segmenter.open(photo.file) };
    }
    return this.opened.session;
  }

  private async close(): Promise<void> {
    const { opened } = this;
    this.opened = null;
    await opened?.session.close();
  }

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.queue.then(work);
    this.queue = done.catch(() => undefined);
    return done;
  }
}
