/** Shows one frame of a clip after the other, each at its time. */

import { frameAt } from "./times.ts";

export interface PlayerEvents {
  /** Show a frame; the promise waits until it is shown. */
  go(number: number): Promise<void>;
  onPlaying(isPlaying: boolean): void;
}

export class Player {
  /** The run that goes on, of which there is one at a time. */
  private run: symbol | null = null;

  constructor(
    private readonly times: readonly number[],
    private readonly events: PlayerEvents,
  ) {}

  /** Play from a frame on, from the last one from the start; or, while playing, pause. */
  async toggle(number: number): Promise<void> {
    if (this.run !== null) return this.pause();
    const run = Symbol();
    this.set(run);
    const last = this.times.length - 1;
    const from = this.times[number === last ? 0 : number] as number;
    const start = performance.now();
    let shown = number;
    while (this.run === run) {
      // Where frames take longer than they last, some are left out.
      const due = frameAt(this.times, from + (performance.now() - start) / 1000);
      if (due !== shown) await this.events.go(due);
      shown = due;
      if (due === last && this.run === run) this.pause();
      await new Promise(requestAnimationFrame);
    }
  }

  pause(): void {
    if (this.run !== null) this.set(null);
  }

  private set(run: symbol | null): void {
    this.run = run;
    this.events.onPlaying(run !== null);
  }
}
