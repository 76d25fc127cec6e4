/** One look at the whole photo, on a canvas that suits it. */

import type { EncodedView, Viewer } from "../answer/look.ts";
import { ownChoice, servesCanvas, type Choice, type Schedule } from "../graph/schedule.ts";
import type { Pixels } from "../image/pixels.ts";
import type { Size } from "../rectangles.ts";
import type { Timings } from "../timing.ts";
import type { Strategy } from "./strategy.ts";

/**
 * One look by one of `schedules`, which have different canvases, chosen for each photo.
 *
 * With a `canvas` there is one, which serves it.
 */
export class Single implements Strategy {
  readonly name = null;

  constructor(
    readonly schedules: readonly Schedule[],
    private readonly canvas?: Size,
  ) {}

  open(viewer: Viewer, photo: Pixels, timings: Timings): Promise<EncodedView> {
    const { schedules, canvas } = this;
    const named = canvas && { schedule: schedules[0]!, canvas };
    return viewer.encode(named ?? choose(schedules, photo), photo, timings);
  }
}

/**
 * The schedule and the canvas for a photo of this size.
 *
 * The canvas on which the photo is largest without being enlarged, or if it is enlarged on all of
 * them, on which it is smallest; of equal ones the first.
 */
export function choose(schedules: readonly Schedule[], photo: Size): Choice {
  // Canvas pixels per photo pixel; sides are too small for two ratios to round to one.
  const scale = ({ canvas: { height, width } }: Choice) =>
    Math.min(height / photo.height, width / photo.width);
  const better = (one: Choice, other: Choice) => {
    const [a, b] = [scale(one), scale(other)];
    return b <= 1 ? b > a || a > 1 : a > 1 && b < a;
  };
  return schedules
    .map((schedule) =>
      uprightAndTurned(schedule).reduce((one, other) => (scale(other) > scale(one) ? other : one)),
    )
    .reduce((best, choice) => (better(best, choice) ? choice : best));
}

/** Those that may be chosen where no canvas is named. */
export function firstOfEachCanvas(schedules: readonly Schedule[]): Schedule[] {
  const first = new Map<string, Schedule>();
  for (const schedule of schedules) {
    const canvas = `${schedule.canvas.height} x ${schedule.canvas.width}`;
    if (!first.has(canvas)) first.set(canvas, schedule);
  }
  return [...first.values()];
}

function uprightAndTurned(schedule: Schedule): Choice[] {
  const turned = { height: schedule.canvas.width, width: schedule.canvas.height };
  const upright = ownChoice(schedule);
  return servesCanvas(schedule, turned) ? [upright, { schedule, canvas: turned }] : [upright];
}
