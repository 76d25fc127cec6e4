/** golden.json: taps on the golden photo with the answers that a correct replay gives. */

import type { Answer } from "../answer/result.ts";
import { BundleError, firstLine } from "../errors.ts";
import { maskAt } from "../image/mask.ts";
import { decodeRle } from "../image/rle.ts";
import type { Box, Point, Size } from "../rectangles.ts";
import type { JsonValue } from "./checkedJson.ts";
import type { Precision } from "./records.ts";

/** How far a replay may be from a golden tap, as docs/bundle.md says. */
const TOLERANCES: Readonly<Record<Precision, { readonly score: number; readonly iou: number }>> = {
  fp32: { score: 0.001, iou: 0.995 },
  fp16: { score: 0.01, iou: 0.98 },
  int8: { score: 0.05, iou: 0.9 },
};

const MAX_PHOTO_SIDE = 2 ** 30;

/** A tap on the golden photo and the answer that a correct replay gives, in photo pixels. */
export interface GoldenTap {
  readonly at: Point;
  readonly level: string;
  readonly score: number;
  readonly box: Box;
  readonly maskSize: Size;
  readonly maskCounts: string;
}

/** Golden taps: those of each schedule on its own canvas, in order, and the strategy's. */
export interface Golden {
  readonly schedules: readonly (readonly GoldenTap[])[];
  readonly strategy: readonly GoldenTap[];
}

/** At least one tap of each of so many schedules and of the strategy; `BundleError` otherwise. */
export function parseGolden(root: JsonValue, schedules: number): Golden {
  const parseTaps = (taps: JsonValue) => taps.elements(1).map(parseGoldenTap);
  return {
    schedules: root.get("schedules").tupleOf(schedules).map(parseTaps),
    strategy: parseTaps(root.get("strategy")),
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
  const { at, maskSize } = golden;
  const { x, y } = at;
  const fits = maskSize.height === photo.height && maskSize.width === photo.width;
  if (x >= photo.width || y >= photo.height || !fits) {
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

/** How a replay differs from a golden answer, or null when it is right in this precision. */
function differenceOf(golden: GoldenTap, answer: Answer, precision: Precision): string | null {
  const tolerance = TOLERANCES[precision];
  if (answer.level !== golden.level) return `level ${answer.level} instead of ${golden.level}`;
  if (!(Math.abs(answer.score - golden.score) <= tolerance.score)) {
    return `a score of ${answer.score.toFixed(4)} instead of ${golden.score.toFixed(4)}`;
  }
  const expected = decodeMask(golden);
  const given = maskAt(answer.probability, answer.photo);
  let [union, common] = [0, 0];
  for (let i = 0; i < given.length; i++) {
    union += given[i]! | expected[i]!;
    common += given[i]! & expected[i]!;
  }
  if (common < tolerance.iou * union) {
    return `a mask that overlaps the golden one by ${(common / union).toFixed(3)} (IoU)`;
  }
  const commonBox = area(intersection(answer.box, golden.box));
  const unionBox = area(answer.box) + area(golden.box) - commonBox;
  if (commonBox >= tolerance.iou * unionBox) return null;
  return `a box that overlaps the golden one by ${(commonBox / unionBox).toFixed(3)} (IoU)`;
}

function intersection(one: Box, other: Box): Box {
  const [x0, y0] = [Math.max(one[0], other[0]), Math.max(one[1], other[1])];
  return [x0, y0, Math.min(one[2], other[2]), Math.min(one[3], other[3])];
}

function area([x0, y0, x1, y1]: Box): number {
  return Math.max(0, x1 - x0) * Math.max(0, y1 - y0);
}

function decodeMask({ maskSize, maskCounts }: GoldenTap): Uint8Array {
  try {
    return decodeRle(maskSize.height, maskSize.width, maskCounts);
  } catch (error) {
    throw new BundleError(
      `The golden mask cannot be decoded (${firstLine(error)}); export the bundle again.`,
    );
  }
}

function parseGoldenTap(tap: JsonValue): GoldenTap {
  const [x, y] = tap.get("at").tupleOf(2);
  const [x0, y0, x1, y1] = tap.get("box").tupleOf(4);
  const rle = tap.get("mask_rle");
  const [height, width] = rle.get("size").tupleOf(2);
  return {
    at: { x: x.integer(0, MAX_PHOTO_SIDE), y: y.integer(0, MAX_PHOTO_SIDE) },
    level: tap.get("level").text(),
    score: tap.get("score").number(),
    box: [x0.number(), y0.number(), x1.number(), y1.number()],
    maskSize: {
      height: height.integer(1, MAX_PHOTO_SIDE),
      width: width.integer(1, MAX_PHOTO_SIDE),
    },
    maskCounts: rle.get("counts").text(),
  };
}
