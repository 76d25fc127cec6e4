/** A clip's memory: a fixed number of frames, and what a new frame reads of them. */

import { affinity, readValues } from "./affinity.ts";
import { KEY_CHANNELS, KEY_SIDE, VALUE_CHANNELS } from "./contract.ts";

/** Of a frame. */
export const CELLS = KEY_SIDE ** 2;

/** Frames whose mask the user gave or corrected: the newest of them. */
export const TOUCHED_SLOTS = 4;

/** Frames at regular distances: the newest of them. */
export const RING_SLOTS = 4;

/** Frames from one of these to the next. */
export const RING_EVERY = 5;

/** The last is the frame before. */
const SLOTS = TOUCHED_SLOTS + RING_SLOTS + 1;

const KEY_LENGTH = CELLS * KEY_CHANNELS;
const VALUE_LENGTH = CELLS * VALUE_CHANNELS;
const LAST = SLOTS - 1;

/** Size in bytes of the memory of so many objects, however long the clip is. */
export function memoryBytes(objects: number): number {
  return SLOTS * (KEY_LENGTH + objects * VALUE_LENGTH) * 4;
}

/**
 * What is remembered of a clip; a frame's key is kept once for all objects.
 *
 * A key has KEY_CHANNELS numbers for each of CELLS, a value VALUE_CHANNELS.
 */
export class Memory {
  private readonly keys = new Float32Array(SLOTS * KEY_LENGTH);
  /** By object. */
  private readonly values: readonly Float32Array[];
  private touched: number[] = [];
  private ring: number[] = [];
  /** The number of the frame in each slot that is written. */
  private frame = new Map<number, number>();

  constructor(objects: number) {
    this.values = Array.from({ length: objects }, () => new Float32Array(SLOTS * VALUE_LENGTH));
  }

  /** Size in bytes. */
  get nbytes(): number {
    return this.values.reduce((sum, values) => sum + values.byteLength, this.keys.byteLength);
  }

  /** The numbers of the frames that are remembered, in the order of their slots. */
  get frames(): number[] {
    return this.slots.map((slot) => this.frame.get(slot)!);
  }

  /** Remember a frame that the user touched, in place of what was known of it. */
  touch(frame: number, key: Float32Array, values: readonly Float32Array[]): void {
    const known = this.touched.find((slot) => this.frame.get(slot) === frame);
    this.write(known ?? place(this.touched, 0, TOUCHED_SLOTS), frame, key, values);
  }

  /** Remember the frame before, which stays for longer if its number is one of the ring's. */
  remember(frame: number, key: Float32Array, values: readonly Float32Array[]): void {
    const before = this.frame.get(LAST);
    if (before !== undefined && before % RING_EVERY === 0) {
      this.copyLast(place(this.ring, TOUCHED_SLOTS, LAST), before);
    }
    this.write(LAST, frame, key, values);
  }

  /** Forget all but what the user touched, where another way through the clip begins. */
  forgetWay(): void {
    this.ring = [];
    this.frame = new Map([...this.frame].filter(([slot]) => this.touched.includes(slot)));
  }

  /** What the memory says of a frame with this key: VALUE_CHANNELS a cell, for each object. */
  read(query: Float32Array): Float32Array[] {
    const { slots } = this;
    const found = affinity(query, gathered(this.keys, slots, KEY_LENGTH));
    return this.values.map((values) =>
      readValues(found, gathered(values, slots, VALUE_LENGTH), VALUE_CHANNELS),
    );
  }

  private get slots(): number[] {
    return [...this.frame.keys()].sort((one, other) => one - other);
  }

  private write(
    slot: number,
    frame: number,
    key: Float32Array,
    values: readonly Float32Array[],
  ): void {
    this.keys.set(key, slot * KEY_LENGTH);
    this.values.forEach((stored, k) => stored.set(values[k]!, slot * VALUE_LENGTH));
    this.frame.set(slot, frame);
  }

  private copyLast(slot: number, frame: number): void {
    this.keys.copyWithin(slot * KEY_LENGTH, LAST * KEY_LENGTH);
    for (const stored of this.values) {
      stored.copyWithin(slot * VALUE_LENGTH, LAST * VALUE_LENGTH);
    }
    this.frame.set(slot, frame);
  }
}

/** The slots of an array one behind the other; all that is up to a slot is not copied. */
function gathered(stored: Float32Array, slots: readonly number[], length: number): Float32Array {
  if (slots.at(-1) === slots.length - 1) return stored.subarray(0, slots.length * length);
  const packed = new Float32Array(slots.length * length);
  slots.forEach((slot, i) => {
    packed.set(stored.subarray(slot * length, (slot + 1) * length), i * length);
  });
  return packed;
}

/** The slot from `start` up to `stop` that is written next: a free one, else the first written. */
function place(slots: number[], start: number, stop: number): number {
  let slot = start;
  if (slots.length === stop - start) slot = slots.shift()!;
  else while (slots.includes(slot)) slot++;
  slots.push(slot);
  return slot;
}
