/** Which schedule answers a photo, and on which canvas: the rule of docs/bundle.md. */

import { BundleError } from "./errors.ts";
import type { Manifest } from "./manifest.ts";
import { programsOf, servesCanvas, type Schedule } from "./schedule.ts";
import type { Size } from "./types.ts";
import type { ZoomRule } from "./zoomRule.ts";

/** The name by which a bundle's zoom is asked for, and that its results have for a schedule. */
export const ZOOM = "zoom";

/** A schedule, and the canvas to run it on. */
export interface Choice {
  readonly schedule: Schedule;
  readonly canvas: Size;
}

/**
 * What taps may be answered with: by `zoom`, if there is any, else by `schedules`.
 *
 * `schedules` are in the order in which `choose` prefers them; with a zoom they are its two.
 */
export interface Loadable {
  readonly schedules: readonly Schedule[];
  readonly zoom: ZoomRule | null;
}

/**
 * What a bundle has under a name, or of any name, on a canvas, or on any.
 *
 * Throws a `BundleError` when there is none, and lists what there is.
 */
export function loadable(manifest: Manifest, name?: string, canvas?: Size): Loadable {
  const { zoom, schedules } = manifest;
  if (name === ZOOM && zoom === null) {
    throw new BundleError(`The bundle has no '${ZOOM}'; it has ${namesOf(schedules)}.`);
  }
  if (name === ZOOM && canvas !== undefined) {
    throw new BundleError(`'${ZOOM}' has canvases of its own; leave the canvas out.`);
  }
  if (zoom !== null && canvas === undefined && (name === undefined || name === ZOOM)) {
    const looks = [zoom.first, zoom.tile];
    return { schedules: schedules.filter((_, number) => looks.includes(number)), zoom };
  }
  return { schedules: loadableSchedules(schedules, name, canvas), zoom: null };
}

/** The names of all programs that may run. */
export function programsThatMayRun(answers: Loadable): string[] {
  return [...new Set(answers.schedules.flatMap((schedule) => [...programsOf(schedule)]))].sort();
}

/**
 * The schedule and the canvas for a photo of this size.
 *
 * With a canvas the first schedule that serves it. Otherwise the canvas on which the photo is
 * largest without being enlarged, or if it is enlarged on all of them, on which it is smallest; of
 * equal ones the first. `schedules` are what `loadable` returned for that canvas.
 */
export function choose(schedules: readonly Schedule[], photo: Size, canvas?: Size): Choice {
  if (canvas !== undefined) {
    return { schedule: schedules.find((schedule) => servesCanvas(schedule, canvas))!, canvas };
  }
  // Canvas pixels per photo pixel; sides are too small for two ratios to round to one.
  const scale = ({ canvas: { height, width } }: Choice) =>
    Math.min(height / photo.height, width / photo.width);
  const better = (one: Choice, other: Choice) => {
    const [a, b] = [scale(one), scale(other)];
    return b <= 1 ? b > a || a > 1 : a > 1 && b < a;
  };
  return firstOfEachCanvas(schedules)
    .map((schedule) => largest(uprightAndTurned(schedule), scale))
    .reduce((best, choice) => (better(best, choice) ? choice : best));
}

function loadableSchedules(
  schedules: readonly Schedule[],
  name: string | undefined,
  canvas: Size | undefined,
): Schedule[] {
  const named = schedules.filter((schedule) => name === undefined || schedule.name === name);
  if (named.length === 0) {
    throw new BundleError(`The bundle has no schedule '${name}'; it has ${namesOf(schedules)}.`);
  }
  if (canvas === undefined) return firstOfEachCanvas(named);
  const serving = named.find((schedule) => servesCanvas(schedule, canvas));
  if (serving !== undefined) return [serving];
  const who = name === undefined ? "The bundle" : `The schedule '${name}'`;
  throw new BundleError(
    `${who} does not serve a canvas of ${canvas.height} x ${canvas.width} pixels ` +
      `(height x width); it serves ${listed(named.map(servedCanvases))}.`,
  );
}

function firstOfEachCanvas(schedules: readonly Schedule[]): Schedule[] {
  const first = new Map<string, Schedule>();
  for (const schedule of schedules) {
    const canvas = `${schedule.canvas.height} x ${schedule.canvas.width}`;
    if (!first.has(canvas)) first.set(canvas, schedule);
  }
  return [...first.values()];
}

function uprightAndTurned(schedule: Schedule): Choice[] {
  const { height, width } = schedule.canvas;
  const turned = { height: width, width: height };
  const upright = { schedule, canvas: schedule.canvas };
  return servesCanvas(schedule, turned) ? [upright, { schedule, canvas: turned }] : [upright];
}

/** The choice of the largest measure; of equal ones the first. */
function largest(choices: readonly Choice[], measure: (choice: Choice) => number): Choice {
  return choices.reduce((best, choice) => (measure(choice) > measure(best) ? choice : best));
}

function servedCanvases(schedule: Schedule): string {
  const { height, width } = schedule.serves;
  if (height.least === height.most && width.least === width.most) {
    return `${height.least} x ${width.least}`;
  }
  const sides = [height, width].map(({ least, most }) => `${least}-${most}`);
  return `${sides.join(" x ")} in multiples of ${height.multiple}`;
}

function namesOf(schedules: readonly Schedule[]): string {
  return listed(schedules.map((schedule) => schedule.name));
}

function listed(names: readonly string[]): string {
  return [...new Set(names)].join(", ");
}
