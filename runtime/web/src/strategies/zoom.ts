/** Two looks; what is looked at again, and when, is the matter of the `ZoomRule`. */

import type { Look, Viewer } from "../answer/look.ts";
import { ownChoice, type Choice, type Schedule } from "../graph/schedule.ts";
import type { Pixels } from "../image/pixels.ts";
import type { Point } from "../rectangles.ts";
import type { Timings } from "../timing.ts";
import { chooseTile, type ZoomRule } from "./rules.ts";
import type { Strategy, View } from "./strategy.ts";

/** The name by which a bundle's zoom is asked for, and that its results have for a schedule. */
export const ZOOM = "zoom";

/** A look by one schedule at the whole photo, then one by another where the rule says so. */
export class Zoom implements Strategy {
  readonly name = ZOOM;
  readonly schedules: readonly Schedule[];
  private readonly first: Choice;
  private readonly tile: Choice;

  constructor(
    first: Schedule,
    tile: Schedule,
    private readonly rule: ZoomRule,
  ) {
    this.schedules = [...new Set([first, tile])];
    this.first = ownChoice(first);
    this.tile = ownChoice(tile);
  }

  /** Run what all first looks share; the photo is kept for the closer ones. */
  async open(viewer: Viewer, photo: Pixels, timings: Timings): Promise<View> {
    const view = await viewer.encode(this.first, photo, timings);
    return {
      nbytes: view.nbytes,
      macs: view.macs,
      look: async (at, tapTimings) => {
        const whole = await view.look(at, tapTimings);
        return this.lookCloser(viewer, photo, whole, at, tapTimings);
      },
    };
  }

  /** The look that answers, after a first one at the whole photo. */
  private async lookCloser(
    viewer: Viewer,
    photo: Pixels,
    whole: Look,
    at: Point,
    timings: Timings,
  ): Promise<Look> {
    const closer = chooseTile(this.rule, this.tile.canvas, whole.placement, at, whole.box);
    if (closer === null) return whole.with({ ...whole.account, schedule: ZOOM });
    const view = await viewer.encode(this.tile, photo, timings, closer);
    const near = await view.look(at, timings);
    const answering = near.score >= this.rule.trust * whole.score ? near : whole;
    return answering.with({
      schedule: ZOOM,
      // The tile is this tap's own, with what was encoded of it.
      macs: whole.account.macs + view.macs + near.account.macs,
      regions: [...whole.account.regions, ...near.account.regions],
      closer,
    });
  }
}
