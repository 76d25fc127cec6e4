/** How much of the photo a mask covers, told without placing it: a tiny one is not lost. */

import { PROBABILITY_STRIDE, type MaskMap } from "../src/placeMask.ts";

/** The share of the photo that the cells above one half cover; 0 only if there are none. */
export function coveredShare(map: MaskMap): number {
  const { probability, height, width, window, content, tile, photo } = map;
  const [left, top] = window;
  let cells = 0;
  for (let y = 0; y < height && top + PROBABILITY_STRIDE * y < content.height; y++) {
    for (let x = 0; x < width && left + PROBABILITY_STRIDE * x < content.width; x++) {
      if ((probability[y * width + x] as number) > 0.5) cells++;
    }
  }
  const [x0, y0, x1, y1] = tile;
  const shareOfTile = (cells * PROBABILITY_STRIDE ** 2) / (content.height * content.width);
  const tileOfPhoto = ((x1 - x0) * (y1 - y0)) / (photo.height * photo.width);
  return Math.min(1, shareOfTile) * tileOfPhoto;
}
