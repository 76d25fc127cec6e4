/** The clip and the network of tests/tracking_fakes.py. */

import type { Tensor } from "../src/graph/arrays.ts";
import type { Pixels } from "../src/image/pixels.ts";
import type { Size } from "../src/rectangles.ts";
import { KEY_CHANNELS, VALUE_CHANNELS } from "../src/tracking/contract.ts";
import type { Encoded, TrackNetwork } from "../src/tracking/tracker.ts";
import { noise } from "./seeded.ts";

export const SIZE: Size = { height: 120, width: 200 };
export const LENGTH = 12;
const COLOURS = [
  [220, 40, 30],
  [30, 60, 210],
] as const;
const SIDE = 26;
const AWAY: readonly number[] = [5, 6];

/** Numbers from 0 to 1, the same as in tests/test_web_tracking_fixtures.py. */
export function spread(seed: number, count: number): Float32Array {
  const fine = noise(seed, 2 * count);
  return Float32Array.from({ length: count }, (_, i) => {
    return (fine[2 * i]! * 256 + fine[2 * i + 1]!) / 65535;
  });
}

/** Every 197th number. */
export function some(values: Float32Array): number[] {
  return [...values.filter((_, i) => i % 197 === 0)];
}

export function iou(one: Uint8Array, other: Uint8Array): number {
  let [union, common] = [0, 0];
  for (let i = 0; i < one.length; i++) {
    union += one[i]! | other[i]!;
    common += one[i]! & other[i]!;
  }
  return union === 0 ? 1 : common / union;
}

export function truth(thing: number, number: number): Uint8Array {
  const mask = new Uint8Array(SIZE.height * SIZE.width);
  if (thing === 1 && AWAY.includes(number)) return mask;
  const one = [20 + 9 * number, 15 + 4 * number] as const;
  const [x, y] = thing === 0 ? one : [150 - 7 * number, 70 - 2 * number];
  for (let row = y; row < Math.min(y + SIDE, SIZE.height); row++) {
    mask.fill(1, row * SIZE.width + x, row * SIZE.width + Math.min(x + SIDE, SIZE.width));
  }
  return mask;
}

export function frame(number: number): Pixels {
  const data = new Uint8Array(3 * SIZE.height * SIZE.width);
  const masks = [truth(0, number), truth(1, number)];
  for (let pixel = 0; pixel < masks[0]!.length; pixel++) {
    const [x, y] = [pixel % SIZE.width, Math.floor(pixel / SIZE.width)];
    const shade = 60 + ((5 * x + 3 * y + 2 * number) % 97);
    const thing = masks.findIndex((mask) => mask[pixel] === 1);
    data.set(COLOURS[thing] ?? [shade, 200 - shade, 90 + Math.floor(shade / 3)], 3 * pixel);
  }
  return { ...SIZE, data };
}

/** The means of squares of cells, of square cells with so many numbers each. */
function coarser(cells: Float64Array, factor: number, depth: number): Float64Array {
  const side = Math.sqrt(cells.length / depth);
  const means = new Float64Array(cells.length / factor ** 2);
  for (let y = 0, i = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const cell = Math.floor(y / factor) * (side / factor) + Math.floor(x / factor);
      for (let channel = 0; channel < depth; channel++, i++) {
        means[cell * depth + channel]! += cells[i]! / factor ** 2;
      }
    }
  }
  return means;
}

/**
 * Finds what has that of the things' colours that is nearest to what the memory says.
 *
 * Features are the colours of a mask's cells, in rows of 128.
 */
export class ColourNetwork implements TrackNetwork<Float64Array> {
  readonly padValue = [124, 116, 104] as const;
  /** How often each of the programs ran. */
  readonly ran = { encode: 0, value: 0, decode: 0, fuse: 0 };

  async encode({ data }: Tensor): Promise<Encoded<Float64Array>> {
    this.ran.encode++;
    const count = data.length / 3;
    const pixels = new Float64Array(data.length);
    for (let i = 0; i < data.length; i++) pixels[3 * (i % count) + Math.floor(i / count)] = data[i]!;
    const features = coarser(pixels, 2, 3);
    const colours = coarser(features, 8, 3);
    const key = new Float32Array(256 * KEY_CHANNELS);
    for (let i = 0; i < key.length; i++) {
      const cell = Math.floor(i / KEY_CHANNELS);
      const channel = i % KEY_CHANNELS;
      const place = ((29 * cell + 17 * channel + cell * channel) % 101) / 400;
      key[i] = colours[3 * cell + (channel % 3)]! / 32 + place;
    }
    return { features, key };
  }

  async value(
    features: Float64Array,
    mask: Float32Array,
    others: Float32Array,
  ): Promise<Float32Array> {
    this.ran.value++;
    const area = mask.reduce((sum, value) => sum + value, 0) + 1e-3;
    const seen = coarser(features, 2, 3);
    const colour = [0, 1, 2].map((channel) => {
      return mask.reduce((sum, value, i) => sum + value * seen[3 * i + channel]!, 0) / area;
    });
    const [own, rest] = [mask, others].map((plane) => coarser(Float64Array.from(plane), 4, 1));
    const value = new Float32Array(256 * VALUE_CHANNELS);
    for (let cell = 0; cell < 256; cell++) {
      const said = [own![cell]!, rest![cell]!, ...colour];
      for (let channel = 0; channel < VALUE_CHANNELS; channel++) {
        value[cell * VALUE_CHANNELS + channel] = said[channel % 5]!;
      }
    }
    return value;
  }

  async decode(
    features: Float64Array,
    read: Float32Array,
    prior: Float32Array,
  ): Promise<{ mask: Float32Array; presence: number }> {
    this.ran.decode++;
    const mask = new Float32Array(128 ** 2).map((_, cell) => {
      const [x, y] = [cell % 128, Math.floor(cell / 128)];
      const before = prior[(y >> 1) * 64 + (x >> 1)]!;
      const place = ((y >> 3) * 16 + (x >> 3)) * VALUE_CHANNELS;
      const said = read.subarray(place + 2, place + 5);
      const [one, other] = COLOURS;
      const wanted = apart(said, one) <= apart(said, other) ? one : other;
      const near = clip(1.6 - apart(features.subarray(3 * cell, 3 * cell + 3), wanted) / 90);
      return clip(0.8 * near + 0.15 * before + 0.1 * read[place]! - 0.1 * read[place + 1]!);
    });
    return { mask, presence: mask.reduce((most, value) => Math.max(most, value)) };
  }

  async fuse(_: Float64Array, planes: Float32Array): Promise<Float32Array> {
    this.ran.fuse++;
    return new Float32Array(128 ** 2).map((_, i) => {
      const cell = (i >> 8) * 64 + ((i % 128) >> 1);
      const [before, now, added, removed, near, far] = Array.from({ length: 6 }, (_, plane) => {
        return planes[4096 * plane + cell]!;
      });
      const share = 0.2 + 1.5 * added! + 0.8 * removed! + 0.4 * far! - 0.3 * near!;
      return clip(share + 0.1 * (now! - before!));
    });
  }
}

function apart(values: Float32Array | Float64Array, colour: readonly number[]): number {
  return colour.reduce((sum, wanted, channel) => sum + Math.abs(values[channel]! - wanted), 0);
}

function clip(value: number): number {
  return Math.min(Math.max(value, 0), 1);
}
