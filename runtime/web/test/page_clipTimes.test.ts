import { describe, expect, it } from "vitest";
import {
  FRAME_SIDE,
  frameAt,
  frameDuration,
  frameTimes,
  LONGEST_S,
  MOST_FRAMES,
  shownTimestamps,
  timeInWords,
  workingSize,
} from "../page/clip/times.ts";

describe("the times of frames", () => {
  it("are in the order in which they are shown, from 0 on", () => {
    // In decoding order, as a clip with B-frames has them.
    const shown = shownTimestamps([0.5, 0.8, 0.6, 0.7, 0.7]);
    expect(shown).toEqual([0.5, 0.6, 0.7, 0.8]);
    // The file does not go on where a timestamp comes twice.
    expect(frameTimes(shown)).toHaveLength(shown.length);
    expect(frameTimes(shown)[0]).toBe(0);
    expect(frameTimes(shown)[3]).toBeCloseTo(0.3);
  });

  it("leave out what lies before the clip begins", () => {
    expect(frameTimes(shownTimestamps([-0.2, -0.1, 0, 0.1]))).toEqual([0, 0.1]);
    expect(frameTimes([])).toEqual([]);
  });

  it("end where a clip is too long", () => {
    const slow = Array.from({ length: 200 }, (_, i) => i / 2);
    expect(frameTimes(slow)).toHaveLength(2 * LONGEST_S);
    const fast = Array.from({ length: 5000 }, (_, i) => i / 240);
    expect(frameTimes(fast)).toHaveLength(MOST_FRAMES);
  });
});

describe("the frame at a time", () => {
  const times = [0, 0.1, 0.25, 0.3];

  it("is the last one that has begun", () => {
    expect([0, 0.09, 0.1, 0.2, 0.25, 0.299].map((time) => frameAt(times, time))).toEqual([
      0, 0, 1, 1, 2, 2,
    ]);
  });

  it("is one of the clip before its start and after its end", () => {
    expect(frameAt(times, -1)).toBe(0);
    expect(frameAt(times, 99)).toBe(3);
  });

  it("is shown until the next one, the last as long as the one before", () => {
    expect([0, 1, 2, 3].map((number) => frameDuration(times, number))).toEqual([
      expect.closeTo(0.1),
      expect.closeTo(0.15),
      expect.closeTo(0.05),
      expect.closeTo(0.05),
    ]);
    expect(frameDuration([0], 0)).toBe(1 / 25);
  });
});

describe("the size to work in", () => {
  it("is the clip's own if that is small enough", () => {
    expect(workingSize({ height: 240, width: 320 })).toEqual({ height: 240, width: 320 });
    expect(workingSize({ height: FRAME_SIDE, width: 720 })).toEqual({ height: 1280, width: 720 });
  });

  it("keeps the proportions of a larger one", () => {
    expect(workingSize({ height: 2160, width: 3840 })).toEqual({ height: 720, width: 1280 });
    expect(workingSize({ height: 1920, width: 1080 })).toEqual({ height: 1280, width: 720 });
  });

  it("has even sides, and some", () => {
    expect(workingSize({ height: 241, width: 321 })).toEqual({ height: 242, width: 322 });
    expect(workingSize({ height: 1, width: 5000 })).toEqual({ height: 2, width: 1280 });
  });
});

it("tells times as players do", () => {
  expect([0, 1.26, 59.96, 67.4, 0.3].map(timeInWords)).toEqual([
    "0:00.0",
    "0:01.2",
    "0:59.9",
    "1:07.4",
    "0:00.3",
  ]);
});
