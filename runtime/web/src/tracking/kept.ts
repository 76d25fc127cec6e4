/** A thing in a frame, in few bytes: masks of a clip are kept for all of its frames. */

import type { Box, Size } from "../rectangles.ts";
import { MASK_SIDE } from "./contract.ts";
import { placed } from "./tile.ts";
import { bounds, shown, type Tracked } from "./tracked.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/**
 * A thing with its probability in steps of 1/STEPS, and that only in the window where it is not 0.
 *
 * What is not present has no cells. The window is in cells of the tile.
 */
export interface ThingCells {
  readonly tile: Box;
  readonly window: Box;
  readonly cells: Bytes;
  readonly presence: number;
  readonly present: boolean;
}

/** The pixels of a mask in the box about it, which is the window: 1 inside, a bit for each. */
export interface MaskBits {
  readonly window: Box;
  readonly bits: Bytes;
}

/** From 0 to 1: odd, so that no step is 0.5, which divides a mask from what is beside it. */
const STEPS = 31;

/**
 * Steps from 0 and 1 that count as these: no network is quite sure anywhere, and cells of nearly
 * nothing would take most of the bytes.
 */
const SURE = 7;

/** An empty window. */
const NOWHERE: Box = [0, 0, 0, 0];

function cellsOf(thing: Tracked): ThingCells {
  const { view, presence, present } = thing;
  const steps = Uint8Array.from(shown(thing), (value) => {
    const step = Math.floor(Math.fround(Math.fround(value * STEPS) + 0.5));
    return step < SURE ? 0 : step > STEPS - SURE ? STEPS : step;
  });
  const window = bounds(steps, MASK_SIDE, 0) ?? NOWHERE;
  return { tile: view.tile, window, cells: cut(steps, MASK_SIDE, window), presence, present };
}

/** The thing that was made small, of a frame of this size. */
export function thingOf({ tile, window, cells, ...rest }: ThingCells, frame: Size): Tracked {
  const probability = new Float32Array(MASK_SIDE ** 2);
  const [left, top, right] = window;
  const width = right - left;
  cells.forEach((step, i) => {
    const row = top + Math.floor(i / width);
    probability[row * MASK_SIDE + left + (i % width)] = step / STEPS;
  });
  return { ...rest, probability, view: placed(tile), frame };
}

/** A mask of a frame, not 0 inside, made small. */
function bitsOf(mask: Uint8Array, frame: Size): MaskBits {
  const window = bounds(mask, frame.width, 0) ?? NOWHERE;
  const inside = cut(mask, frame.width, window);
  const bits = new Uint8Array(Math.ceil(inside.length / 8));
  inside.forEach((value, i) => {
    if (value !== 0) bits[i >> 3]! |= 1 << (i & 7);
  });
  return { window, bits };
}

/** The mask that was made small, of a frame of this size: 1 inside, row by row. */
export function maskOfBits({ window, bits }: MaskBits, frame: Size): Uint8Array {
  const [left, top, right, bottom] = window;
  const mask = new Uint8Array(frame.height * frame.width);
  for (let y = top, i = 0; y < bottom; y++) {
    for (let x = left; x < right; x++, i++) {
      mask[y * frame.width + x] = (bits[i >> 3]! >> (i & 7)) & 1;
    }
  }
  return mask;
}

/** The thing as it is kept: its cells deflated. */
export async function keep(thing: Tracked): Promise<ThingCells> {
  const { cells, ...rest } = cellsOf(thing);
  return { ...rest, cells: await through(cells, new CompressionStream("deflate")) };
}

/** The thing that was kept. */
export async function unpacked({ cells, ...rest }: ThingCells): Promise<ThingCells> {
  return { ...rest, cells: await through(cells, new DecompressionStream("deflate")) };
}

/** The mask as it is kept: its bits deflated. */
export async function keepMask(mask: Uint8Array, frame: Size): Promise<MaskBits> {
  const { window, bits } = bitsOf(mask, frame);
  return { window, bits: await through(bits, new CompressionStream("deflate")) };
}

/** Whether two masks that were kept are the same. */
export function isSameMask(one: MaskBits, other: MaskBits | undefined): boolean {
  return (
    other !== undefined &&
    one.window.every((edge, i) => edge === other.window[i]) &&
    one.bits.length === other.bits.length &&
    one.bits.every((byte, i) => byte === other.bits[i])
  );
}

/** The mask that was kept. */
export async function unpackedMask({ window, bits }: MaskBits): Promise<MaskBits> {
  return { window, bits: await through(bits, new DecompressionStream("deflate")) };
}

async function through(
  bytes: Bytes,
  stream: CompressionStream | DecompressionStream,
): Promise<Bytes> {
  const changed = new Blob([bytes]).stream().pipeThrough(stream);
  return new Uint8Array(await new Response(changed).arrayBuffer());
}

/** What of rows of this width lies in a window, row by row. */
function cut(values: Uint8Array, width: number, [left, top, right, bottom]: Box): Bytes {
  const inside = new Uint8Array((right - left) * (bottom - top));
  for (let y = top; y < bottom; y++) {
    const row = values.subarray(y * width + left, y * width + right);
    inside.set(row, (y - top) * (right - left));
  }
  return inside;
}
