/** A photo that is open for many gestures, in the worker: its history. */

import type { Gesture } from "../answer/prompt.ts";
import type { Answer } from "../answer/result.ts";
import { GestureError } from "../errors.ts";
import { GuidedView, type FirstGesture } from "../strategies/guided.ts";
import { answerOf, stepArrays, type Step } from "../strategies/step.ts";
import type { Answered, View } from "../strategies/strategy.ts";
import { timed, type Timings } from "../timing.ts";
import type { Moved } from "./protocol.ts";

/**
 * What all gestures on a photo share, the look at its last one, and the thing so far.
 *
 * Steps never change, so that undo and redo are exact. Without a guided look each tap begins a new
 * thing, and there are no other gestures.
 */
export class LocalSession {
  private last: { readonly gesture: Gesture; readonly look: Answered } | null = null;
  /** A mask that was given, to be corrected. */
  private start: Step | null = null;
  private steps: Step[] = [];
  /** How many of the steps are not taken back. */
  private made = 0;

  constructor(private readonly view: View) {}

  /** Any gesture; `level` is one of a first tap, at its place, before anything else. */
  make(gesture: Gesture, level?: string): Promise<Answer> {
    const timings: Timings = {};
    return timed(timings, "total", async () => {
      const { view, current } = this;
      if (!(view instanceof GuidedView)) return this.tap(gesture, timings, level);
      if (current !== null && level === undefined) {
        this.last = null; // its tile may be another one
        return this.push(await view.correct(current, gesture, timings));
      }
      if (current !== null) this.checkFirst(current, gesture);
      const step = await this.begin(view, gesture, timings, level);
      this.made = 0; // another level takes the place of the one before
      return this.push(step);
    });
  }

  /** What a level of the first tap gives, which stays as it is. */
  candidate(gesture: Gesture, level: string): Promise<Answer> {
    const timings: Timings = {};
    return timed(timings, "total", async () => {
      const { view, current } = this;
      if (!(view instanceof GuidedView)) return this.tap(gesture, timings, level);
      if (current !== null) this.checkFirst(current, gesture);
      return answerOf(await this.begin(view, gesture, timings, level));
    });
  }

  /** Begin a new thing with its mask, not 0 inside. */
  startFrom(mask: Uint8Array): Answer {
    const timings: Timings = {};
    const step = timed(timings, "total", () => this.guided.startFrom(mask, timings));
    this.clear();
    this.start = step;
    return answerOf(step);
  }

  /** Take the last gesture back (-1), or make the one again that was (1); null before the first. */
  move(by: -1 | 1): Answer | null {
    const { canUndo, canRedo } = this.history;
    if (!(by < 0 ? canUndo : canRedo)) {
      throw new GestureError(`There is nothing to ${by < 0 ? "undo" : "redo"}.`);
    }
    this.made += by;
    return this.current === null ? null : answerOf(this.current);
  }

  /** Begin a new thing; all gestures are forgotten, the photo stays open. */
  clear(): void {
    [this.start, this.steps, this.made, this.last] = [null, [], 0, null];
  }

  /** What the page is told with every answer. */
  get history(): Omit<Moved, "answer"> {
    const { view, made, steps, start, current } = this;
    const kept = start === null ? steps : [start, ...steps];
    const arrays = [...new Set(kept.flatMap(stepArrays))];
    return {
      gestures: current?.gestures ?? (this.last === null ? [] : [this.last.gesture]),
      canUndo: made > 0,
      canRedo: made < steps.length,
      nbytes: arrays.reduce((sum, array) => sum + array.byteLength, view.nbytes),
    };
  }

  private get current(): Step | null {
    return this.made > 0 ? this.steps[this.made - 1]! : this.start;
  }

  private get guided(): GuidedView {
    if (this.view instanceof GuidedView) return this.view;
    throw noGuidedLook();
  }

  /** What is at a photo pixel; another level of the same one right after costs a mask only. */
  private async tap(gesture: Gesture, timings: Timings, level?: string): Promise<Answer> {
    if (gesture.kind !== "tap" || !gesture.positive) throw noGuidedLook();
    const look = await this.look(gesture, () => this.view.look(gesture.at, timings));
    return look.result(timings, level);
  }

  private checkFirst({ gestures }: Step, gesture: Gesture): void {
    if (gestures.length === 1 && isSame(gestures[0]!, gesture)) return;
    throw new GestureError(
      "A level can be asked of a first tap, at its place, before anything else; undo the other " +
        "gestures, or clear.",
    );
  }

  private async begin(
    view: GuidedView,
    gesture: Gesture,
    timings: Timings,
    level?: string,
  ): Promise<Step> {
    const first = await this.look(gesture, () => view.first(gesture, timings));
    return view.begin(first as FirstGesture, timings, level);
  }

  private async look(gesture: Gesture, ask: () => Promise<Answered>): Promise<Answered> {
    if (this.last === null || !isSame(this.last.gesture, gesture)) {
      this.last = null; // its arrays are free while the next ones are computed
      this.last = { gesture, look: await ask() };
    }
    return this.last.look;
  }

  private push(step: Step): Answer {
    this.steps = [...this.steps.slice(0, this.made), step];
    this.made++;
    return answerOf(step);
  }
}

function isSame(one: Gesture, other: Gesture): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

function noGuidedLook(): GestureError {
  return new GestureError(
    "This bundle has no guided look, or another schedule was asked for; export it from a network " +
      "that has one, or name no schedule.",
  );
}
