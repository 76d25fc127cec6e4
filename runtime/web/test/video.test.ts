/** The page's end of clips and streams, on a worker's that runs here. */

import { expect, test, vi } from "vitest";
import { Viewer } from "../src/answer/look.ts";
import { ownStrategy } from "../src/bundle/choice.ts";
import { FrameError, GestureError, SessionClosed } from "../src/errors.ts";
import { FRAME_STATES } from "../src/tracking/known.ts";
import { StreamSession, VideoSession, type FrameSource } from "../src/video.ts";
import { performOnClip } from "../src/worker/clipRequests.ts";
import type { Connection } from "../src/worker/connection.ts";
import type { LocalClips } from "../src/worker/localClips.ts";
import { LocalStream } from "../src/worker/localStream.ts";
import { LocalVideo } from "../src/worker/localVideo.ts";
import type { Request } from "../src/worker/protocol.ts";
import guided from "./fixtures/guided.json";
import { parseTiny, TinyEngine } from "./tiny.ts";
import { ColourNetwork, frame, iou, LENGTH, SIZE, truth } from "./trackingFakes.ts";

const RULE = { fill: 0.5, enlarge: 3, lost: 0.5, sure: 0.8 };
const SOURCE: FrameSource = {
  size: SIZE,
  length: LENGTH,
  frame: () => Promise.reject(new Error("nobody asks for frames here")),
};

const { programs, meaning, padValue, ...manifest } = parseTiny(structuredClone(guided.manifest));
const viewer = new Viewer(programs, meaning, padValue, new TinyEngine());
const openView = (photo: ReturnType<typeof frame>) =>
  ownStrategy({ programs, meaning, padValue, ...manifest }).open(viewer, photo, {});

/** A connection to one clip, and what it was asked. */
function connected(clip: LocalVideo<Float64Array> | LocalStream<Float64Array>) {
  const asked: string[] = [];
  const clips = { get: () => clip, video: () => clip, stream: () => clip, close: () => undefined };
  const connection = {
    async ask(method: string, argument: unknown) {
      asked.push(method);
      const request = { id: 0, method, arguments: argument } as Request;
      const { signal } = new AbortController();
      return performOnClip(
        clips as unknown as LocalClips,
        request as Parameters<typeof performOnClip>[1],
        () => undefined,
        signal,
      );
    },
    giveFrames: () => undefined,
    dropFrames: () => asked.push("dropFrames"),
  };
  return { connection: connection as unknown as Connection, asked };
}

function opened() {
  const frames = { size: SIZE, length: LENGTH, frame: async (number: number) => frame(number) };
  const local = new LocalVideo(openView, new ColourNetwork(), frames, RULE);
  const { connection, asked } = connected(local);
  return { video: new VideoSession(connection, 0, SOURCE), asked };
}

test("a frame's first tap has other levels to choose from", async () => {
  const { video } = opened();
  const session = video.frame(2);
  const first = await session.tap(60, 40);
  expect(first.candidates.length).toBeGreaterThan(1);
  for (const { level } of first.candidates) {
    const before = session.result;
    const candidate = await session.candidate(60, 40, level);
    expect(candidate.level).toBe(level);
    expect(session.result).toBe(before);
    const chosen = await session.tap(60, 40, { level });
    expect(chosen.mask).toEqual(candidate.mask);
    expect((await video.result(2))!.things[0]!.mask).toEqual(candidate.mask);
  }
  await session.tap(100, 60, { positive: false });
  await expect(session.candidate(60, 40, first.level)).rejects.toThrow(GestureError);
});

test("a clip is marked, carried, corrected and carried again", async () => {
  const { video } = opened();
  expect(await video.result(3)).toBeNull();
  const first = video.frame(3);
  expect([first.result, first.canUndo, first.gestures]).toEqual([null, false, []]);
  const given = await first.startFrom(truth(0, 3));
  expect(first.result).toBe(given);
  expect(given.mask).toEqual(truth(0, 3));
  expect(video.touched).toEqual([3]);
  const numbers = [];
  const before = video.nbytes;
  for await (const { number, size, things } of video.propagate()) {
    numbers.push(number);
    expect(size).toEqual(SIZE);
    expect(things[0]!.mask).toBe(things[0]!.mask);
    expect(iou(things[0]!.mask, truth(0, number))).toBeGreaterThan(0.7);
    expect(things[0]).toMatchObject({ present: true, touched: number === 3, known: true });
  }
  expect(numbers).toEqual([3, 4, 5, 6, 7, 8, 9, 10, 11, 2, 1, 0]);
  expect(video.nbytes).toBeGreaterThan(before);
  expect(video.things).toBe(1);
  expect(await video.states()).toEqual([new Uint8Array(LENGTH).fill(FRAME_STATES.present)]);
  const corrected = await video.frame(8).tap(100, 60, { positive: false });
  expect(corrected.mask[60 * SIZE.width + 100]).toBe(0);
  expect(video.frame(8)).toMatchObject({ canUndo: true, canRedo: false, result: corrected });
  expect(video.frame(8).gestures).toHaveLength(1);
  // Another frame is open now.
  expect(first).toMatchObject({ result: null, canUndo: false, gestures: [] });
  expect(video.touched).toEqual([3, 8]);
  expect(await video.frame(8).undo()).not.toBeNull();
  expect(video.touched).toEqual([3]);
  expect(await video.frame(8).redo()).not.toBeNull();
  expect(video.nbytes).toBeGreaterThan(0);
  await video.frame(8).clear();
  expect(video.touched).toEqual([3]);
  expect(video.frame(8).result).toBeNull();
  await video.frame(8).startFrom(new Uint8Array(SIZE.height * SIZE.width));
  expect((await video.states())[0]![8]).toBe(FRAME_STATES.absent);
  await video.frame(8).clear();
  await video.frame(3).clear();
  expect(await video.states()).toEqual([]);
  expect(video.things).toBe(0);
});

test("things that are gone with another one's last gesture do not come back", async () => {
  const { video } = opened();
  await video.frame(3, 0).tap(100, 60);
  await video.frame(3, 1).tap(60, 40);
  await video.frame(3, 1).undo();
  expect(video.frame(3, 1).canRedo).toBe(true);
  await video.frame(3, 0).clear();
  expect(video.frame(3, 1).canRedo).toBe(false);
  await video.frame(3, 0).tap(100, 60);
  await expect(video.frame(3, 1).redo()).rejects.toThrow("nothing to redo");
  expect(await video.states()).toHaveLength(1);
});

test("who aborts keeps what came, and goes on from there", async () => {
  const { video } = opened();
  await video.frame(2).startFrom(truth(0, 2));
  const giveUp = new AbortController();
  const came: number[] = [];
  const reason = new Error("enough");
  const follow = async () => {
    for await (const { number } of video.propagate({ signal: giveUp.signal })) {
      came.push(number);
      if (came.length === 4) giveUp.abort(reason);
    }
  };
  await expect(follow()).rejects.toBe(reason);
  expect(came).toEqual([2, 3, 4, 5]);
  expect(await video.result(5)).not.toBeNull();
  expect(await video.result(6)).toBeNull();
  for await (const { number } of video.propagate()) came.push(number);
  expect(came).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 1, 0]);
});

test("a frame that gets a new mask begins from it", async () => {
  const { video } = opened();
  await video.frame(2).startFrom(truth(0, 2));
  const frame5 = video.frame(5);
  const before = await frame5.tap(100, 60);
  await frame5.undo();
  for await (const result of video.propagate()) expect(result.things).toHaveLength(1);
  expect(frame5.canRedo).toBe(false);
  const after = await frame5.tap(100, 60);
  expect(iou(after.mask, before.mask)).toBeLessThan(1);
});

test("what a clip cannot do", async () => {
  const { video, asked } = opened();
  for (const number of [-1, LENGTH, 0.5, NaN]) {
    expect(() => video.frame(number)).toThrow(FrameError);
    await expect(video.result(number)).rejects.toThrow(/There is no frame/);
  }
  await expect(video.propagate().next()).rejects.toThrow(GestureError);
  await expect(video.frame(0, 1).tap(5, 5)).rejects.toThrow(/next new one is thing 0/);
  const session = video.frame(0);
  video.close();
  video.close();
  expect(asked.filter((method) => method === "closeClip")).toHaveLength(1);
  expect(asked).toContain("dropFrames");
  expect(video.nbytes).toBe(0);
  await expect(session.tap(5, 5)).rejects.toThrow(SessionClosed);
  await expect(video.result(0)).rejects.toThrow(SessionClosed);
});

/** As a browser has it. */
class Picture {
  readonly height = SIZE.height;
  readonly width = SIZE.width;
  readonly data: Uint8ClampedArray;

  constructor(number: number) {
    const { data } = frame(number);
    this.data = Uint8ClampedArray.from({ length: 4 * SIZE.height * SIZE.width }, (_, i) => {
      return i % 4 === 3 ? 255 : data[3 * Math.floor(i / 4) + (i % 4)]!;
    });
  }
}

test("a stream's gestures are for the newest frame", async () => {
  vi.stubGlobal("ImageData", Picture);
  const local = new LocalStream(openView, new ColourNetwork(), RULE);
  const stream = new StreamSession(connected(local).connection, 0);
  const push = (number: number) => stream.push(new Picture(number) as unknown as ImageData);
  await expect(stream.tap(1, 1)).rejects.toThrow(FrameError);
  expect(await push(0)).toBeNull();
  await stream.startFrom(truth(0, 0));
  expect(stream.result!.mask).toEqual(truth(0, 0));
  const result = await push(1);
  expect(result!.number).toBe(1);
  expect(iou(result!.things[0]!.mask, truth(0, 1))).toBeGreaterThan(0.7);
  expect(stream.result).toBeNull();
  await stream.thing(1).startFrom(truth(1, 1));
  expect((await push(2))!.things.map(({ present }) => present)).toEqual([true, true]);
  stream.close();
  const close = vi.fn();
  const late = Object.assign(new Picture(3), { close }) as unknown as ImageBitmap;
  await expect(stream.push(late)).rejects.toThrow(SessionClosed);
  expect(close).toHaveBeenCalled();
  await expect(stream.tap(1, 1)).rejects.toThrow(SessionClosed);
  vi.unstubAllGlobals();
});
