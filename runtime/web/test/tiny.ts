/** The tiny bundle of Python's tests: its manifest, and its programs without an engine. */

import { JsonValue } from "../src/bundle/checkedJson.ts";
import { parseManifest } from "../src/bundle/parser.ts";
import type { Manifest } from "../src/bundle/records.ts";
import type { Tensor } from "../src/graph/arrays.ts";
import type { Engine } from "../src/graph/executor.ts";
import type { Shape } from "../src/graph/program.ts";
import tiny from "./fixtures/tiny.json";
import tracking from "./fixtures/tracking_manifest.json";

export type Json = { [key: string]: Json } & { [index: number]: Json };

/** A copy of the manifest, to be changed. */
export function tinyJson(): Json {
  return structuredClone(tiny.manifest) as unknown as Json;
}

/** The same of a network that tracks, too. */
export function trackingJson(): Json {
  const json = tinyJson();
  const { tracking: said, programs } = structuredClone(tracking) as unknown as Json;
  Object.assign(json["programs"]!, programs);
  json["tracking"] = said!;
  const record = { sha256: "0".repeat(64), bytes: 1 } as unknown as Json;
  for (const program of Object.values(programs as Json)) {
    json["files"]![program["file"] as unknown as string] = record;
  }
  return json;
}

export function parseTiny(json: unknown = tinyJson()): Manifest {
  return parseManifest(new JsonValue(json, "manifest.json"));
}

export const tinyTable = Int32Array.from(tiny.table);

const WEIGHTS: Readonly<Record<string, number[][]>> = tiny.weights;

/** Poolings and mixes of colours; `CentredEngine` of tests/test_web_fixtures.py. */
export class TinyEngine implements Engine {
  readonly calls: string[] = [];

  run(program: string, inputs: ReadonlyMap<string, Tensor>): Promise<Map<string, Tensor>> {
    this.calls.push(program);
    return Promise.resolve(new Map(Object.entries(outputsOf(program, inputs))));
  }
}

function outputsOf(program: string, inputs: ReadonlyMap<string, Tensor>): Record<string, Tensor> {
  const input = (name: string) => inputs.get(name)!;
  if (program.startsWith("trunk")) {
    return { p3: pool(input("image"), 8), p4: pool(input("image"), 16) };
  }
  if (program.startsWith("query")) {
    const cells = input("cells");
    return {
      score: mapped(mix("score", cells), sigmoid),
      box: mapped(mix("box", cells), (value) => Math.max(0, value) * 0.05),
      filter: mix("filter", cells),
    };
  }
  if (program === "correction") {
    const moved = mix("state", input("cells"));
    const seen = mix("guide", input("guide"));
    return {
      mask_state: tensorOf(seen.shape, (_, y, x) =>
        sigmoid(valueAt(moved, 0, y >> 1, x >> 1) + valueAt(seen, 0, y, x)),
      ),
    };
  }
  if (program.startsWith("features")) {
    const cells = program === "features_all" ? pool(input("image"), 8) : input("cells");
    return { features: mix("feature", mapped(cells, (value) => value - 128)) };
  }
  return { mask: headMask(inputs) };
}

function tensorOf(shape: Shape, value: (channel: number, y: number, x: number) => number): Tensor {
  const [, channels, height, width] = shape;
  const data = new Float32Array(channels * height * width);
  for (let i = 0; i < data.length; i++) {
    const cell = i % (height * width);
    data[i] = value(Math.floor(i / (height * width)), Math.floor(cell / width), cell % width);
  }
  return { data, shape };
}

function valueAt({ data, shape }: Tensor, channel: number, y: number, x: number): number {
  return data[(channel * shape[2] + y) * shape[3] + x]!;
}

function mapped({ data, shape }: Tensor, change: (value: number) => number): Tensor {
  return { data: data.map(change), shape };
}

function pool(tensor: Tensor, factor: number): Tensor {
  const [, channels, height, width] = tensor.shape;
  return tensorOf([1, channels, height / factor, width / factor], (channel, y, x) => {
    let sum = 0;
    for (let i = 0; i < factor * factor; i++) {
      const row = y * factor + Math.floor(i / factor);
      sum += valueAt(tensor, channel, row, x * factor + (i % factor));
    }
    return sum / (factor * factor);
  });
}

function mix(name: string, tensor: Tensor): Tensor {
  const weights = WEIGHTS[name]!;
  const [, , height, width] = tensor.shape;
  return tensorOf([1, weights.length, height, width], (channel, y, x) =>
    weights[channel]!.reduce((sum, weight, c) => sum + weight * valueAt(tensor, c, y, x), 0),
  );
}

function headMask(inputs: ReadonlyMap<string, Tensor>): Tensor {
  const features = inputs.get("features")!;
  const filter = inputs.get("filter")!.data;
  const [offsetX, offsetY] = inputs.get("offset")!.data;
  const scale = inputs.get("inverse_size")!.data[0]!;
  const [, channels, height, width] = features.shape;
  return tensorOf([1, 1, 4 * height, 4 * width], (_, cellY, cellX) => {
    const [y, x] = [Math.floor(cellY / 4), Math.floor(cellX / 4)];
    let logit = (8 * x + offsetX!) * scale * filter[8]! + (8 * y + offsetY!) * scale * filter[9]!;
    for (let c = 0; c < channels; c++) logit += valueAt(features, c, y, x) * filter[c]!;
    return sigmoid(logit);
  });
}

function sigmoid(value: number): number {
  return 1 / (1 + Math.exp(-value));
}
