/** Which strategy answers taps: the bundle's own, or what a user names. */

import { BundleError } from "../errors.ts";
import { servesCanvas, type Schedule } from "../graph/schedule.ts";
import type { Size } from "../rectangles.ts";
import { Guided } from "../strategies/guided.ts";
import { firstOfEachCanvas, Single } from "../strategies/single.ts";
import type { Strategy } from "../strategies/strategy.ts";
import { Zoom, ZOOM } from "../strategies/zoom.ts";
import type { Manifest } from "./records.ts";

/**
 * What answers taps where a strategy or schedule, or a canvas, is named: `own` if neither is.
 *
 * `own` is what `ownStrategy` made of the manifest. Throws a `BundleError` when the bundle has no
 * such thing, and lists what there is.
 */
export function chooseStrategy(
  { schedules }: Manifest,
  own: Strategy,
  name?: string,
  canvas?: Size,
): Strategy {
  if (name !== undefined && name === own.name) {
    if (canvas === undefined) return own;
    throw new BundleError(`'${name}' has canvases of its own; leave the canvas out.`);
  }
  if (name === undefined && canvas === undefined) return own;
  if (name === ZOOM && canvas === undefined && own instanceof Guided) {
    return new Zoom(own.first, own.tile, own.rule.zoom);
  }
  const named = schedules.filter((schedule) => name === undefined || schedule.name === name);
  if (named.length === 0) {
    const names = listed(schedules.map((schedule) => schedule.name));
    throw new BundleError(`The bundle has no schedule '${name}'; it has ${names}.`);
  }
  if (canvas === undefined) return new Single(firstOfEachCanvas(named));
  const serving = named.find((schedule) => servesCanvas(schedule, canvas));
  if (serving !== undefined) return new Single([serving], canvas);
  const who = name === undefined ? "The bundle" : `The schedule '${name}'`;
  throw new BundleError(
    `${who} does not serve a canvas of ${canvas.height} x ${canvas.width} pixels ` +
      `(height x width); it serves ${listed(named.map(servedCanvases))}.`,
  );
}

/** What answers taps unless a user names something else. */
export function ownStrategy({ schedules, strategy }: Manifest): Strategy {
  if (strategy.kind === "single") {
    return new Single(firstOfEachCanvas(strategy.schedules.map((number) => schedules[number]!)));
  }
  if (strategy.kind === "guided") {
    const { first, tile } = strategy.zoom;
    return new Guided(schedules[first]!, schedules[tile]!, strategy);
  }
  return new Zoom(schedules[strategy.first]!, schedules[strategy.tile]!, strategy);
}

function servedCanvases(schedule: Schedule): string {
  const { height, width } = schedule.serves;
  if (height.least === height.most && width.least === width.most) {
    return `${height.least} x ${width.least}`;
  }
  const sides = [height, width].map(({ least, most }) => `${least}-${most}`);
  return `${sides.join(" x ")} in multiples of ${height.multiple}`;
}

function listed(names: readonly string[]): string {
  return [...new Set(names)].join(", ");
}
