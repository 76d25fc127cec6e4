/** A photo that is open for many taps, in the worker. */

import type { Look } from "../answer/look.ts";
import type { Answer } from "../answer/result.ts";
import type { Point } from "../rectangles.ts";
import type { View } from "../strategies/strategy.ts";
import { timed, type Timings } from "../timing.ts";

/** What all taps on a photo share, and the look at its last tap. */
export class LocalSession {
  private last: { readonly at: Point; readonly look: Look } | null = null;

  constructor(private readonly view: View) {}

  /** What is at a photo pixel; another level of the same one right after costs a mask only. */
  tap(at: Point, level?: string): Promise<Answer> {
    const timings: Timings = {};
    return timed(timings, "total", async () => {
      if (this.last === null || this.last.at.x !== at.x || this.last.at.y !== at.y) {
        this.last = null; // its arrays are free while the next ones are computed
        this.last = { at, look: await this.view.look(at, timings) };
      }
      return this.last.look.result(timings, level);
    });
  }
}
