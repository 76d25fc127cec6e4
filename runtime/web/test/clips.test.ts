/** Clips and streams, against what Python's sessions answer. */

import { expect, test } from "vitest";
import { Viewer } from "../src/answer/look.ts";
import type { Answer } from "../src/answer/result.ts";
import { maskOf } from "../src/answer/result.ts";
import { ownStrategy } from "../src/bundle/choice.ts";
import { FrameError, GestureError } from "../src/errors.ts";
import type { Pixels } from "../src/image/pixels.ts";
import { decodeRle } from "../src/image/rle.ts";
import { ClipPasses, type ClipFrames } from "../src/tracking/passes.ts";
import { frameResult, type FrameAnswer } from "../src/tracking/results.ts";
import { LocalStream } from "../src/worker/localStream.ts";
import { LocalVideo } from "../src/worker/localVideo.ts";
import type { LocalFrame } from "../src/worker/openFrame.ts";
import guided from "./fixtures/guided.json";
import passesFixture from "./fixtures/passes.json";
import streamFixture from "./fixtures/stream.json";
import videoFixture from "./fixtures/video.json";
import { gestureOf } from "./gestureJson.ts";
import { parseTiny, TinyEngine } from "./tiny.ts";
import { ColourNetwork, frame, iou, LENGTH, SIZE, truth } from "./trackingFakes.ts";

const RULE = { fill: 0.5, enlarge: 3, lost: 0.5, sure: 0.8 };
const FRAMES: ClipFrames = { size: SIZE, length: LENGTH, frame: async (number) => frame(number) };

type Known = (typeof passesFixture)[number]["known"][number];

interface Given {
  readonly mask_rle: { readonly counts: string } | null;
  readonly can_undo: boolean;
  readonly can_redo: boolean;
}

function decoded({ counts }: { readonly counts: string }): Uint8Array {
  return decodeRle(SIZE.height, SIZE.width, counts);
}

/** What is known of a frame is what Python knows. */
function expectKnown(answer: FrameAnswer | null, expected: Known | null): void {
  if (expected === null) {
    expect(answer).toBeNull();
    return;
  }
  const { things } = frameResult(answer!);
  expect(things.length).toBe(expected.length);
  things.forEach((thing, k) => {
    const { mask_rle, presence, score, box, ...same } = expected[k]!;
    expect(thing).toMatchObject(same);
    expect(thing.presence).toBeCloseTo(presence, 2);
    expect(thing.score).toBeCloseTo(score, 2);
    expect(thing.box === null).toBe(box === null);
    expect(iou(thing.mask, decoded(mask_rle))).toBeGreaterThan(0.98);
  });
}

test("passes carry touched frames as Python's do, and forget", async () => {
  const clip = new ClipPasses(new ColourNetwork(), FRAMES, RULE);
  for (const { step, numbers, touched, known } of passesFixture) {
    if (step.touch !== undefined) {
      const [number, which, top] = step.touch as [number, number, number];
      const mask = truth((step.as as number | undefined) ?? which, number);
      await clip.touch(number, which, mask.fill(0, 0, top * SIZE.width));
    } else if (step.forget !== undefined) {
      clip.forget(step.forget[0]!, step.forget[1]!);
    } else {
      const found: number[] = [];
      for (let i = 0; i < step.advance!; i++) {
        const number = await clip.advance();
        if (number === null) break;
        found.push(number);
      }
      expect(found).toEqual(numbers);
      for (let number = 0; number < LENGTH; number++) {
        expectKnown(await clip.result(number), known[number]!);
      }
    }
    expect(clip.touched).toEqual(touched);
  }
});

test("what is kept of a frame is small", async () => {
  const clip = new ClipPasses(new ColourNetwork(), FRAMES, RULE);
  await clip.touch(4, 0, truth(0, 4));
  const memory = async () => {
    while ((await clip.advance()) !== null);
    return clip.nbytes;
  };
  const all = await memory();
  const tracker = 9 * 256 * (64 + 128) * 4;
  expect((all - tracker) / LENGTH).toBeLessThan(1000);
});

test("what is touched as it was has nothing carried", async () => {
  const clip = new ClipPasses(new ColourNetwork(), FRAMES, RULE);
  const other = truth(0, 5);
  await clip.touch(4, 0, truth(0, 4));
  while ((await clip.advance()) !== null);
  await clip.touch(4, 0, truth(0, 4));
  expect(await clip.advance()).toBeNull();
  await clip.touch(4, 0, other);
  await clip.touch(4, 0, truth(0, 4)); // as if that had been undone
  expect(await clip.advance()).toBeNull();
  await clip.touch(4, 0, other);
  expect(await clip.advance()).toBe(4);
});

test("a frame that cannot be read breaks a pass off, which begins again to the same end", async () => {
  let isBroken = true;
  const frames: ClipFrames = {
    ...FRAMES,
    frame: async (number: number): Promise<Pixels> => {
      if (number === 7 && isBroken) throw new FrameError("Frame 7 is damaged.");
      return frame(number);
    },
  };
  const all = async (clip: ClipPasses<Float64Array>) => {
    const numbers = [];
    for (let number = await clip.advance(); number !== null; number = await clip.advance()) {
      numbers.push(number);
    }
    return numbers;
  };
  const [broken, whole] = [frames, FRAMES].map((v) => new ClipPasses(new ColourNetwork(), v, RULE));
  for (const clip of [broken!, whole!]) {
    await clip.touch(5, 0, truth(0, 5));
    if (clip === broken) {
      await expect(all(clip)).rejects.toThrow("Frame 7 is damaged.");
      expect(await clip.result(6)).not.toBeNull();
      isBroken = false;
    }
    expect(await all(clip)).toEqual([5, 6, 7, 8, 9, 10, 11, 4, 3, 2, 1, 0]);
  }
  for (let number = 0; number < LENGTH; number++) {
    expect(await broken!.result(number)).toEqual(await whole!.result(number));
  }
});

const manifest = parseTiny(structuredClone(guided.manifest));

function opener(engine = new TinyEngine()) {
  const { programs, meaning, padValue } = manifest;
  const viewer = new Viewer(programs, meaning, padValue, engine);
  return (photo: Pixels) => ownStrategy(manifest).open(viewer, photo, {});
}

function openVideo(frames: ClipFrames = FRAMES): LocalVideo<Float64Array> {
  return new LocalVideo(opener(), new ColourNetwork(), frames, RULE);
}

interface Step {
  readonly make?: unknown;
  readonly start_from?: readonly number[];
  readonly move?: string;
}

async function perform(of: LocalFrame, step: Step): Promise<Answer | null> {
  if (step.make !== undefined) return of.make(gestureOf(step.make as never));
  if (step.start_from !== undefined) {
    return of.startFrom(truth(step.start_from[0]!, step.start_from[1]!));
  }
  if (step.move !== "clear") return of.move(step.move === "undo" ? -1 : 1);
  of.clear();
  return null;
}

async function expectGiven(of: LocalFrame, step: Step, expected: Given): Promise<void> {
  const answer = await perform(of, step);
  const { canUndo, canRedo } = of.history;
  expect([canUndo, canRedo]).toEqual([expected.can_undo, expected.can_redo]);
  if (expected.mask_rle === null) expect(answer).toBeNull();
  else {
    const mask = maskOf(answer!.probability, SIZE);
    expect(iou(mask, decoded(expected.mask_rle))).toBeGreaterThan(0.98);
  }
}

test("a clip's session answers as Python's does", async () => {
  const video = openVideo();
  for (const { step, answer, passed, touched, known } of videoFixture) {
    if (step.frame !== undefined) {
      const [number, which] = step.frame as [number, number];
      await expectGiven(video.thing(number, which), step, answer!);
    } else {
      const numbers = [];
      for (let v = await video.advance(); v !== null; v = await video.advance()) {
        numbers.push(v.number);
      }
      expect(numbers).toEqual(passed);
      for (let number = 0; number < LENGTH; number++) {
        expectKnown(await video.result(number), known[number]!);
      }
    }
    expect(video.touched).toEqual(touched);
  }
});

test("of frames that were open nothing is kept but their masks", async () => {
  const video = openVideo();
  const tap = { kind: "tap", at: { x: 60, y: 40 }, positive: true } as const;
  const before = video.nbytes;
  await video.thing(2, 0).make(tap);
  const one = video.nbytes;
  expect(one).toBeGreaterThan(before);
  for (const number of [3, 4, 5, 6]) await video.thing(number, 0).make(tap);
  expect(video.nbytes).toBeLessThan(1.2 * one);
  expect(video.thing(2, 0).history).toMatchObject({ gestures: [], canUndo: false });
});

test("what no clip can do is one sentence", async () => {
  const video = openVideo();
  const box = { kind: "box", box: [10, 10, 60, 60] } as const;
  await expect(video.thing(0, 1).make(box)).rejects.toThrow(GestureError);
  await expect(video.thing(0, 1).make(box)).rejects.toThrow(/next new one is thing 0, not 1/);
  await expect(video.thing(0, 0).move(-1)).rejects.toThrow("nothing to undo");
  expect(await video.advance()).toBeNull();
});

test("a stream answers as Python's does", async () => {
  const stream = new LocalStream(opener(), new ColourNetwork(), RULE);
  await expect(stream.thing(null, 0).move(-1)).rejects.toThrow(FrameError);
  for (const { step, known, answer } of streamFixture) {
    if (step.push !== undefined) expectKnown(await stream.push(frame(step.push)), known ?? null);
    else await expectGiven(stream.thing(null, step.thing), step, answer!);
  }
  const small = { height: 2, width: 2, data: new Uint8Array(12) };
  await expect(stream.push(small)).rejects.toThrow(/of one size, 200 x 120 pixels, not 2 x 2/);
});
