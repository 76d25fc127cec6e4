/** Tracking's programs on an engine, and the golden clip that proves one. */

import { expect, test } from "vitest";
import { JsonValue } from "../src/bundle/checkedJson.ts";
import { checkGoldenClip, parseGoldenClip } from "../src/bundle/goldenClip.ts";
import { BundleError } from "../src/errors.ts";
import type { Tensor } from "../src/graph/arrays.ts";
import type { Engine } from "../src/graph/executor.ts";
import type { Shape, TensorSpec } from "../src/graph/program.ts";
import { TrackPrograms } from "../src/tracking/programs.ts";
import type { Tracking } from "../src/tracking/records.ts";
import { encodeRle } from "./rle.ts";
import { parseTiny, trackingJson } from "./tiny.ts";
import { ColourNetwork, frame, SIZE, spread, truth } from "./trackingFakes.ts";

const manifest = parseTiny(trackingJson());
const tracking = manifest.tracking as Tracking;
const RULE = tracking.rule;

/** Gives noise, and keeps what it was asked. */
class NoiseEngine implements Engine {
  readonly asked: { program: string; inputs: ReadonlyMap<string, Tensor> }[] = [];
  change: (name: string, data: Float32Array) => void = () => undefined;

  async run(
    program: string,
    inputs: ReadonlyMap<string, Tensor>,
    wanted: readonly string[],
  ): Promise<Map<string, Tensor>> {
    const { inputs: taken, outputs } = manifest.programs.get(program)!;
    expect(new Set(inputs.keys())).toEqual(new Set(taken.keys()));
    for (const [name, { shape }] of inputs) expect(shape).toEqual(taken.get(name)!.shape);
    this.asked.push({ program, inputs });
    return new Map(wanted.map((name) => [name, this.given(outputs.get(name)!)]));
  }

  private given({ name, shape }: TensorSpec): Tensor {
    const data = spread(name.length, count(shape));
    this.change(name, data);
    return { data, shape };
  }
}

function count(shape: Shape): number {
  return shape.reduce((product, side) => product * side, 1);
}

function noiseOf(name: string, length: number): Float32Array {
  return spread(name.length, length);
}

async function encoded(engine: NoiseEngine) {
  const programs = new TrackPrograms(tracking, manifest.programs, engine, [1, 2, 3]);
  const tile: Tensor = { data: new Float32Array(3 * 256 * 256), shape: [1, 3, 256, 256] };
  return { programs, ...(await programs.encode(tile)) };
}

test("each cell's channels stand side by side in the memory, apart in the programs", async () => {
  const engine = new NoiseEngine();
  const { programs, features, key } = await encoded(engine);
  const planes = noiseOf("key", 64 * 256);
  for (const [cell, channel] of [
    [0, 1],
    [255, 63],
    [17, 40],
  ] as const) {
    expect(key[cell * 64 + channel]).toBe(planes[channel * 256 + cell]);
  }
  expect(features.get("coarse")!.shape).toEqual([1, 16, 32, 32]);
  const [mask, others] = [spread(50, 4096), spread(51, 4096)];
  const value = await programs.value(features, mask, others);
  expect(value[3 * 128 + 5]).toBe(noiseOf("value", 128 * 256)[5 * 256 + 3]);
  const masks = engine.asked.at(-1)!.inputs.get("masks")!.data;
  expect([masks.subarray(0, 4096), masks.subarray(4096)]).toEqual([mask, others]);
  const read = spread(52, 256 * 128);
  const { presence } = await programs.decode(features, read, mask);
  const { inputs } = engine.asked.at(-1)!;
  expect(inputs.get("read")!.data[7 * 256 + 11]).toBe(read[11 * 128 + 7]);
  expect(inputs.get("prior")!.data).toEqual(mask);
  expect(presence).toBe(Math.max(...noiseOf("presence", 256)));
  await programs.fuse(features, spread(53, 6 * 4096));
  expect(engine.asked.map(({ program }) => program)).toEqual([
    "track_frame",
    "track_value",
    "track_decode",
    "track_fuse",
  ]);
});

test.each(["key", "value", "mask", "presence", "share"])("a %s that is not finite is refused", async (bad) => {
  const engine = new NoiseEngine();
  engine.change = (name, data) => {
    if (name === bad) data[data.length - 1] = NaN;
  };
  const work = async () => {
    const { programs, features } = await encoded(engine);
    await programs.value(features, new Float32Array(4096), new Float32Array(4096));
    await programs.fuse(features, new Float32Array(6 * 4096));
    await programs.decode(features, new Float32Array(256 * 128), new Float32Array(4096));
  };
  await expect(work()).rejects.toThrow(BundleError);
});

test("what is a share lies between 0 and 1", async () => {
  const engine = new NoiseEngine();
  engine.change = (name, data) => {
    if (["mask", "presence", "share"].includes(name)) data.set([-0.25, 0.5, 1.25]);
  };
  const { programs, features } = await encoded(engine);
  const planes = new Float32Array(4096);
  const { mask, presence } = await programs.decode(features, new Float32Array(256 * 128), planes);
  expect([...mask.subarray(0, 3)]).toEqual([0, 0.5, 1]);
  expect(presence).toBe(1);
  const share = await programs.fuse(features, new Float32Array(6 * 4096));
  expect([...share.subarray(0, 3)]).toEqual([0, 0.5, 1]);
});

/** The clip's first frame as a golden photo, whose windows are frames; the thing stays in them. */
function goldenClip(change: (mask: Uint8Array, number: number) => Uint8Array = (mask) => mask) {
  const size = { height: 90, width: 120 };
  const starts = [
    [0, 0],
    [6, 4],
    [12, 8],
  ] as const;
  const frames = starts.map(([x, y], number) => {
    const whole = truth(0, 0);
    const mask = Uint8Array.from({ length: size.height * size.width }, (_, i) => {
      const [row, column] = [Math.floor(i / size.width), i % size.width];
      return whole[(y + row) * SIZE.width + x + column]!;
    });
    const counts = encodeRle(change(mask, number), size.height, size.width);
    return { at: [x, y] as number[], masks_rle: [{ size: [size.height, size.width], counts }] };
  });
  return { size: [size.height, size.width], frames };
}

function check(clip: unknown): Promise<void> {
  const parsed = parseGoldenClip(new JsonValue(clip, "golden.json"));
  return checkGoldenClip(parsed, frame(0), new ColourNetwork(), RULE, "int8");
}

test("the golden clip is carried as it says", async () => {
  await check(goldenClip());
  const wrong = goldenClip((mask, number) => (number === 2 ? mask.map((v) => 1 - v) : mask));
  await expect(check(wrong)).rejects.toThrow(/frame number 3 of the golden clip gets a mask/);
});

test.each<[what: string, change: (clip: ReturnType<typeof goldenClip>) => void, reason: RegExp]>([
  ["beside the photo", (clip) => (clip.frames[2]!.at = [90, 0]), /does not fit the golden photo/],
  ["of another size", (clip) => (clip.size = [80, 120]), /does not fit the golden photo/],
  ["with another thing", (clip) => (clip.frames[1]!.masks_rle = []), /at least 1/],
  ["of one frame", (clip) => (clip.frames.length = 1), /at least 2/],
  ["with no RLE", (clip) => (clip.frames[0]!.masks_rle[0]!.counts = "o"), /cannot be decoded/],
])("a golden clip %s is refused", async (_, change, reason) => {
  const clip = goldenClip();
  change(clip);
  const refused = (async () => check(clip))();
  await expect(refused).rejects.toThrow(BundleError);
  await expect(refused).rejects.toThrow(reason);
});
