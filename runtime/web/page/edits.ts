/** Gestures, answered one after the other, and which photo is open for them. */

import type { Gesture, PhotoSession, TapResult, TapSegmenter } from "../src/index.ts";
import type { OpenPhoto } from "./photo.ts";
import type { Things } from "./scene.ts";
import type { Point } from "./viewport.ts";

/** A gesture that was made, and the level that it was asked for. */
interface Made {
  readonly gesture: Gesture;
  readonly level: string | null;
}

/** The gestures on a photo in their order, of which the first `count` are not taken back. */
export interface History {
  readonly photo: OpenPhoto | null;
  readonly made: readonly Made[];
  readonly count: number;
}

const NOTHING: History = { photo: null, made: [], count: 0 };

/** What is there after a gesture, an undo, or whatever else. */
export interface State {
  /** What gestures gave; null before the first. */
  readonly result: TapResult | null;
  /** The masks that are seen: the result's, and those of other things. */
  readonly things: Things;
  /** Whether a mask is there that the next gesture corrects. */
  readonly isBegun: boolean;
  /** Those that made the result. */
  readonly gestures: readonly Gesture[];
  readonly canUndo: boolean;
  readonly canRedo: boolean;
  /** Whether there is something of the user's to forget, be it only a mask. */
  readonly canClear: boolean;
}

/** The gestures on one picture; what is not of interest any more is answered with null. */
export interface Editing {
  /** Whether gestures correct: no one is left out. */
  readonly isGuided: boolean;
  /** @param level of the first tap, in place of what that gave */
  make(gesture: Gesture, level: string | null): Promise<State | null>;
  undo(): Promise<State | null>;
  redo(): Promise<State | null>;
  /** Begin a new thing. */
  clear(): Promise<State | null>;
  /** What a level of the first tap would give; null where something else has been asked. */
  candidate(at: Point, level: string): Promise<TapResult | null>;
}

export const NO_STATE: State = {
  result: null,
  things: [],
  isBegun: false,
  gestures: [],
  canUndo: false,
  canRedo: false,
  canClear: false,
};

/**
 * Where a bundle has a guided look, no gesture is left out while its photo stays; else the last of
 * several at once is answered. What is left out is null.
 */
export class Edits {
  /** The session of the page's photo; null where that has to be opened before the next gesture. */
  private opened: { readonly photo: OpenPhoto; readonly session: PhotoSession } | null = null;
  private queue: Promise<unknown> = Promise.resolve();
  /** Counts photos, and without a guided look gestures: what something later overtook is stale. */
  private latest = 0;
  /** How much is asked that is not answered yet, but for candidates. */
  private asked = 0;

  /** @param history of a segmenter before this one, whose gestures are made again when needed */
  constructor(
    private readonly segmenter: TapSegmenter,
    private kept: History = NOTHING,
  ) {}

  /** What was done on the page's photo. */
  get history(): History {
    return this.kept;
  }

  get isGuided(): boolean {
    return this.segmenter.bundle.corrects;
  }

  /** The gestures on a photo. */
  on(photo: OpenPhoto): Editing {
    return {
      isGuided: this.isGuided,
      make: (gesture, level) => this.make(photo, gesture, level),
      undo: () => this.undo(photo),
      redo: () => this.redo(photo),
      clear: () => this.clear(photo),
      candidate: (at, level) => this.candidate(photo, at, level),
    };
  }

  /** Make a photo ready for gestures. @throws TraceNetError if it is refused */
  open(photo: OpenPhoto): Promise<void> {
    this.latest++;
    return this.inTurn(async () => void (await this.sessionOf(photo)));
  }

  /** @param level of the first tap, in place of what that gave */
  make(photo: OpenPhoto, gesture: Gesture, level: string | null): Promise<State | null> {
    if (!this.isGuided) this.latest++;
    return this.change(photo, async (session) => {
      await session.make(gesture, level ?? undefined);
      if (!this.isGuided) return;
      const { made, count } = this.kept;
      const before = level === null ? made.slice(0, count) : [];
      this.kept = { photo, made: [...before, { gesture, level }], count: before.length + 1 };
    });
  }

  undo(photo: OpenPhoto): Promise<State | null> {
    return this.move(photo, -1);
  }

  redo(photo: OpenPhoto): Promise<State | null> {
    return this.move(photo, 1);
  }

  /** Begin a new thing. */
  clear(photo: OpenPhoto): Promise<State | null> {
    return this.change(photo, async (session) => {
      await session.clear();
      this.kept = { ...NOTHING, photo };
    });
  }

  /** What a level of the first tap would give; null where something else has been asked. */
  candidate(photo: OpenPhoto, at: Point, level: string): Promise<TapResult | null> {
    const number = this.latest;
    return this.inTurn(async () => {
      if (number !== this.latest || this.asked > 0 || this.opened?.photo !== photo) return null;
      const result = await this.opened.session.candidate(at.x, at.y, level);
      return number === this.latest ? result : null;
    });
  }

  /** Give back the memory; the next gesture opens its photo again. */
  free(): Promise<void> {
    return this.inTurn(() => this.close());
  }

  private move(photo: OpenPhoto, by: -1 | 1): Promise<State | null> {
    return this.change(photo, async (session) => {
      await (by < 0 ? session.undo() : session.redo());
      this.kept = { ...this.kept, count: this.kept.count + by };
    });
  }

  private change(
    photo: OpenPhoto,
    work: (session: PhotoSession) => Promise<void>,
  ): Promise<State | null> {
    const number = this.latest;
    this.asked++;
    return this.inTurn(async () => {
      try {
        if (number !== this.latest) return null;
        const session = await this.sessionOf(photo);
        await work(session);
        // What was done with a guided look stays done, even if another photo was to follow.
        return number === this.latest || this.isGuided ? stateOf(session) : null;
      } finally {
        this.asked--;
      }
    });
  }

  /** There is one session at a time, so that two photos never need memory at once. */
  private async sessionOf(photo: OpenPhoto): Promise<PhotoSession> {
    if (this.opened?.photo !== photo) {
      await this.close();
      const session = await this.segmenter.open(photo.file);
      if (this.kept.photo === photo) await restore(session, this.kept);
      else this.kept = { ...NOTHING, photo };
      this.opened = { photo, session };
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

/** Make gestures again; the masks are the same, to the bit. */
async function restore(session: PhotoSession, { made, count }: History): Promise<void> {
  for (const { gesture, level } of made) await session.make(gesture, level ?? undefined);
  for (let i = count; i < made.length; i++) await session.undo();
}

function stateOf({ result, gestures, canUndo, canRedo }: PhotoSession): State {
  const isBegun = result !== null;
  const things = isBegun ? [result] : [];
  return { result, things, isBegun, gestures, canUndo, canRedo, canClear: isBegun || canRedo };
}
