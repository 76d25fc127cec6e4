/** What a program takes and gives, and its files. */

export type Shape = readonly [batch: number, channels: number, height: number, width: number];
export type Dtype = "float32" | "float16";

/** An input or output of a program: 1 x C x H x W. */
export interface TensorSpec {
  readonly name: string;
  readonly shape: Shape;
  readonly dtype: Dtype;
}

/** A static-shape model; `macs` are the multiply-adds of one run, `file` is where it is stored. */
export interface Program {
  readonly file: string;
  readonly macs: number;
  readonly inputs: ReadonlyMap<string, TensorSpec>;
  readonly outputs: ReadonlyMap<string, TensorSpec>;
}

/** A model, and the files that its tensors name as the place of their data. */
export interface ProgramFiles {
  readonly model: Uint8Array;
  readonly externalData: readonly { readonly path: string; readonly data: Uint8Array }[];
}
