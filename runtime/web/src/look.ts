/** One look of the network at a photo: what it says at a tap, and the masks that follow. */

import type { Answer } from "./answer.ts";
import { boxToPhoto, toCanvas, type Placement } from "./canvas.ts";
import { BundleError, TraceNetError } from "./errors.ts";
import type { LevelAnswer } from "./levelAnswer.ts";
import type { CanvasRegion, EncodedCanvas, QueryAnswer, Replay } from "./replay.ts";
import type { Timings } from "./timing.ts";
import type { Box, Candidate, ComputedRegion, Size } from "./types.ts";

/** What is looked at, and how: a tile of a photo, or all of it, on a replay's canvas. */
export interface View {
  readonly replay: Replay;
  /** What `replay.encode` returned for what is looked at. */
  readonly encoded: EncodedCanvas;
  readonly placement: Placement;
  /** The size of the whole photo. */
  readonly photo: Size;
  /** What is looked at, in whole photo pixels. */
  readonly tile: Box;
  /** 0 for a first look (or the only one), 1 for the closer look of a zoom. */
  readonly number: number;
}

/** A query that is answered; its masks are computed when they are asked for. */
export class Look {
  private constructor(
    readonly view: View,
    private readonly query: QueryAnswer,
  ) {}

  /**
   * Ask what is at the photo pixel (x, y).
   *
   * Throws `TapOutsidePhoto` for a tap that is not on what is looked at, a `BundleError` for an
   * answer that is not finite.
   */
  static async at(view: View, x: number, y: number, timings: Timings): Promise<Look> {
    const tap = toCanvas(view.placement, x - view.tile[0], y - view.tile[1]);
    const query = await view.replay.answerQuery(view.encoded, ...tap, timings);
    if (!query.levels.every(({ score, box }) => [score, ...box].every(Number.isFinite))) {
      throw new BundleError(
        "The network answers with numbers that are not finite; export the bundle again, or with " +
          "another precision.",
      );
    }
    return new Look(view, query);
  }

  /** Of the level with the highest score. */
  get score(): number {
    return this.best.score;
  }

  /** Of the level with the highest score, in photo pixels, clipped to what was looked at. */
  get box(): Box {
    return this.inPhoto(this.best.box);
  }

  /** Multiply-adds of the query, without those that all looks at this view share. */
  get macs(): number {
    return this.query.macs;
  }

  /** The windows that the query read. */
  get regions(): ComputedRegion[] {
    return this.query.regions.map((region) => this.regionInPhoto(region));
  }

  /**
   * The answer of a level, by default of the one with the highest score.
   *
   * It holds `timings`, to which the mask's stages are added; its total is the caller's. Throws a
   * `TraceNetError` for a level that was not asked.
   */
  async answer(level: string | undefined, timings: Timings): Promise<Answer> {
    const { replay, placement, photo, tile } = this.view;
    const { schedule } = replay;
    const answering = level === undefined ? this.best : this.levelNamed(level);
    const maskIndex = replay.chooseMask(this.query, answering);
    const maskName = schedule.masks[maskIndex]!.name;
    const mask = await replay.computeMask(this.query, answering, maskIndex, timings);
    const { probability, height, width, window, regions } = mask;
    const candidates = this.query.levels.map((v) => this.candidateOf(v));
    return {
      photo,
      ...this.candidateOf(answering),
      candidates: candidates.sort((a, b) => b.score - a.score),
      schedule: schedule.name,
      maskSchedule: maskName,
      canvas: replay.canvas,
      macs: this.macs + schedule.macs.masks.get(maskName)!,
      tile: null,
      regions: [...this.regions, ...regions.map((region) => this.regionInPhoto(region))],
      timingsMs: timings,
      map: { probability, height, width, window, content: placement.content, tile, photo },
    };
  }

  /** Of equal scores the finest level's. */
  private get best(): LevelAnswer {
    return this.query.levels.reduce((best, v) => (v.score > best.score ? v : best));
  }

  private levelNamed(name: string): LevelAnswer {
    const answer = this.query.levels.find(({ level }) => level.name === name);
    if (answer !== undefined) return answer;
    const names = this.query.levels.map(({ level }) => level.name).join(", ");
    throw new TraceNetError(`No level '${name}' was asked; the levels are ${names}.`);
  }

  private candidateOf({ level, score, box }: LevelAnswer): Candidate {
    return { level: level.name, score, box: this.inPhoto(box) };
  }

  private regionInPhoto({ program, input, box }: CanvasRegion): ComputedRegion {
    return { program, input, box: this.inPhoto(box), look: this.view.number };
  }

  /** A box in canvas pixels as one in pixels of the whole photo. */
  private inPhoto(box: Box): Box {
    const [left, top] = this.view.tile;
    const [x0, y0, x1, y1] = boxToPhoto(this.view.placement, box);
    return [x0 + left, y0 + top, x1 + left, y1 + top];
  }
}
