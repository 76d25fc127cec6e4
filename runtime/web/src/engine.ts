import type { Shape } from "./manifest.ts";

/** A tensor, 1 x C x H x W, row by row. */
export interface Tensor {
  readonly data: Float32Array;
  readonly shape: Shape;
}

/** Runs the programs of one bundle. */
export interface Engine {
  /** The wanted outputs of a program by name, for inputs of the shapes it declares. */
  run(
    program: string,
    inputs: ReadonlyMap<string, Tensor>,
    wanted: readonly string[],
  ): Promise<Map<string, Tensor>>;
}
