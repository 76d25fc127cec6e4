/** What windows are cut from. */

import type { Shape } from "./program.ts";

/** A tensor, 1 x C x H x W, row by row. */
export interface Tensor {
  readonly data: Float32Array;
  readonly shape: Shape;
}

/** An array: something that windows are cut from. */
export interface Cuttable {
  /** The window that starts at (y0, x0) of the feature map. */
  cut(y0: number, x0: number, height: number, width: number): Tensor;
  /** How much memory it takes. */
  readonly nbytes: number;
}

export type Arrays = ReadonlyMap<string, Cuttable>;

/** External inputs, 1 x C x 1 x 1, by name. */
export type Vectors = ReadonlyMap<string, Tensor>;

/** A window of a feature map: its first cell is at (y0, x0) of that map. */
export class PlacedArray implements Cuttable {
  constructor(
    readonly tensor: Tensor,
    readonly y0: number,
    readonly x0: number,
  ) {}

  get nbytes(): number {
    return this.tensor.data.byteLength;
  }

  /** The tensor itself where the window is all of it. */
  cut(y0: number, x0: number, height: number, width: number): Tensor {
    const { data, shape } = this.tensor;
    const [, channels, arrayHeight, arrayWidth] = shape;
    if (height === arrayHeight && width === arrayWidth) return this.tensor;
    const cut = new Float32Array(channels * height * width);
    for (let channel = 0, out = 0; channel < channels; channel++) {
      let cell = (channel * arrayHeight + y0 - this.y0) * arrayWidth + x0 - this.x0;
      for (let y = 0; y < height; y++, cell += arrayWidth, out += width) {
        cut.set(data.subarray(cell, cell + width), out);
      }
    }
    return { data: cut, shape: [1, channels, height, width] };
  }
}
