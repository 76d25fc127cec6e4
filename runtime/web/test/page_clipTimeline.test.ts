import { describe, expect, it } from "vitest";
import type { FrameResult } from "../src/index.ts";
import { nearest } from "../page/clip/edits.ts";
import { maskName } from "../page/clip/maskZip.ts";
import { framesToCarry, Knowledge, runsOf, Scale } from "../page/clip/timeline.ts";
import { FRAME_STATES } from "../src/tracking/known.ts";

const { unknown: UNKNOWN, absent: ABSENT, present: PRESENT } = FRAME_STATES;

const frame = (number: number, ...states: (number | undefined)[]): FrameResult => ({
  number,
  size: { height: 1, width: 1 },
  things: states.map((state) => ({
    mask: new Uint8Array(1),
    score: 1,
    presence: Number(state === PRESENT),
    present: state === PRESENT,
    known: state !== UNKNOWN,
    touched: false,
    box: null,
    inside: null,
  })),
});

describe("what is known of frames", () => {
  it("is told by thing, in runs", () => {
    const known = new Knowledge(5);
    known.replace([new Uint8Array(5), new Uint8Array(5)]);
    known.learn(frame(1, PRESENT));
    known.learn(frame(2, PRESENT, ABSENT));
    known.learn(frame(4, UNKNOWN, PRESENT));
    expect(known.runs(0)).toEqual([
      { from: 0, to: 1, known: UNKNOWN },
      { from: 1, to: 3, known: PRESENT },
      { from: 3, to: 5, known: UNKNOWN },
    ]);
    expect(known.runs(1).map((run) => run.known)).toEqual([UNKNOWN, ABSENT, UNKNOWN, PRESENT]);
    expect(known.missing).toBe(4);
  });

  it("changes when a frame is learnt again", () => {
    const known = new Knowledge(2);
    known.replace([new Uint8Array(2)]);
    known.learn(frame(0, PRESENT));
    known.learn(frame(0, ABSENT));
    expect(known.runs(0)[0]).toEqual({ from: 0, to: 1, known: ABSENT });
    expect([known.count, known.missing]).toEqual([1, 1]);
  });

  it("is what the session says, once a thing is gone or frames are to be carried anew", () => {
    const known = new Knowledge(2);
    known.replace([Uint8Array.from([PRESENT, ABSENT]), Uint8Array.from([PRESENT, UNKNOWN])]);
    expect([known.count, known.missing]).toEqual([2, 1]);
    known.replace([Uint8Array.from([PRESENT, ABSENT]), new Uint8Array(2)]);
    expect([known.count, known.missing]).toEqual([2, 0]);
    known.replace([]);
    expect([known.count, known.missing]).toEqual([0, 2]);
    expect(known.runs(0)).toEqual([{ from: 0, to: 2, known: UNKNOWN }]);
  });

  it("has one run where all is the same, and none without frames", () => {
    expect(runsOf(new Uint8Array(3))).toEqual([{ from: 0, to: 3, known: UNKNOWN }]);
    expect(runsOf(new Uint8Array(0))).toEqual([]);
  });
});

it("counts the frames that tracking goes through", () => {
  expect(framesToCarry(new Set([3]), [3], 10)).toBe(10);
  expect(framesToCarry(new Set([3, 7]), [3, 7], 10)).toBe(7 + 6);
  expect(framesToCarry(new Set([5]), [3, 5, 7], 10)).toBe(3);
  expect(framesToCarry(new Set([5]), [3, 7], 10)).toBe(7 + 6);
  expect(framesToCarry(new Set(), [3], 10)).toBe(0);
});

describe("a timeline's scale", () => {
  const scale = new Scale(120, 10, 11);

  it("puts frames where the slider's thumb is", () => {
    expect([scale.x(0), scale.x(5), scale.x(10)]).toEqual([10, 60, 110]);
  });

  it("joins runs halfway between frames, and ends with the outermost", () => {
    expect(scale.ends({ from: 0, to: 3, known: PRESENT })).toEqual([10, 35]);
    expect(scale.ends({ from: 3, to: 11, known: PRESENT })).toEqual([35, 110]);
  });

  it("takes a clip of one frame", () => {
    expect(new Scale(120, 10, 1).ends({ from: 0, to: 1, known: PRESENT })).toEqual([10, 10]);
  });
});

it("names masks so that they sort in their order", () => {
  const names = [0, 8, 9, 119].map((number) => maskName(1, number, 120));
  expect(names).toEqual(["thing-2/001.png", "thing-2/009.png", "thing-2/010.png", "thing-2/120.png"]);
  expect(names.toSorted()).toEqual(names);
});

it("takes masks of another size from the nearest pixels", () => {
  const mask = Uint8Array.from([1, 0, 0, 1]);
  const two = { height: 2, width: 2 };
  expect(nearest(mask, two, two)).toEqual(mask);
  expect(Array.from(nearest(mask, two, { height: 2, width: 4 }))).toEqual([1, 1, 0, 0, 0, 0, 1, 1]);
  expect(Array.from(nearest(Uint8Array.from([0, 1, 0, 1]), two, { height: 1, width: 1 }))).toEqual([1]);
});
