import { beforeEach, describe, expect, it } from "vitest";
import type { OpenPhoto } from "../page/photo.ts";
import { TapQueue } from "../page/tapQueue.ts";
import type { Photo, PhotoSession, TapOptions, TapResult, TapSegmenter } from "../src/index.ts";

/** A segmenter that writes down what it is asked; it refuses the photo named "refused". */
class Recorder {
  readonly asked: string[] = [];

  async open(photo: Photo): Promise<PhotoSession> {
    const name = await (photo as Blob).text();
    this.asked.push(`open ${name}`);
    if (name === "refused") throw new Error("refused");
    const session = {
      tap: (x: number, y: number, { level }: TapOptions = {}): Promise<TapResult> => {
        this.asked.push(`tap ${x} ${y} of ${name}${level === undefined ? "" : ` at ${level}`}`);
        return Promise.resolve({ level: level ?? "best" } as TapResult);
      },
      close: () => Promise.resolve(void this.asked.push(`close ${name}`)),
    };
    return session as PhotoSession;
  }
}

const photoOf = (name: string): OpenPhoto => ({
  file: new Blob([name]),
  name,
  height: 1,
  width: 1,
  preview: {} as ImageBitmap,
});

describe("the queue of taps", () => {
  let recorder: Recorder;
  let taps: TapQueue;
  beforeEach(() => {
    recorder = new Recorder();
    taps = new TapQueue(recorder as unknown as TapSegmenter);
  });

  const a = photoOf("a");
  const at = (x: number): { x: number; y: number } => ({ x, y: 0 });

  it("opens a photo once for all its taps", async () => {
    await taps.open(a);
    await taps.tap(a, at(1), null);
    expect((await taps.tap(a, at(3), "P4"))?.level).toBe("P4");
    expect(recorder.asked).toEqual(["open a", "tap 1 0 of a", "tap 3 0 of a at P4"]);
  });

  it("answers the last of several taps at once", async () => {
    await taps.open(a);
    const answers = await Promise.all([1, 2, 3].map((x) => taps.tap(a, at(x), null)));
    expect(answers.map((result) => result !== null)).toEqual([false, false, true]);
    expect(recorder.asked).toEqual(["open a", "tap 3 0 of a"]);
  });

  it("drops the answer of a tap when another photo was opened meanwhile", async () => {
    await taps.open(a);
    const tap = taps.tap(a, at(1), null);
    await taps.open(photoOf("b"));
    expect(await tap).toBeNull();
  });

  it("goes back to the photo before when the next is refused", async () => {
    await taps.open(a);
    await expect(taps.open(photoOf("refused"))).rejects.toThrow("refused");
    await taps.tap(a, at(1), null);
    expect(recorder.asked).toEqual(["open a", "close a", "open refused", "open a", "tap 1 0 of a"]);
  });

  it("opens a photo again after the memory was given back", async () => {
    await taps.open(a);
    await taps.free();
    await taps.tap(a, at(1), null);
    expect(recorder.asked).toEqual(["open a", "close a", "open a", "tap 1 0 of a"]);
  });
});
