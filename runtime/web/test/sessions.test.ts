/** Whole sessions of the tiny bundle with a guided look, against what Python answers. */

import { expect, test } from "vitest";
import { Viewer } from "../src/answer/look.ts";
import type { Gesture } from "../src/answer/prompt.ts";
import { tapResult, type Answer } from "../src/answer/result.ts";
import { chooseStrategy, ownStrategy } from "../src/bundle/choice.ts";
import { GestureError, TapOutsidePhoto, UnknownLevel } from "../src/errors.ts";
import { decodeRle } from "../src/image/rle.ts";
import type { Box } from "../src/rectangles.ts";
import { LocalSession } from "../src/worker/localSession.ts";
import guided from "./fixtures/guided.json";
import { gestureOf } from "./gestureJson.ts";
import { smoothPhoto } from "./seeded.ts";
import { parseTiny, TinyEngine } from "./tiny.ts";

const manifest = parseTiny(structuredClone(guided.manifest));
const { seed, height, width } = guided.photo;
const photo = smoothPhoto(seed, height, width);
const FIRST: Gesture = { kind: "tap", at: { x: 200, y: 120 }, positive: true };
const NOT: Gesture = { kind: "tap", at: { x: 190, y: 131 }, positive: false };

async function open(name?: string, engine = new TinyEngine()): Promise<LocalSession> {
  const { programs, meaning, padValue } = manifest;
  const strategy = chooseStrategy(manifest, ownStrategy(manifest), name);
  return new LocalSession(
    await strategy.open(new Viewer(programs, meaning, padValue, engine), photo, {}),
  );
}

function maskOf(answer: Answer): Uint8Array {
  return tapResult(answer).mask;
}

function iou(one: Uint8Array, other: Uint8Array): number {
  let [union, common] = [0, 0];
  for (let i = 0; i < one.length; i++) {
    union += one[i]! | other[i]!;
    common += one[i]! & other[i]!;
  }
  return union === 0 ? 1 : common / union;
}

test.each(guided.sessions.map((steps) => ({ steps, gestures: steps.length })))(
  "a session of $gestures gestures answers as Python does",
  async ({ steps }) => {
    const session = await open();
    for (const { gesture, ...expected } of steps) {
      const answer = await session.make(gestureOf(gesture));
      expect(answer.level).toBe(expected.level);
      expect(answer.score).toBeCloseTo(expected.score, 5);
      answer.box.forEach((side, i) => expect(side).toBeCloseTo(expected.box[i]!, 1));
      expect(answer.schedule).toBe(expected.schedule);
      expect(answer.maskWindow).toBe(expected.mask_window);
      expect([answer.canvas.height, answer.canvas.width]).toEqual(expected.canvas);
      expect(answer.tile).toEqual(expected.tile);
      expect(answer.macs).toBe(expected.macs);
      expect(answer.obeyed).toBe(expected.obeyed);
      const mask = decodeRle(height, width, expected.mask_rle.counts);
      expect(iou(maskOf(answer), mask)).toBeGreaterThan(0.995);
    }
  },
);

test("levels of a first tap take each other's place, and can be seen before", async () => {
  const session = await open();
  const best = await session.make(FIRST);
  const levels = best.candidates.map(({ level }) => level);
  expect(levels[0]).toBe(best.level);
  const seen = new Map<string, Uint8Array>();
  for (const level of levels) seen.set(level, maskOf(await session.candidate(FIRST, level)));
  expect(session.history.gestures).toEqual([FIRST]);
  expect(session.history.canUndo).toBe(true);
  expect(seen.get(levels[1]!)).not.toEqual(seen.get(levels[0]!));
  for (const level of levels.reverse()) {
    const answer = await session.make(FIRST, level);
    expect(answer.level).toBe(level);
    expect(maskOf(answer)).toEqual(seen.get(level));
    expect(session.history).toMatchObject({ gestures: [FIRST], canRedo: false });
  }
  expect(maskOf(await session.make(FIRST, best.level))).toEqual(maskOf(best));
  session.move(-1);
  expect(session.history).toMatchObject({ canUndo: false, canRedo: true });
});

/** Pixels of a rectangle. */
function rectangle([x0, y0, x1, y1]: Box, inside: number): Uint8Array {
  return new Uint8Array(height * width).map((_, i) => {
    const [x, y] = [i % width, Math.floor(i / width)];
    return x0 <= x && x < x1 && y0 <= y && y < y1 ? inside : 0;
  });
}

test("a mask that is given is corrected", async () => {
  const session = await open();
  await session.make(FIRST);
  const given = session.startFrom(rectangle([110, 80, 220, 170], 7));
  expect(maskOf(given)).toEqual(rectangle([110, 80, 220, 170], 1));
  expect(given).toMatchObject({ level: "given", score: 1, candidates: [], obeyed: null });
  expect(given.box).toEqual([110, 80, 220, 170]);
  expect(session.history).toMatchObject({ gestures: [], canUndo: false, canRedo: false });
  const NOT_THERE: Gesture = { kind: "tap", at: { x: 165, y: 125 }, positive: false };
  const corrected = await session.make(NOT_THERE);
  expect(maskOf(corrected)[125 * width + 165]).toBe(0);
  expect(corrected.tile).not.toBeNull();
  expect(session.history.gestures).toEqual([NOT_THERE]);
  expect(maskOf(session.move(-1)!)).toEqual(maskOf(given));
  const { nbytes } = session.history;
  session.clear();
  expect(nbytes - session.history.nbytes).toBeGreaterThan(height * width);
});

test("undo and redo are exact", async () => {
  const session = await open();
  const gestures: Gesture[] = [FIRST, NOT, { kind: "box", box: [180, 100, 230, 150] }];
  const made: Answer[] = [];
  for (const gesture of gestures) made.push(await session.make(gesture));
  const masks = made.map(maskOf);
  expect(session.move(-1)).toEqual(made[1]);
  expect(session.history.gestures).toEqual(gestures.slice(0, 2));
  expect(session.move(-1)).toEqual(made[0]);
  expect(session.move(-1)).toBeNull();
  expect(() => session.move(-1)).toThrow("nothing to undo");
  made.forEach((answer, i) => {
    const again = session.move(1)!;
    expect(again).toEqual(answer);
    expect(maskOf(again)).toEqual(masks[i]);
  });
  expect(() => session.move(1)).toThrow("nothing to redo");
  // A gesture after an undo takes the place of what was taken back.
  session.move(-1);
  await session.make(NOT);
  expect(session.history).toMatchObject({ canRedo: false, gestures: [FIRST, NOT, NOT] });
});

test("the twentieth gesture on a tile costs what the second does", async () => {
  const engine = new TinyEngine();
  const session = await open(undefined, engine);
  await session.make(FIRST);
  const ran: string[][] = [];
  for (let i = 0; i < 19; i++) {
    engine.calls.length = 0;
    await session.make({ ...NOT, at: { x: 195 + (i % 5), y: 118 + (i % 4) } });
    ran.push([...engine.calls]);
  }
  expect(ran[0]).not.toContain("trunk_whole");
  for (const calls of ran) expect(calls).toEqual(ran[0]);
});

test("opening is not done again for a new thing", async () => {
  const engine = new TinyEngine();
  const session = await open(undefined, engine);
  await session.make(FIRST);
  const first = engine.calls.filter((v) => v === "trunk_whole").length;
  session.clear();
  expect(session.history).toMatchObject({ gestures: [], canUndo: false, canRedo: false });
  engine.calls.length = 0;
  await session.make(FIRST);
  expect(engine.calls.filter((v) => v === "trunk_whole").length).toBeLessThanOrEqual(first);
});

test("what no session can do is one sentence", async () => {
  const session = await open();
  await expect(session.make(NOT)).rejects.toThrow("begin with a positive gesture");
  await expect(session.make({ ...FIRST, at: { x: width, y: 0 } })).rejects.toThrow(TapOutsidePhoto);
  await expect(session.make(FIRST, "p9")).rejects.toThrow(UnknownLevel);
  expect(() => session.startFrom(new Uint8Array(7))).toThrow(GestureError);
  await session.make(FIRST);
  await session.make(NOT);
  await expect(session.make(FIRST, "p3")).rejects.toThrow("undo the other");
  await expect(session.candidate(FIRST, "p3")).rejects.toThrow("undo the other");
  const before = session.history;
  await expect(session.make({ kind: "box", box: [1, 1, 1, 1] })).rejects.toThrow("empty");
  expect(session.history).toEqual(before);
});

test("without a guided look each tap begins a new thing", async () => {
  for (const name of ["zoom", "all"]) {
    const session = await open(name);
    const first = await session.make(FIRST);
    expect(first.schedule).toBe(name);
    expect(session.history).toMatchObject({ gestures: [FIRST], canUndo: false, canRedo: false });
    const other = await session.candidate(FIRST, first.candidates.at(-1)!.level);
    expect(other.level).not.toBe(first.level);
    for (const gesture of [NOT, { kind: "box", box: [1, 1, 9, 9] } as const]) {
      await expect(session.make(gesture)).rejects.toThrow("no guided look");
    }
    expect(() => session.startFrom(rectangle([1, 1, 9, 9], 1))).toThrow("no guided look");
    expect(() => session.move(-1)).toThrow("nothing to undo");
  }
});
