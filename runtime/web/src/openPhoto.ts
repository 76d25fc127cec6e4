/** A photo that is tapped: by one schedule, or by a zoom that looks twice. */

import type { Answer } from "./answer.ts";
import { CanvasImage, place } from "./canvas.ts";
import { ZOOM } from "./choose.ts";
import { Look, type View } from "./look.ts";
import type { Pixels } from "./pixels.ts";
import type { Replay } from "./replay.ts";
import { timed, timedAsync, type Timings } from "./timing.ts";
import type { Box } from "./types.ts";
import { chooseTile, type ZoomRule } from "./zoomRule.ts";

export type PadValue = readonly [red: number, green: number, blue: number];

/** How taps look a second time. */
export interface Closer {
  readonly rule: ZoomRule;
  readonly replay: Replay;
}

/** Opens a tile of a photo, in whole photo pixels, for a closer look. */
type ViewTile = (tile: Box, timings: Timings) => Promise<View>;

/** The looks at a tap: the one that answers, and the other one of a zoom that looked twice. */
interface Looked {
  readonly answering: Look;
  readonly other: Look | null;
}

/** A photo, with what all taps on it share, and the looks at its last tap. */
export class OpenPhoto {
  private last: (Looked & { readonly x: number; readonly y: number }) | null = null;

  private constructor(
    private readonly whole: View,
    private readonly closer: (Closer & { readonly viewTile: ViewTile }) | null,
    readonly timingsMs: Timings,
  ) {}

  /** Encode a photo for a replay; with `closer`, taps look a second time. */
  static async open(
    pixels: Pixels,
    padValue: PadValue,
    replay: Replay,
    closer: Closer | null,
  ): Promise<OpenPhoto> {
    const timings: Timings = {};
    const whole = await timedAsync(timings, "total", () =>
      viewOf(pixels, padValue, replay, [0, 0, pixels.width, pixels.height], 0, timings),
    );
    if (closer === null) return new OpenPhoto(whole, null, timings);
    // Only a closer look holds on to all pixels of the photo.
    const viewTile: ViewTile = (tile, tapTimings) =>
      viewOf(pixels, padValue, closer.replay, tile, 1, tapTimings);
    return new OpenPhoto(whole, { ...closer, viewTile }, timings);
  }

  /** The name of the schedule that answers taps, or `zoom`. */
  get schedule(): string {
    return this.closer === null ? this.whole.replay.schedule.name : ZOOM;
  }

  get replay(): Replay {
    return this.whole.replay;
  }

  /**
   * What is at the photo pixel (x, y), as a level has it, by default that of the highest score.
   *
   * Another level of the same pixel right after costs only its mask.
   */
  async tap(x: number, y: number, level?: string): Promise<Answer> {
    const timings: Timings = {};
    return timedAsync(timings, "total", async () => {
      if (this.last === null || this.last.x !== x || this.last.y !== y) {
        this.last = null;
        this.last = { ...(await this.look(x, y, timings)), x, y };
      }
      const { answering, other } = this.last;
      const answer = await answering.answer(level, timings);
      if (this.closer === null) return answer;
      const zoomed = { ...answer, schedule: ZOOM };
      if (other === null) return zoomed;
      const regions = [...other.regions, ...answer.regions].sort((a, b) => a.look - b.look);
      const near = answering.view.number === 1 ? answering : other;
      // The tile is this tap's own, with what was encoded of it.
      const macs = answer.macs + other.macs + near.view.encoded.macs;
      return { ...zoomed, tile: near.view.tile, regions, macs };
    });
  }

  private async look(x: number, y: number, timings: Timings): Promise<Looked> {
    const whole = await Look.at(this.whole, x, y, timings);
    if (this.closer === null) return { answering: whole, other: null };
    const { rule, replay, viewTile } = this.closer;
    const tile = chooseTile(rule, replay.canvas, this.whole.placement, x, y, whole.box);
    if (tile === null) return { answering: whole, other: null };
    const near = await Look.at(await viewTile(tile, timings), x, y, timings);
    return near.score >= rule.trust * whole.score
      ? { answering: near, other: whole }
      : { answering: whole, other: near };
  }
}

async function viewOf(
  pixels: Pixels,
  padValue: PadValue,
  replay: Replay,
  tile: Box,
  number: number,
  timings: Timings,
): Promise<View> {
  const [x0, y0, x1, y1] = tile;
  const { canvas } = replay;
  const image = timed(timings, "canvas", () => new CanvasImage(canvas, padValue, pixels, tile));
  return {
    replay,
    encoded: await replay.encode(image, timings),
    placement: place(canvas, { height: y1 - y0, width: x1 - x0 }),
    photo: { height: pixels.height, width: pixels.width },
    tile,
    number,
  };
}
