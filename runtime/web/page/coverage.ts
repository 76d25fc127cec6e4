/** How much of the photo a mask covers, told without placing it: a tiny one is not lost. */

import { PROBABILITY_STRIDE } from "../src/contract.ts";
import type { ProbabilityMap } from "../src/index.ts";

/** The share of the photo that the cells above one half cover; 0 only if there are none. */
export function coveredShare(map: ProbabilityMap): number {
  const { probability, height, width, window, placement, photo } = map;
  const { photo: looked, content } = placement;
  const [left, top] = window;
  let cells = 0;
  for (let y = 0; y < height && top + PROBABILITY_STRIDE * y < content.height; y++) {
    for (let x = 0; x < width && left + PROBABILITY_STRIDE * x < content.width; x++) {
      if ((probability[y * width + x] as number) > 0.5) cells++;
    }
  }
  const shareOfLooked = (cells * PROBABILITY_STRIDE ** 2) / (content.height * content.width);
  const lookedAtOfPhoto = (looked.height * looked.width) / (photo.height * photo.width);
  return Math.min(1, shareOfLooked) * lookedAtOfPhoto;
}
