/** golden.json: taps on the golden photo with the answers that a correct replay gives. */

import type { Answer } from "./answer.ts";
import type { JsonValue } from "./checkedJson.ts";
import { BundleError, firstLine } from "./errors.ts";
import type { Precision } from "./manifest.ts";
import { placeMask } from "./placeMask.ts";
import { decodeRle } from "./rle.ts";
import type { Size } from "./types.ts";

/** How far a replay may be from a golden tap, as docs/bundle.md says. */
const TOLERANCES: Readonly<Record<Precision, { readonly score: number; readonly iou: number }>> = {
  fp32: { score: 0.001, iou: 0.995 },
  fp16: { score: 0.01, iou: 0.98 },
  int8: { score: 0.05, iou: 0.9 },
};

const MAX_PHOTO_SIDE = 2 ** 30;

/** A tap on the golden photo and the answer that a correct replay gives. */
export interface GoldenTap {
  readonly x: number;
  readonly y: number;
  readonly level: string;
  readonly score: number;
  readonly maskSize: Size;
  readonly maskCounts: string;
}

/** `count` times golden taps, at least one each; `BundleError` when malformed. */
export function parseGolden(root: JsonValue, count: number): GoldenTap[][] {
  return root
    .get("answers")
    .tupleOf(count)
    .map((taps) => taps.elements(1).map(parseGoldenTap));
}

/**
 * Throw a `BundleError` where a golden tap is answered otherwise.
 *
 * `photo` is the size of the golden photo, and `tap` gives what `schedule` says of one of its
 * pixels.
 */
export async function checkGoldenTap(
  golden: GoldenTap,
  schedule: string,
  photo: Size,
  precision: Precision,
  tap: (x: number, y: number) => Promise<Answer>,
): Promise<void> {
  const { x, y, maskSize } = golden;
  const fits = maskSize.height === photo.height && maskSize.width === photo.width;
  if (x >= photo.width || y >= photo.height || !fits) {
    throw new BundleError(
      `The golden tap (${x}, ${y}) does not fit the golden photo; export the bundle again.`,
    );
  }
  const difference = differenceOf(golden, await tap(x, y), precision);
  if (difference !== null) {
    throw new BundleError(
      `The golden tap (${x}, ${y}) of the schedule '${schedule}' gives ${difference}; this ` +
        "browser does not reproduce the bundle: export it again or use another browser.",
    );
  }
}

/** How a replay differs from a golden answer, or null when it is right in this precision. */
export function differenceOf(
  golden: GoldenTap,
  answer: Answer,
  precision: Precision,
): string | null {
  const tolerance = TOLERANCES[precision];
  if (answer.level !== golden.level) return `level ${answer.level} instead of ${golden.level}`;
  if (!(Math.abs(answer.score - golden.score) <= tolerance.score)) {
    return `a score of ${answer.score.toFixed(4)} instead of ${golden.score.toFixed(4)}`;
  }
  const expected = decodeMask(golden);
  const given = placeMask(answer.map, answer.photo);
  let [union, common] = [0, 0];
  for (let i = 0; i < given.length; i++) {
    union += given[i]! | expected[i]!;
    common += given[i]! & expected[i]!;
  }
  if (common >= tolerance.iou * union) return null;
  return `a mask that overlaps the golden one by ${(common / union).toFixed(3)} (IoU)`;
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
  const [x, y] = tap.get("at").pair();
  for (const side of tap.get("box").tupleOf(4)) side.number();
  const rle = tap.get("mask_rle");
  const [height, width] = rle.get("size").pair();
  return {
    x: x.integer(0, MAX_PHOTO_SIDE),
    y: y.integer(0, MAX_PHOTO_SIDE),
    level: tap.get("level").text(),
    score: tap.get("score").number(),
    maskSize: {
      height: height.integer(1, MAX_PHOTO_SIDE),
      width: width.integer(1, MAX_PHOTO_SIDE),
    },
    maskCounts: rle.get("counts").text(),
  };
}
