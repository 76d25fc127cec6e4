/** What a program takes and gives, and its files. */

export type Shape = readonly [batch: number, channels: number, height: number, width: number];

/** An input or output of a program: 1 x C x H x W, float32. */
export interface TensorSpec {
  readonly name: string;
  readonly shape: Shape;
}

/** A static-shape model; `macs` are the multiply-adds of one run, `file` is where it is stored. */
export interface Program {
  readonly file: string;
  readonly macs: number;
  readonly inputs: ReadonlyMap<string, TensorSpec>;
  readonly outputs: ReadonlyMap<string, TensorSpec>;
}

/** A model, and files beside it, one of which its tensors may name as the place of their data. */
export interface ProgramFiles {
  readonly model: Uint8Array;
  readonly externalData: readonly { readonly path: string; readonly data: Uint8Array }[];
}
