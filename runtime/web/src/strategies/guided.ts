/** The zoom's answer, corrected on the tile: by the tap itself, then by whatever gestures follow. */

import { guideCells, Run, runPasses, type Own } from "../answer/correction.ts";
import type { EncodedView, Look, Viewer } from "../answer/look.ts";
import { isStroke, type Cells, type Mark } from "../answer/marks.ts";
import { carried, emptyState, put, stateBox, type MaskState } from "../answer/maskState.ts";
import {
  boundsOf,
  checkGesture,
  checkMask,
  isPositive,
  markOf,
  tapped,
  type Gesture,
} from "../answer/prompt.ts";
import { GIVEN, type Answer } from "../answer/result.ts";
import { GUIDE_STRIDE } from "../contract.ts";
import { GestureError } from "../errors.ts";
import { ownChoice, type Choice, type Schedule } from "../graph/schedule.ts";
import { isSameTile, united, type PlacedTile } from "../image/geometry.ts";
import type { Pixels } from "../image/pixels.ts";
import type { Box, Point, Size } from "../rectangles.ts";
import { timed, type Timings } from "../timing.ts";
import { chooseTile, leaves, shrinks, spills, tileAbout, type GuidedRule } from "./rules.ts";
import { answerOf, GUIDED, type Step } from "./step.ts";
import type { Strategy, View } from "./strategy.ts";

/** The name that results have for the window of a mask that was corrected. */
const CORRECTION = "correction";

/** Of a mask without pixels. */
const NO_BOX: Box = [0, 0, 0, 0];

/**
 * How often the tile may move after a gesture because the mask spills over its sides or has become
 * small on it.
 */
const MOST_MOVES = 2;

/** A look by `first` at the whole photo; looks and corrections by `tile`. */
export class Guided implements Strategy {
  readonly name = GUIDED;
  readonly schedules: readonly Schedule[];

  constructor(
    readonly first: Schedule,
    readonly tile: Schedule,
    readonly rule: GuidedRule,
  ) {
    this.schedules = [first, tile];
  }

  /** Run what all first looks at a photo share; the photo is kept for its tiles. */
  async open(viewer: Viewer, photo: Pixels, timings: Timings): Promise<GuidedView> {
    const whole = await viewer.encode(ownChoice(this.first), photo, timings);
    return new GuidedView(ownChoice(this.tile), this.rule, viewer, photo, whole);
  }
}

/**
 * A first gesture that TraceNet has looked at; its mask is not computed yet.
 *
 * `near` is the look at a tile, which is `encoded`, and `answering` that or the one at the whole
 * photo. `run` is what it took so far.
 */
export class FirstGesture {
  constructor(
    private readonly view: GuidedView,
    readonly gesture: Gesture,
    readonly encoded: EncodedView,
    readonly near: Look,
    readonly answering: Look,
    readonly run: Run,
  ) {}

  /** As `Look.result`, corrected. */
  async result(timings: Timings, level?: string): Promise<Answer> {
    return answerOf(await this.view.begin(this, timings, level));
  }
}

/** A photo that is encoded for first looks, and the one tile of it that is corrected. */
export class GuidedView implements View {
  private readonly size: Size;
  private opened: EncodedView | null = null;

  /** `choice` looks and corrects; `whole` is the photo for first looks. */
  constructor(
    private readonly choice: Choice,
    private readonly rule: GuidedRule,
    private readonly viewer: Viewer,
    private readonly photo: Pixels,
    private readonly whole: EncodedView,
  ) {
    this.size = { height: photo.height, width: photo.width };
  }

  get nbytes(): number {
    return this.whole.nbytes + (this.opened?.nbytes ?? 0);
  }

  get macs(): number {
    return this.whole.macs;
  }

  look(at: Point, timings: Timings): Promise<FirstGesture> {
    return this.first({ kind: "tap", at, positive: true }, timings);
  }

  /** What the first gesture of a thing means; `GestureError` for one that cannot be it. */
  async first(gesture: Gesture, timings: Timings): Promise<FirstGesture> {
    checkGesture(gesture, this.size);
    if (!isPositive(gesture)) {
      throw new GestureError(
        "Nothing is marked yet that this could be taken from; begin with a positive gesture, or " +
          "with a mask.",
      );
    }
    const run = new Run(timings);
    const { zoom } = this.rule;
    if (gesture.kind === "box") {
      const tile = tileAbout(zoom, this.choice.canvas, this.size, gesture.box, zoom.extent);
      const encoded = await this.open(tile, run);
      const near = await this.lookAt(encoded, gesture, run);
      return new FirstGesture(this, gesture, encoded, near, near, run);
    }
    const whole = await this.lookAt(this.whole, gesture, run);
    const at = tapped(gesture, this.size);
    const box = gesture.kind === "tap" ? whole.box : united([whole.box, boundsOf(gesture)]);
    const tile = chooseTile(zoom, this.choice.canvas, whole.placement, at, box);
    const encoded = await this.open(tile ?? [0, 0, this.size.width, this.size.height], run);
    const near = await this.lookAt(encoded, gesture, run);
    const answering = near.score >= zoom.trust * whole.score ? near : whole;
    return new FirstGesture(this, gesture, encoded, near, answering, run);
  }

  /**
   * A thing after its first gesture, of the level that answers or the one that is named.
   *
   * Throws `UnknownLevel` for a level that was not asked.
   */
  async begin(first: FirstGesture, timings: Timings, level?: string): Promise<Step> {
    const { gesture, encoded, near, answering } = first;
    const run = new Run(timings);
    run.macs = first.run.macs;
    run.regions.push(...first.run.regions);
    const view = encoded.place;
    const answer = await run.stage("mask", (inner) => answering.mask(inner, level));
    let own = answer;
    if (answering !== near) {
      const asked = level !== undefined && near.asks(level) ? level : undefined;
      own = await run.stage("mask", (inner) => near.mask(inner, asked));
    }
    for (const mask of new Set([answer, own])) {
      run.macs += mask.macs;
      run.regions.push(...mask.regions);
    }
    const { seen, prior } = timed(timings, "mask", () => {
      const seen = guideCells(own.map, view.canvas);
      if (gesture.kind === "box") return { seen, prior: blank(seen) };
      if (answering === near) return { seen, prior: seen };
      const whole = put(emptyState(this.size), {
        map: answer.map,
        view: answering.place,
        strokes: [],
      });
      return { seen, prior: carried(whole, view) };
    });
    const evidence = {
      positive: times(own.answering.score, seen.data),
      negative: blank(seen).data,
    };
    const marks = [markOf(gesture, view)];
    const passed = await runPasses(this.rule, encoded, marks, prior, null, evidence, run);
    return {
      gestures: [gesture],
      given: null,
      mask: this.put(emptyState(this.size), passed.cells, view, marks),
      view,
      marks,
      own: evidence,
      score: answer.answering.score,
      level: answer.answering.level,
      candidates: answering.candidates,
      box: answer.answering.box,
      window: CORRECTION,
      canvas: view.canvas,
      macs: run.macs,
      regions: run.regions,
      obeyed: passed.obeyed,
      timings,
    };
  }

  /** A thing whose mask is given, not 0 inside; it is copied. `GestureError` for another size. */
  startFrom(mask: Uint8Array, timings: Timings): Step {
    checkMask(mask, this.size);
    const { state, box } = timed(timings, "mask", () => {
      const base = mask.map((value) => (value === 0 ? 0 : 1));
      const state = { ...emptyState(this.size), base };
      return { state, box: stateBox(state) ?? NO_BOX };
    });
    return {
      gestures: [],
      given: state,
      mask: state,
      view: null,
      marks: [],
      own: { positive: new Float32Array(), negative: new Float32Array() },
      score: 1,
      level: GIVEN,
      candidates: [],
      box,
      window: GIVEN,
      canvas: this.choice.canvas,
      macs: 0,
      regions: [],
      obeyed: null,
      timings,
    };
  }

  /** The thing after one more gesture; `GestureError` for one that is not on the photo. */
  async correct(step: Step, gesture: Gesture, timings: Timings): Promise<Step> {
    checkGesture(gesture, this.size);
    const { rule, size } = this;
    const run = new Run(timings);
    const gestures = [...step.gestures, gesture];
    const stays = step.view !== null && !leaves(rule, step.view, size, boundsOf(gesture));
    const tile = stays ? step.view.tile : this.tileAbout(step.mask, gestures, rule.zoom.extent);
    let { after, obeyed } = await this.pass({ ...step, gestures }, step.mask, tile, run);
    for (let moves = 0; moves < MOST_MOVES; moves++) {
      const better = this.betterTile(after);
      if (better === null) break;
      ({ after } = await this.pass(after, step.mask, better, run));
    }
    return {
      ...after,
      box: stateBox(after.mask) ?? NO_BOX,
      window: CORRECTION,
      canvas: this.choice.canvas,
      macs: run.macs,
      regions: run.regions,
      obeyed,
      timings,
    };
  }

  /**
   * The step with its newest gesture seen on a tile, and whether that was obeyed.
   *
   * `before` is the mask before the gesture.
   */
  private async pass(
    step: Step,
    before: MaskState,
    tile: Box,
    run: Run,
  ): Promise<{ after: Step; obeyed: boolean }> {
    const encoded = await this.open(tile, run);
    const view = encoded.place;
    const isKept = step.view !== null && isSameTile(step.view, view);
    const size = (view.canvas.height / GUIDE_STRIDE) * (view.canvas.width / GUIDE_STRIDE);
    const own: Own = isKept
      ? { positive: step.own.positive.slice(), negative: step.own.negative.slice() }
      : {
          // Where no gesture says it, what was given alone says what thing is meant: without it a
          // first line beside something small would mean that.
          positive: step.given === null ? new Float32Array(size) : carried(step.given, view).data,
          negative: new Float32Array(size),
        };
    const unseen = isKept ? step.gestures.slice(-1) : step.gestures;
    const { prior, held } = timed(run.timings, "mask", () => {
      const prior = carried(step.mask, view);
      return { prior, held: step.mask === before ? prior : carried(before, view) };
    });
    for (const gesture of unseen) {
      const { x, y } = tapped(gesture, this.size);
      if (x < tile[0] || x >= tile[2] || y < tile[1] || y >= tile[3]) continue;
      const seen = await this.evidence(encoded, gesture, run);
      // Of what was given only a part is wrong.
      if (step.given !== null && !isPositive(gesture) && isMost(seen, held.data)) continue;
      const sign = isPositive(gesture) ? own.positive : own.negative;
      seen.forEach((value, i) => {
        sign[i] = Math.max(sign[i]!, value);
      });
    }
    const marks = timed(run.timings, "mask", () => [
      ...(isKept ? step.marks : []),
      ...unseen.map((gesture) => markOf(gesture, view)),
    ]);
    const { cells, obeyed } = await runPasses(this.rule, encoded, marks, prior, held, own, run);
    const mask = this.put(step.mask, cells, view, marks);
    return { after: { ...step, mask, view, marks, own }, obeyed };
  }

  /** TraceNet's own mask at a gesture on the tile, times its score. */
  private async evidence(encoded: EncodedView, gesture: Gesture, run: Run): Promise<Float32Array> {
    const look = await this.lookAt(encoded, gesture, run);
    const mask = await run.stage("mask", (inner) => look.mask(inner));
    run.macs += mask.macs;
    run.regions.push(...mask.regions);
    return timed(run.timings, "mask", () => {
      return times(mask.answering.score, guideCells(mask.map, this.choice.canvas).data);
    });
  }

  private async lookAt(encoded: EncodedView, gesture: Gesture, run: Run): Promise<Look> {
    const at = tapped(gesture, this.size);
    const look = await run.stage("tap", (inner) => encoded.look(at, inner));
    run.macs += look.account.macs;
    run.regions.push(...look.account.regions);
    return look;
  }

  private async open(tile: Box, run: Run): Promise<EncodedView> {
    const { opened } = this;
    if (opened?.tile?.every((side, i) => side === tile[i])) return opened;
    this.opened = null; // its memory is free while the next one is computed
    const encoded = await run.stage("encode", (inner) =>
      this.viewer.encode(this.choice, this.photo, inner, tile),
    );
    run.macs += encoded.macs;
    this.opened = encoded;
    return encoded;
  }

  /** Where the mask lies better than on its tile; null if it lies well there. */
  private betterTile({ mask, gestures }: Step): Box | null {
    const { rule, size } = this;
    const { canvas } = this.choice;
    const { map, view } = mask.layers.at(-1)!;
    let extent = rule.zoom.extent;
    if (spills(rule, { ...map, data: map.probability }, view, size)) {
      extent = rule.roomy * Math.min(canvas.height, canvas.width);
    } else if (!shrinks(rule, about(mask, gestures), view)) {
      return null;
    }
    const tile = this.tileAbout(mask, gestures, extent);
    return tile.every((side, i) => side === view.tile[i]) ? null : tile;
  }

  private tileAbout(mask: MaskState, gestures: readonly Gesture[], extent: number): Box {
    const box = about(mask, gestures);
    return tileAbout(this.rule.zoom, this.choice.canvas, this.size, box, extent);
  }

  /** The mask with what a pass said of a tile. */
  private put(mask: MaskState, cells: Cells, view: PlacedTile, marks: readonly Mark[]): MaskState {
    const { data: probability, height, width } = cells;
    const { canvas, placement, tile } = view;
    const window = [0, 0, canvas.width, canvas.height] as const;
    const rest = { window, stride: GUIDE_STRIDE, placement, tile, photo: this.size };
    const map = { probability, height, width, ...rest };
    return put(mask, { map, view, strokes: marks.filter(isStroke) });
  }
}

function blank({ height, width }: Cells): Cells {
  return { height, width, data: new Float32Array(height * width) };
}

function times(factor: number, values: Float32Array): Float32Array {
  return values.map((value) => factor * value);
}

/** Whether evidence speaks of more than half of a mask's cells. */
function isMost(seen: Float32Array, mask: Float32Array): boolean {
  const inside = seen.filter((_, i) => mask[i]! > 0.5);
  const sum = inside.reduce((total, value) => total + value, 0);
  const largest = seen.reduce((most, value) => Math.max(most, value), 0);
  return sum > (inside.length * largest) / 2;
}

/** The box about the mask, all positive gestures and the newest one. */
function about(mask: MaskState, gestures: readonly Gesture[]): Box {
  const boxes = gestures.slice(0, -1).filter(isPositive).map(boundsOf);
  const box = stateBox(mask);
  return united([...boxes, boundsOf(gestures.at(-1)!), ...(box === null ? [] : [box])]);
}
