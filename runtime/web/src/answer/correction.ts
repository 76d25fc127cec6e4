/** Passes of a guided look over a tile, and what they keep to. */

import { GUIDE_PLANES, GUIDE_STRIDE, PROBABILITY_STRIDE } from "../contract.ts";
import { notFinite } from "../errors.ts";
import { tileScale } from "../image/geometry.ts";
import type { ProbabilityMap } from "../image/mask.ts";
import type { Size } from "../rectangles.ts";
import { timed, type Timings } from "../timing.ts";
import type { EncodedView } from "./look.ts";
import { asShown, guidePlanes, isStroke, type Cells, type Mark } from "./marks.ts";
import { coarser } from "./maskState.ts";
import { force, hold, obeys, spare } from "./promises.ts";
import type { ComputedRegion } from "./result.ts";

/** The time that answering takes, by stage, its multiply-adds, and the windows that it read. */
export class Run {
  macs = 0;
  readonly regions: ComputedRegion[] = [];

  constructor(readonly timings: Timings) {}

  /** Collect times by what runs in `work`: `canvas` is a stage, all else is this one. */
  async stage<T>(name: string, work: (inner: Timings) => Promise<T>): Promise<T> {
    const inner: Timings = {};
    const done = await work(inner);
    for (const [kind, ms] of Object.entries(inner)) {
      const stage = kind === "canvas" ? kind : name;
      this.timings[stage] = (this.timings[stage] ?? 0) + ms;
    }
    return done;
  }
}

/** What TraceNet's own masks say of the gestures on a tile, of the positive and the negative. */
export interface Own {
  readonly positive: Float32Array;
  readonly negative: Float32Array;
}

/**
 * How a mask is corrected.
 *
 * A pass is repeated with the same gestures at most `passes` times, until no more than `settled`
 * photo pixels change, as the cells count them. Farther than `near` canvas pixels from the newest
 * gesture nothing changes against its sense.
 */
export interface Passes {
  readonly passes: number;
  readonly settled: number;
  readonly near: number;
}

/**
 * The cells of a tile's mask, and whether the network obeyed the newest mark.
 *
 * `encoded` is the tile. `prior` is the mask so far, `before` the one before the newest of `marks`,
 * if there was any.
 */
export async function runPasses(
  { passes, settled, near }: Passes,
  encoded: EncodedView,
  marks: readonly Mark[],
  prior: Cells,
  before: Cells | null,
  own: Own,
  run: Run,
): Promise<{ cells: Cells; obeyed: boolean }> {
  const { replay, place: view } = encoded;
  const strokes = marks.filter(isStroke);
  const shown = marks.map(asShown);
  const newest = marks.at(-1)!;
  const scale = tileScale(view);
  const least = settled * scale.x * scale.y;
  let [cells, obeyed] = [prior, true];
  for (let number = 0; number <= passes; number++) {
    const seen = cells;
    const planes = timed(run.timings, "mask", () => {
      return guidePlanes(shown, seen, own.positive, own.negative);
    });
    const shape = [1, GUIDE_PLANES.length, seen.height, seen.width] as const;
    const said = await run.stage("correction", (inner) =>
      replay.correct(encoded.arrays, { data: planes, shape }, inner),
    );
    run.macs += replay.correctionMacs;
    run.regions.push(...encoded.regionsInPhoto(replay.correctionRegions));
    if (!said.data.every(Number.isFinite)) throw notFinite();
    cells = timed(run.timings, "mask", () => {
      if (number === 0 && isStroke(newest)) obeyed = obeys(said, newest);
      const forced = force(said, strokes, view);
      if (before === null || !isStroke(newest)) return forced;
      const held = force(before, strokes.slice(0, -1), view);
      const kept = spare(hold(forced, held, newest, near, view), held, newest);
      return force(kept, strokes, view);
    });
    if (changedCells(cells, seen) * GUIDE_STRIDE ** 2 <= least) break;
  }
  return { cells, obeyed };
}

/** How many cells are in one mask and not in the other. */
function changedCells(one: Cells, other: Cells): number {
  let count = 0;
  one.data.forEach((value, i) => {
    if (value > 0.5 !== other.data[i]! > 0.5) count++;
  });
  return count;
}

/** A look's mask on all of its canvas, one cell per `GUIDE_STRIDE` canvas pixels. */
export function guideCells({ probability, window, ...map }: ProbabilityMap, canvas: Size): Cells {
  const [left, top] = [window[0] / PROBABILITY_STRIDE, window[1] / PROBABILITY_STRIDE];
  const height = canvas.height / PROBABILITY_STRIDE;
  const width = canvas.width / PROBABILITY_STRIDE;
  const data = new Float32Array(height * width);
  for (let y = 0; y < map.height; y++) {
    const row = probability.subarray(y * map.width, (y + 1) * map.width);
    data.set(row, (top + y) * width + left);
  }
  return coarser({ height, width, data }, GUIDE_STRIDE / PROBABILITY_STRIDE);
}
