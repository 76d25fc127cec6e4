/** What a bundle says of carrying masks through clips. */

import {
  FUSION_PLANES,
  KEY_CHANNELS,
  KEY_STRIDE,
  MASK_STRIDE,
  PLANE_STRIDE,
  TILE_SIDE,
  TOP_K,
  VALUE_CHANNELS,
} from "./contract.ts";
import { memoryBytes, RING_EVERY, RING_SLOTS, TOUCHED_SLOTS } from "./memory.ts";
import type { FollowRule } from "./tile.ts";

/** What the programs were trained with, and this reader does, as a bundle says it. */
export const TRACKING_DESCRIBED = {
  tile: TILE_SIDE,
  mask_stride: MASK_STRIDE,
  plane_stride: PLANE_STRIDE,
  key_stride: KEY_STRIDE,
  key_channels: KEY_CHANNELS,
  value_channels: VALUE_CHANNELS,
  fusion_planes: FUSION_PLANES,
  top_k: TOP_K,
  touched: TOUCHED_SLOTS,
  ring: RING_SLOTS,
  ring_every: RING_EVERY,
} as const;

/** Bytes of the memory of one thing, and of each further one, as a bundle says it. */
export const TRACKING_MEMORY = {
  one: memoryBytes(1),
  further: memoryBytes(2) - memoryBytes(1),
} as const;

/**
 * What propagation's programs and fusion's are for.
 *
 * `frame` makes features and a key of a tile, `value` what the memory keeps of a mask, `decode` a
 * mask of what the memory says, and `fuse` merges two.
 */
export const PARTS = ["frame", "value", "decode", "fuse"] as const;

export type Part = (typeof PARTS)[number];

/** The names of the programs, and the rule of the tile. */
export interface Tracking {
  readonly programs: Readonly<Record<Part, string>>;
  readonly rule: FollowRule;
}
