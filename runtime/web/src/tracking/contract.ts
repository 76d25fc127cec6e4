/** Numbers that propagation's programs and what the host does between them agree on. */

/** Canvas pixels: the side of the tile that follows a thing. */
export const TILE_SIDE = 256;

/** Tile pixels per cell of a mask. */
export const MASK_STRIDE = 2;

/** Tile pixels per cell of what networks are told of masks. */
export const PLANE_STRIDE = 4;

/** Tile pixels per cell of keys, values and presence. */
export const KEY_STRIDE = 16;

export const KEY_CHANNELS = 64;
export const VALUE_CHANNELS = 128;

/**
 * What a fusion sees of a frame, on cells of `PLANE_STRIDE`: its mask before and after, what the
 * correction added and took away where the affinity carries it, and the distance to the corrected
 * frame and to the one touched before, both as shares of the distance of these two.
 */
export const FUSION_PLANES = [
  "old",
  "new",
  "added",
  "removed",
  "distance",
  "other_distance",
] as const;

/** Cells of the memory that a cell of a frame reads. */
export const TOP_K = 20;

/** Cells of a mask on one axis of a tile. */
export const MASK_SIDE = TILE_SIDE / MASK_STRIDE;

/** Cells of a plane on one axis of a tile. */
export const PLANE_SIDE = TILE_SIDE / PLANE_STRIDE;

/** Cells of a key on one axis of a tile. */
export const KEY_SIDE = TILE_SIDE / KEY_STRIDE;
