/** golden.json: gestures on the golden photo with the answers that a correct replay gives. */

import { maskOf, type Answer } from "../answer/result.ts";
import type { Gesture } from "../answer/prompt.ts";
import { BundleError } from "../errors.ts";
import type { Box, Point, Size } from "../rectangles.ts";
import type { JsonValue } from "./checkedJson.ts";
import { parseGoldenClip, type GoldenClip } from "./goldenClip.ts";
import {
  isOfSize,
  MAX_PHOTO_SIDE,
  maskIou,
  parseGoldenMask,
  TOLERANCES,
  type GoldenMask,
} from "./goldenMasks.ts";
import type { Precision } from "./records.ts";

const MAX_POINTS = 2 ** 12;

/** A tap on the golden photo and the answer that a correct replay gives, in photo pixels. */
export interface GoldenTap {
  readonly at: Point;
  readonly level: string;
  readonly score: number;
  readonly box: Box;
  readonly mask: GoldenMask;
}

/** A gesture of a session on the golden photo, and the mask after it. */
export interface GoldenGesture {
  readonly gesture: Gesture;
  readonly mask: GoldenMask;
}

/**
 * Golden taps: those of each schedule on its own canvas, in order, and the strategy's.
 *
 * `sessions` are of a guided look, `clips` of what carries masks.
 */
export interface Golden {
  readonly schedules: readonly (readonly GoldenTap[])[];
  readonly strategy: readonly GoldenTap[];
  readonly sessions: readonly (readonly GoldenGesture[])[];
  readonly clips: readonly GoldenClip[];
}

/** At least one tap of each of so many schedules and of the strategy; `BundleError` otherwise. */
export function parseGolden(root: JsonValue, schedules: number): Golden {
  const parseTaps = (taps: JsonValue) => taps.elements(1).map(parseGoldenTap);
  return {
    schedules: root.get("schedules").tupleOf(schedules).map(parseTaps),
    strategy: parseTaps(root.get("strategy")),
    sessions: root
      .get("sessions")
      .elements()
      .map((session) => session.elements(1).map(parseGoldenGesture)),
    clips: root.get("clips").elements().map(parseGoldenClip),
  };
}

/**
 * Throw a `BundleError` where a golden tap is answered otherwise.
 *
 * `photo` is the size of the golden photo, and `tap` gives what `name` says of one of its pixels.
 */
export async function checkGoldenTap(
  golden: GoldenTap,
  name: string,
  photo: Size,
  precision: Precision,
  tap: (at: Point) => Promise<Answer>,
): Promise<void> {
  const { at } = golden;
  const { x, y } = at;
  if (x >= photo.width || y >= photo.height || !isOfSize(golden.mask, photo)) {
    throw new BundleError(
      `The golden tap (${x}, ${y}) does not fit the golden photo; export the bundle again.`,
    );
  }
  const difference = differenceOf(golden, await tap(at), precision);
  if (difference !== null) {
    throw new BundleError(
      `The golden tap (${x}, ${y}) of ${name} gives ${difference}; this ` +
        "browser does not reproduce the bundle: export it again or use another browser.",
    );
  }
}

/**
 * Throw a `BundleError` for the first gesture of a golden session that is answered otherwise.
 *
 * `make` makes a gesture in a session on the golden photo, which has this size.
 */
export async function checkGoldenSession(
  session: readonly GoldenGesture[],
  photo: Size,
  precision: Precision,
  make: (gesture: Gesture) => Promise<Answer>,
): Promise<void> {
  for (const [number, golden] of session.entries()) {
    if (!isOfSize(golden.mask, photo)) {
      throw new BundleError(
        "A golden session does not fit the golden photo; export the bundle again.",
      );
    }
    const iou = maskIou(golden.mask, whole(await make(golden.gesture)));
    if (iou < TOLERANCES[precision].iou) {
      throw new BundleError(
        `The gesture number ${number + 1} of a golden session gives a mask that overlaps the ` +
          `golden one by ${iou.toFixed(3)} (IoU); this browser does not reproduce the bundle: ` +
          "export it again or use another browser.",
      );
    }
  }
}

/** How a replay differs from a golden answer, or null when it is right in this precision. */
function differenceOf(golden: GoldenTap, answer: Answer, precision: Precision): string | null {
  const tolerance = TOLERANCES[precision];
  if (answer.level !== golden.level) return `level ${answer.level} instead of ${golden.level}`;
  if (!(Math.abs(answer.score - golden.score) <= tolerance.score)) {
    return `a score of ${answer.score.toFixed(4)} instead of ${golden.score.toFixed(4)}`;
  }
  const iou = maskIou(golden.mask, whole(answer));
  if (iou < tolerance.iou) {
    return `a mask that overlaps the golden one by ${iou.toFixed(3)} (IoU)`;
  }
  const commonBox = area(intersection(answer.box, golden.box));
  const unionBox = area(answer.box) + area(golden.box) - commonBox;
  if (commonBox >= tolerance.iou * unionBox) return null;
  return `a box that overlaps the golden one by ${(commonBox / unionBox).toFixed(3)} (IoU)`;
}

function whole({ probability, photo }: Answer): Uint8Array {
  return maskOf(probability, photo);
}

function intersection(one: Box, other: Box): Box {
  const [x0, y0] = [Math.max(one[0], other[0]), Math.max(one[1], other[1])];
  return [x0, y0, Math.min(one[2], other[2]), Math.min(one[3], other[3])];
}

function area([x0, y0, x1, y1]: Box): number {
  return Math.max(0, x1 - x0) * Math.max(0, y1 - y0);
}

function parseGoldenTap(tap: JsonValue): GoldenTap {
  const [x, y] = tap.get("at").tupleOf(2);
  const [x0, y0, x1, y1] = tap.get("box").tupleOf(4);
  return {
    at: { x: x.integer(0, MAX_PHOTO_SIDE), y: y.integer(0, MAX_PHOTO_SIDE) },
    level: tap.get("level").text(),
    score: tap.get("score").number(),
    box: [x0.number(), y0.number(), x1.number(), y1.number()],
    mask: parseGoldenMask(tap.get("mask_rle")),
  };
}

function parseGoldenGesture(value: JsonValue): GoldenGesture {
  return { gesture: parseGesture(value), mask: parseGoldenMask(value.get("mask_rle")) };
}

function parseGesture(value: JsonValue): Gesture {
  const kind = value.get("kind").textAmong("tap", "scribble", "box");
  if (kind === "box") {
    const [x0, y0, x1, y1] = value.get("box").tupleOf(4);
    return { kind, box: [x0.number(), y0.number(), x1.number(), y1.number()] };
  }
  const positive = value.get("positive").truth();
  if (kind === "tap") return { kind, at: parsePoint(value.get("at")), positive };
  const points = value.get("points").elements(1, MAX_POINTS).map(parsePoint);
  return { kind, points, width: value.get("width").positiveNumber(), positive };
}

function parsePoint(value: JsonValue): Point {
  const [x, y] = value.tupleOf(2);
  return { x: x.number(), y: y.number() };
}
