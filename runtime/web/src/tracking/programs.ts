/** Propagation's programs on an engine. */

import { notFinite } from "../errors.ts";
import type { Tensor } from "../graph/arrays.ts";
import type { Engine } from "../graph/executor.ts";
import type { Program } from "../graph/program.ts";
import type { PadValue } from "../image/canvas.ts";
import { FEATURE_NAMES, type Feature } from "./check.ts";
import { FUSION_PLANES, KEY_SIDE, PLANE_SIDE } from "./contract.ts";
import type { Part, Tracking } from "./records.ts";
import type { Encoded, TrackNetwork } from "./tracker.ts";

/** What the programs keep of a tile, as the engine gives it. */
export type Features = ReadonlyMap<Feature, Tensor>;

const CELLS = KEY_SIDE ** 2;

/**
 * What a tracker asks for, of a bundle whose programs of `tracking` the engine has open.
 *
 * Throws a `BundleError` when the engine refuses to run, or answers with numbers that are not
 * finite.
 */
export class TrackPrograms implements TrackNetwork<Features> {
  constructor(
    private readonly tracking: Tracking,
    private readonly programs: ReadonlyMap<string, Program>,
    private readonly engine: Engine,
    readonly padValue: PadValue,
  ) {}

  async encode(tile: Tensor): Promise<Encoded<Features>> {
    const wanted = [...FEATURE_NAMES, "key"];
    const outputs = await this.run("frame", new Map(), { image: tile }, wanted);
    const key = finite(cellsOf(outputs.get("key")!));
    return { features: new Map(FEATURE_NAMES.map((name) => [name, outputs.get(name)!])), key };
  }

  async value(features: Features, mask: Float32Array, others: Float32Array): Promise<Float32Array> {
    const masks = new Float32Array(2 * mask.length);
    masks.set(mask);
    masks.set(others, mask.length);
    const inputs = { masks: planesOf(masks, 2) };
    return finite(cellsOf((await this.run("value", features, inputs, ["value"])).get("value")!));
  }

  async decode(
    features: Features,
    read: Float32Array,
    prior: Float32Array,
  ): Promise<{ mask: Float32Array; presence: number }> {
    const inputs = { read: ofCells(read), prior: planesOf(prior, 1) };
    const outputs = await this.run("decode", features, inputs, ["mask", "presence"]);
    const mask = shares(outputs.get("mask")!.data);
    const presence = shares(outputs.get("presence")!.data);
    return { mask, presence: presence.reduce((most, value) => Math.max(most, value)) };
  }

  async fuse(features: Features, planes: Float32Array): Promise<Float32Array> {
    const inputs = { planes: planesOf(planes, FUSION_PLANES.length) };
    return shares((await this.run("fuse", features, inputs, ["share"])).get("share")!.data);
  }

  /** A program on the features that it takes, and on what the host gives. */
  private run(
    part: Part,
    features: Features,
    given: Readonly<Record<string, Tensor>>,
    wanted: readonly string[],
  ): Promise<Map<string, Tensor>> {
    const name = this.tracking.programs[part];
    const { inputs } = this.programs.get(name)!;
    const taken = [...features].filter(([feature]) => inputs.has(feature));
    return this.engine.run(name, new Map([...taken, ...Object.entries(given)]), wanted);
  }
}

function planesOf(data: Float32Array, channels: number): Tensor {
  return { data, shape: [1, channels, PLANE_SIDE, PLANE_SIDE] };
}

/** A plane for each channel -> the channels of each cell side by side. */
function cellsOf({ data, shape }: Tensor): Float32Array {
  return transposed(data, shape[1], CELLS);
}

/** The channels of each cell side by side -> a plane for each channel. */
function ofCells(cells: Float32Array): Tensor {
  const channels = cells.length / CELLS;
  const data = transposed(cells, CELLS, channels);
  return { data, shape: [1, channels, KEY_SIDE, KEY_SIDE] };
}

/** Of a matrix, row by row. */
function transposed(values: Float32Array, rows: number, columns: number): Float32Array {
  const turned = new Float32Array(values.length);
  for (let row = 0, from = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++, from++) {
      turned[column * rows + row] = values[from]!;
    }
  }
  return turned;
}

function finite(values: Float32Array): Float32Array {
  if (!values.every(Number.isFinite)) throw notFinite();
  return values;
}

/** Probabilities and the like, which whole numbers' arithmetic may put beyond 0 and 1. */
function shares(values: Float32Array): Float32Array {
  return finite(values).map((value) => Math.min(1, Math.max(0, value)));
}
