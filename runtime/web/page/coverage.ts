/** How much of the photo a mask covers, told without placing it: a tiny one is not lost. */

import type { MaskState } from "../src/answer/maskState.ts";
import type { Box, Probability, ProbabilityMap } from "../src/index.ts";

/** The share of the photo that the cells above one half cover; 0 only if there are none. */
export function coveredShare(probability: Probability): number {
  const { height, width } = probability.photo;
  const covered = "layers" in probability ? ofState(probability) : ofMap(probability, []);
  return Math.min(1, covered / (height * width));
}

/** Photo pixels that a mask covers, each as its newest layer says. */
function ofState({ photo, layers, base }: MaskState): number {
  const tiles = layers.map(({ view }) => view.tile);
  const add = (sum: number, map: ProbabilityMap, n: number) => sum + ofMap(map, tiles.slice(n + 1));
  let covered = layers.map(({ map }) => map).reduce(add, 0);
  base?.forEach((inside, i) => {
    const [x, y] = [i % photo.width, Math.floor(i / photo.width)];
    if (inside !== 0 && !isOnAny(tiles, x, y)) covered++;
  });
  return covered;
}

/** Photo pixels that the cells of a map cover, without those on other tiles. */
function ofMap(map: ProbabilityMap, others: readonly Box[]): number {
  const { probability, stride, height, width, window, placement, tile } = map;
  const { photo: looked, content } = placement;
  const [left, top] = window;
  const [tileLeft, tileTop] = tile ?? [0, 0];
  const [xScale, yScale] = [content.width / looked.width, content.height / looked.height];
  let cells = 0;
  for (let y = 0; y < height && top + stride * y < content.height; y++) {
    for (let x = 0; x < width && left + stride * x < content.width; x++) {
      if (!((probability[y * width + x] as number) > 0.5)) continue;
      const photoX = tileLeft + (left + stride * (x + 0.5)) / xScale;
      const photoY = tileTop + (top + stride * (y + 0.5)) / yScale;
      if (!isOnAny(others, photoX, photoY)) cells++;
    }
  }
  return Math.min((cells * stride ** 2) / (xScale * yScale), looked.height * looked.width);
}

function isOnAny(tiles: readonly Box[], x: number, y: number): boolean {
  return tiles.some(([x0, y0, x1, y1]) => x0 <= x && x < x1 && y0 <= y && y < y1);
}
