/** A look at a photo: what a schedule says at a tap, and the mask that follows. */

import { PROBABILITY_STRIDE } from "../contract.ts";
import { notFinite, UnknownLevel } from "../errors.ts";
import type { Arrays } from "../graph/arrays.ts";
import type { CanvasRegion, Engine } from "../graph/executor.ts";
import type { Program } from "../graph/program.ts";
import type { Choice } from "../graph/schedule.ts";
import { CanvasImage, type PadValue } from "../image/canvas.ts";
import { boxToPhoto, toCanvas, type PlacedTile, type Placement } from "../image/geometry.ts";
import type { ProbabilityMap } from "../image/mask.ts";
import type { Pixels } from "../image/pixels.ts";
import type { Box, Point, Size } from "../rectangles.ts";
import { timed, type Timings } from "../timing.ts";
import { checkChoice } from "./check.ts";
import type { LevelAnswer, Meaning } from "./levels.ts";
import { Replay, type QueryAnswer } from "./replay.ts";
import type { Answer, Candidate, ComputedRegion } from "./result.ts";

/** What the results of a look say that it took. */
export interface Account {
  /** What answered: a schedule, or a strategy. */
  readonly schedule: string;
  /** Multiply-adds so far, without those of what was looked at. */
  readonly macs: number;
  /** The windows that were read so far. */
  readonly regions: readonly ComputedRegion[];
  /** What was looked at after the whole, if that was, whichever of the two looks this is. */
  readonly closer: Box | null;
}

/** A tap that is answered; its mask is not computed yet. */
export class Look {
  constructor(
    private readonly view: EncodedView,
    private readonly query: QueryAnswer,
    readonly account: Account,
  ) {}

  /** The same look, whose results say something else that it took. */
  with(account: Account): Look {
    return new Look(this.view, this.query, account);
  }

  /** How what was looked at lies on the canvas. */
  get placement(): Placement {
    return this.view.placement;
  }

  /** Of the level that answers, in [0, 1]. */
  get score(): number {
    return this.best.score;
  }

  /** Of the level that answers, in photo pixels, clipped to what was looked at. */
  get box(): Box {
    return this.view.inPhoto(this.best.box);
  }

  /**
   * The answer with its mask, of the level that answers or of the one that is named.
   *
   * It holds `timings`, to which the stages are added; its total is the caller's. Throws
   * `UnknownLevel` for a level that was not asked.
   */
  async result(timings: Timings, level?: string): Promise<Answer> {
    const { view, account, candidates } = this;
    const { map, answering, window, macs, regions } = await this.mask(timings, level);
    return {
      ...answering,
      photo: view.photo,
      probability: map,
      candidates,
      schedule: account.schedule,
      maskWindow: window,
      canvas: view.replay.choice.canvas,
      macs: account.macs + macs,
      tile: account.closer,
      regions: [...account.regions, ...regions],
      obeyed: null,
      timingsMs: timings,
    };
  }

  /** The mask of the level that answers or of the one that is named; throws as `result` does. */
  async mask(timings: Timings, level?: string): Promise<LookMask> {
    const { view, query } = this;
    const { replay, placement, photo, tile } = view;
    const answering = level === undefined ? this.best : this.levelNamed(level);
    const maskIndex = replay.chooseMask(query, answering);
    const computed = await replay.computeMask(query, answering, maskIndex, timings);
    const { maskWindow: window, regions, macs, ...mask } = computed;
    return {
      map: { ...mask, stride: PROBABILITY_STRIDE, placement, photo, tile },
      answering: this.candidate(answering),
      window,
      macs,
      regions: view.regionsInPhoto(regions),
    };
  }

  /** What each level asked says, the best first. */
  get candidates(): Candidate[] {
    const candidates = this.query.levels.map((answer) => this.candidate(answer));
    return candidates.sort((a, b) => b.score - a.score);
  }

  /** Whether a level was asked. */
  asks(name: string): boolean {
    return this.query.levels.some(({ level }) => level.name === name);
  }

  /** All of what was looked at, on its canvas. */
  get place(): PlacedTile {
    return this.view.place;
  }

  /** Of equal scores the finest level's. */
  private get best(): LevelAnswer {
    return this.query.levels.reduce((best, v) => (v.score > best.score ? v : best));
  }

  private levelNamed(name: string): LevelAnswer {
    const { levels } = this.query;
    const answer = levels.find(({ level }) => level.name === name);
    if (answer !== undefined) return answer;
    const { schedule } = this.view.replay.choice;
    throw new UnknownLevel(
      `The schedule '${schedule.name}' does not ask the level '${name}'; it asks ` +
        `${levels.map(({ level }) => level.name).join(", ")}.`,
    );
  }

  private candidate({ level, score, box }: LevelAnswer): Candidate {
    return { level: level.name, score, box: this.view.inPhoto(box) };
  }
}

/** A mask of a look: its map, what the level says that it is of, its window and its cost. */
export interface LookMask {
  readonly map: ProbabilityMap;
  readonly answering: Candidate;
  readonly window: string;
  readonly macs: number;
  readonly regions: readonly ComputedRegion[];
}

/** A photo, or a tile of it, on a replay's canvas, with what every look at it begins with. */
export class EncodedView {
  constructor(
    readonly replay: Replay,
    readonly arrays: Arrays,
    readonly placement: Placement,
    /** The size of the whole photo. */
    readonly photo: Size,
    /** In whole photo pixels; null where all of the photo is looked at. */
    readonly tile: Box | null,
  ) {}

  /** How much memory the arrays take; the photo does not count. */
  get nbytes(): number {
    return [...this.arrays.values()].reduce((sum, array) => sum + array.nbytes, 0);
  }

  /** Multiply-adds of what every look begins with. */
  get macs(): number {
    return this.replay.executor.encodeMacs;
  }

  /**
   * What is at a photo pixel.
   *
   * Throws `TapOutsidePhoto` for a tap that is not on what is looked at, a `BundleError` for an
   * answer that is not finite.
   */
  async look(at: Point, timings: Timings): Promise<Look> {
    const { replay, placement, tile } = this;
    const [left, top] = tile ?? [0, 0];
    const tap = toCanvas(placement, { x: at.x - left, y: at.y - top });
    const query = await replay.answerQuery(this.arrays, tap, timings);
    if (!query.levels.every(({ score, box }) => [score, ...box].every(Number.isFinite))) {
      throw notFinite();
    }
    return new Look(this, query, {
      schedule: replay.choice.schedule.name,
      macs: replay.executor.tapMacs,
      regions: this.regionsInPhoto(query.regions),
      closer: null,
    });
  }

  /** All of what is looked at, on its canvas. */
  get place(): PlacedTile {
    const { tile, placement, photo, replay } = this;
    return {
      tile: tile ?? [0, 0, photo.width, photo.height],
      placement,
      canvas: replay.choice.canvas,
    };
  }

  regionsInPhoto(regions: readonly CanvasRegion[]): ComputedRegion[] {
    const look = this.tile === null ? 0 : 1;
    return regions.map((region) => ({ ...region, box: this.inPhoto(region.box), look }));
  }

  /** A box in canvas pixels as one in pixels of the whole photo. */
  inPhoto(box: Box): Box {
    const [left, top] = this.tile ?? [0, 0];
    const [x0, y0, x1, y1] = boxToPhoto(this.placement, box);
    return [x0 + left, y0 + top, x1 + left, y1 + top];
  }
}

/**
 * Looks at photos with a bundle's schedules on one engine.
 *
 * The replay of a canvas is made at its first use and stays.
 */
export class Viewer {
  private readonly replays = new Map<string, Replay>();

  constructor(
    private readonly programs: ReadonlyMap<string, Program>,
    private readonly meaning: Meaning,
    private readonly padValue: PadValue,
    private readonly engine: Engine,
  ) {}

  /** Run what all looks at a photo share, or at a tile of it in whole photo pixels. */
  async encode(
    choice: Choice,
    photo: Pixels,
    timings: Timings,
    tile: Box | null = null,
  ): Promise<EncodedView> {
    const { height, width } = photo;
    const replay = this.replay(choice);
    const image = timed(timings, "canvas", () => {
      return new CanvasImage(choice.canvas, this.padValue, photo, tile ?? [0, 0, width, height]);
    });
    const arrays = await replay.executor.encode(image, timings);
    return new EncodedView(replay, arrays, image.placement, { height, width }, tile);
  }

  private replay(choice: Choice): Replay {
    const { schedule, canvas } = choice;
    const key = JSON.stringify([schedule.name, schedule.canvas, canvas]);
    let replay = this.replays.get(key);
    if (replay === undefined) {
      checkChoice(this.programs, this.meaning, choice);
      replay = new Replay(this.programs, this.meaning, choice, this.engine);
      this.replays.set(key, replay);
    }
    return replay;
  }
}
