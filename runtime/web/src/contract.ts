/** Names and numbers that exporter and runtime agree on, besides what a manifest says. */

/** The external input that is the canvas, and the array that it becomes. */
export const IMAGE = "image";

/** The external vectors that a mask head takes. */
export const FILTER = "filter";
export const OFFSET = "offset";
export const INVERSE_SIZE = "inverse_size";

/** Their numbers of channels. */
export const VECTORS: ReadonlyMap<string, number> = new Map([
  [FILTER, 169],
  [OFFSET, 2],
  [INVERSE_SIZE, 1],
]);

/** Canvas pixels per cell of a mask's probabilities, on both axes. */
export const PROBABILITY_STRIDE = 2;

/** The external input that tells a guided look of the gestures and of the mask so far. */
export const GUIDE = "guide";

/** Canvas pixels per cell of its planes, and of the mask that a guided look gives. */
export const GUIDE_STRIDE = 4;

/** Its channels, in their order. */
export const GUIDE_PLANES = [
  "positive",
  "negative",
  "box",
  "prior",
  "own_positive",
  "own_negative",
  "newest",
  "right",
  "down",
] as const;

/** Pixels; no side of a canvas, and of no tensor, may be longer. */
export const MAX_SIDE = 16384;
