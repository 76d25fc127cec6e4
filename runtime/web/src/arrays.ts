/** Tensors that live between two programs, and windows of them. */

import type { CanvasImage } from "./canvas.ts";
import type { Tensor } from "./engine.ts";

/** A window of a feature map: its first cell is at (y0, x0) of that map. */
export interface PlacedArray {
  readonly tensor: Tensor;
  readonly y0: number;
  readonly x0: number;
}

/** What windows are cut from, by name: windows of feature maps, and the canvas as `image`. */
export type Arrays = ReadonlyMap<string, PlacedArray | CanvasImage>;
export type GrowingArrays = Map<string, PlacedArray | CanvasImage>;

/** The window that starts at (y0, x0) of the feature map; the array itself where that is all. */
export function cutPlaced(
  array: PlacedArray,
  y0: number,
  x0: number,
  height: number,
  width: number,
): Tensor {
  const { data, shape } = array.tensor;
  const [, channels, arrayHeight, arrayWidth] = shape;
  if (height === arrayHeight && width === arrayWidth) return array.tensor;
  const cut = new Float32Array(channels * height * width);
  for (let channel = 0, out = 0; channel < channels; channel++) {
    let cell = (channel * arrayHeight + y0 - array.y0) * arrayWidth + x0 - array.x0;
    for (let y = 0; y < height; y++, cell += arrayWidth, out += width) {
      cut.set(data.subarray(cell, cell + width), out);
    }
  }
  return { data: cut, shape: [1, channels, height, width] };
}
