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

/** Pixels; no side of a canvas, and of no tensor, may be longer. */
export const MAX_SIDE = 16384;
