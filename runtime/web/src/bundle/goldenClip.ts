/** The golden clip: windows of the golden photo, and the masks that a correct replay carries. */

import { BundleError } from "../errors.ts";
import type { Pixels } from "../image/pixels.ts";
import type { Point, Size } from "../rectangles.ts";
import type { FollowRule } from "../tracking/tile.ts";
import { trackedMask } from "../tracking/tracked.ts";
import { Tracker, type TrackNetwork } from "../tracking/tracker.ts";
import type { JsonValue } from "./checkedJson.ts";
import {
  decoded,
  isOfSize,
  MAX_PHOTO_SIDE,
  maskIou,
  parseGoldenMask,
  TOLERANCES,
  type GoldenMask,
} from "./goldenMasks.ts";
import type { Precision } from "./records.ts";

const MAX_FRAMES = 64;
const MAX_THINGS = 16;

/** Where on the golden photo a frame begins, and the mask of each thing in it. */
interface GoldenFrame {
  readonly at: Point;
  readonly masks: readonly GoldenMask[];
}

/** Frames of this size; the masks of the first are given, the others carried. */
export interface GoldenClip {
  readonly size: Size;
  readonly frames: readonly GoldenFrame[];
}

export function parseGoldenClip(clip: JsonValue): GoldenClip {
  const [height, width] = clip.get("size").tupleOf(2);
  return {
    size: { height: height.integer(1, MAX_PHOTO_SIDE), width: width.integer(1, MAX_PHOTO_SIDE) },
    frames: clip.get("frames").elements(2, MAX_FRAMES).map(parseFrame),
  };
}

/** Throw a `BundleError` for the first mask of the golden clip that is carried otherwise. */
export async function checkGoldenClip<F>(
  clip: GoldenClip,
  photo: Pixels,
  network: TrackNetwork<F>,
  rule: FollowRule,
  precision: Precision,
): Promise<void> {
  const things = clip.frames[0]!.masks.length;
  for (const { at, masks } of clip.frames) {
    const isInside =
      at.x + clip.size.width <= photo.width && at.y + clip.size.height <= photo.height;
    const fits = masks.length === things && masks.every((mask) => isOfSize(mask, clip.size));
    if (!isInside || !fits) {
      throw new BundleError(
        "The golden clip does not fit the golden photo; export the bundle again.",
      );
    }
  }
  const tracker = new Tracker(network, things, rule);
  for (const [number, { at, masks }] of clip.frames.entries()) {
    const frame = cut(photo, at, clip.size);
    if (number === 0) {
      await tracker.touch(0, frame, masks.map(decoded));
      continue;
    }
    for (const [k, thing] of (await tracker.step(number, frame)).entries()) {
      const iou = maskIou(masks[k]!, trackedMask(thing));
      if (iou >= TOLERANCES[precision].iou) continue;
      throw new BundleError(
        `The frame number ${number + 1} of the golden clip gets a mask that overlaps the golden ` +
          `one by ${iou.toFixed(3)} (IoU); this browser does not reproduce the bundle: export it ` +
          "again or use another browser.",
      );
    }
  }
}

function parseFrame(frame: JsonValue): GoldenFrame {
  const [x, y] = frame.get("at").tupleOf(2);
  return {
    at: { x: x.integer(0, MAX_PHOTO_SIDE), y: y.integer(0, MAX_PHOTO_SIDE) },
    masks: frame.get("masks_rle").elements(1, MAX_THINGS).map(parseGoldenMask),
  };
}

/** So much of a photo, from a pixel on. */
function cut(photo: Pixels, { x, y }: Point, { height, width }: Size): Pixels {
  const data = new Uint8Array(3 * height * width);
  for (let row = 0; row < height; row++) {
    const start = 3 * ((y + row) * photo.width + x);
    data.set(photo.data.subarray(start, start + 3 * width), 3 * row * width);
  }
  return { height, width, data };
}
