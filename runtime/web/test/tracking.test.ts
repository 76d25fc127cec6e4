/** Following things through clips, against what Python gives. */

import { expect, test } from "vitest";
import { decodeRle } from "../src/image/rle.ts";
import type { Box } from "../src/rectangles.ts";
import { affinity, readValues } from "../src/tracking/affinity.ts";
import { aggregated } from "../src/tracking/aggregate.ts";
import { KEY_CHANNELS, TOP_K } from "../src/tracking/contract.ts";
import { GroupTracker } from "../src/tracking/groups.ts";
import { CELLS, Memory, memoryBytes } from "../src/tracking/memory.ts";
import { carried, followGroups, followTile } from "../src/tracking/tile.ts";
import { trackedBox, trackedMask, type Tracked } from "../src/tracking/tracked.ts";
import { Tracker } from "../src/tracking/tracker.ts";
import followed from "./fixtures/followed.json";
import grouped from "./fixtures/grouped.json";
import groups from "./fixtures/groups.json";
import memoryReads from "./fixtures/memory_reads.json";
import shared from "./fixtures/shared.json";
import tracked from "./fixtures/tracked.json";
import { ColourNetwork, frame, iou, LENGTH, SIZE, some, spread, truth } from "./trackingFakes.ts";

const RULE = { fill: 0.5, enlarge: 3, lost: 0.5, sure: 0.8 };

function expectNear(found: readonly number[], expected: readonly number[]): void {
  expect(found.length).toBe(expected.length);
  found.forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, 4));
}

test("a memory says what Python's says", () => {
  expect([memoryBytes(1), memoryBytes(2)]).toEqual(memoryReads.bytes);
  const memory = new Memory(2);
  for (const { number, touched, frames, read } of memoryReads.reads) {
    const key = spread(100 + number, CELLS * 64);
    const both = spread(200 + number, 2 * CELLS * 128);
    const values = [both.subarray(0, CELLS * 128), both.subarray(CELLS * 128)];
    if (touched) {
      memory.forgetWay();
      memory.touch(number, key, values);
    } else {
      memory.remember(number, key, values);
    }
    expect(memory.frames).toEqual(frames);
    const found = memory.read(spread(300 + number, CELLS * 64));
    const whole = new Float32Array([...found[0]!, ...found[1]!]);
    expectNear(some(whole), read);
  }
});

test("the most similar cells are read, however many there are", () => {
  for (const known of [4, 24, 256]) {
    const [query, keys] = [spread(1, 8 * KEY_CHANNELS), spread(2, known * KEY_CHANNELS)];
    const { count, cells, weights } = affinity(query, keys);
    expect(count).toBe(Math.min(TOP_K, known));
    for (let asked = 0; asked < 8; asked++) {
      const similarity = Array.from({ length: known }, (_, cell) => {
        let sum = 0;
        for (let i = 0; i < KEY_CHANNELS; i++) {
          sum -= (query[asked * KEY_CHANNELS + i]! - keys[cell * KEY_CHANNELS + i]!) ** 2;
        }
        return sum / 8;
      });
      const best = [...similarity.keys()].sort((a, b) => similarity[b]! - similarity[a]!);
      const own = [...cells.subarray(asked * count, (asked + 1) * count)];
      expect(new Set(own)).toEqual(new Set(best.slice(0, count)));
      const total = own.reduce((sum, cell) => sum + Math.exp(similarity[cell]!), 0);
      own.forEach((cell, i) => {
        expect(weights[asked * count + i]).toBeCloseTo(Math.exp(similarity[cell]!) / total, 5);
      });
    }
    const ones = new Float32Array(3 * known).fill(1);
    for (const value of readValues({ count, cells, weights }, ones, 3)) expect(value).toBeCloseTo(1);
  }
});

test("tiles follow boxes, and carry masks, as in Python", () => {
  let before = null;
  for (const { frame, rule, box, searched, seed, ...expected } of followed) {
    const [height, width] = frame as [number, number];
    const view = followTile(rule, { height, width }, box as Box | null, searched);
    expect(view.tile).toEqual(expected.tile);
    const { content } = view.placement;
    expect([content.height, content.width]).toEqual(expected.content);
    const moved = carried(spread(seed, 4096), before ?? view, view);
    expectNear(some(moved), expected.carried);
    before = view;
  }
});

test("things share tiles as in Python", () => {
  for (const { frame, rule, boxes, ...expected } of groups) {
    const [height, width] = frame as [number, number];
    const found = followGroups(rule, { height, width }, boxes as (Box | null)[]);
    expect(found).toEqual(expected.groups);
  }
});

test.each(shared)("$things things share cells as in Python", ({ things, seed, ...expected }) => {
  const all = spread(seed, things * 64);
  all[0] = 0;
  all[(things - 1) * 64 + 1] = 1;
  const masks = Array.from({ length: things }, (_, k) => all.subarray(64 * k, 64 * (k + 1)));
  expectNear(aggregated(masks).flatMap((mask) => [...mask]), expected.shared);
});

/** Of a thing, as Python tells it. */
function expectThing(thing: Tracked, expected: (typeof tracked.frames)[number][number]): void {
  expect(thing.view.tile).toEqual(expected.tile);
  expect(thing.present).toBe(expected.present);
  expect(thing.presence).toBeCloseTo(expected.presence, 3);
  const box = trackedBox(thing);
  if (box === null) expect(expected.box).toBeNull();
  else expectNear(box, expected.box!);
  some(thing.probability).forEach((value, i) => {
    expect(value).toBeCloseTo(expected.probability[i]!, 3);
  });
  const wanted = decodeRle(SIZE.height, SIZE.width, expected.mask_rle.counts);
  expect(iou(trackedMask(thing), wanted)).toBeGreaterThan(0.995);
}

test("two things are followed as in Python, one of which leaves and comes back", async () => {
  const network = new ColourNetwork();
  const tracker = new Tracker(network, 2, RULE);
  for (let number = 0; number < LENGTH; number++) {
    const things = await (number === 0
      ? tracker.touch(0, frame(0), [truth(0, 0), truth(1, 0)])
      : tracker.step(number, frame(number)));
    things.forEach((thing, k) => expectThing(thing, tracked.frames[number]![k]!));
  }
  expect(tracker.memory.frames).toEqual(tracked.remembered);
  expect(network.ran).toEqual({ encode: 12, value: 24, decode: 22, fuse: 0 });
});

test("things are followed in tiles of their own as in Python", async () => {
  const network = new ColourNetwork();
  const tracker = new GroupTracker(network, 3, RULE);
  const masks = grouped.masks.map(({ counts }) => decodeRle(SIZE.height, SIZE.width, counts));
  for (let number = 0; number < LENGTH; number++) {
    const things = await (number === 0
      ? tracker.touch(0, frame(0), masks)
      : tracker.step(number, frame(number)));
    expect(things.length).toBe(3);
    things.forEach((thing, k) => expectThing(thing, grouped.frames[number]![k]!));
  }
  expect(network.ran.encode).toBe(2 * LENGTH);
  expect(tracker.nbytes).toBe(memoryBytes(2) + memoryBytes(1));
});
