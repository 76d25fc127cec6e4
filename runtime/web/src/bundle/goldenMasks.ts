/** Masks of golden.json. */

import { BundleError, firstLine } from "../errors.ts";
import { decodeRle } from "../image/rle.ts";
import type { Size } from "../rectangles.ts";
import type { JsonValue } from "./checkedJson.ts";
import type { Precision } from "./records.ts";

export const MAX_PHOTO_SIDE = 2 ** 30;

/** How far a replay may be from a golden answer, as docs/bundle.md says. */
export const TOLERANCES: Readonly<
  Record<Precision, { readonly score: number; readonly iou: number }>
> = {
  fp32: { score: 0.001, iou: 0.995 },
  fp16: { score: 0.01, iou: 0.98 },
  int8: { score: 0.05, iou: 0.9 },
};

/** A mask that a correct replay gives: its size, and its RLE's counts. */
export interface GoldenMask {
  readonly size: Size;
  readonly counts: string;
}

/** A COCO RLE; its counts are read when they are needed. */
export function parseGoldenMask(rle: JsonValue): GoldenMask {
  const [height, width] = rle.get("size").tupleOf(2);
  return {
    size: { height: height.integer(1, MAX_PHOTO_SIDE), width: width.integer(1, MAX_PHOTO_SIDE) },
    counts: rle.get("counts").text(),
  };
}

/** The mask; `BundleError` where the counts are not those of such a mask. */
export function decoded({ size, counts }: GoldenMask): Uint8Array {
  try {
    return decodeRle(size.height, size.width, counts);
  } catch (error) {
    throw new BundleError(
      `The golden mask cannot be decoded (${firstLine(error)}); export the bundle again.`,
    );
  }
}

/** With a mask of the same size; two empty ones are the same. */
export function maskIou(golden: GoldenMask, mask: Uint8Array): number {
  const expected = decoded(golden);
  let [union, common] = [0, 0];
  for (let i = 0; i < mask.length; i++) {
    union += mask[i]! | expected[i]!;
    common += mask[i]! & expected[i]!;
  }
  return union === 0 ? 1 : common / union;
}

export function isOfSize({ size }: GoldenMask, { height, width }: Size): boolean {
  return size.height === height && size.width === width;
}
