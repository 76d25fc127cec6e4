import { beforeEach, describe, expect, it } from "vitest";
import { Session } from "../page/session.ts";
import type { OpenPhoto } from "../page/photo.ts";
import type { EncodedPhoto, Photo, Segmenter, TapOptions, TapResult } from "../src/types.ts";

/** A segmenter that writes down what it is asked; it refuses the photo named "refused". */
class Recorder {
  readonly asked: string[] = [];
  private photo: string | null = null;

  async encode(photo: Photo): Promise<EncodedPhoto> {
    const name = await (photo as Blob).text();
    this.asked.push(`encode ${name}`);
    this.photo = null;
    if (name === "refused") throw new Error("refused");
    this.photo = name;
    return { height: 1, width: 1, schedule: "", canvas: { height: 1, width: 1 }, timingsMs: {} };
  }

  tap(x: number, y: number, { level }: TapOptions = {}): Promise<TapResult> {
    this.asked.push(`tap ${x} ${y} of ${this.photo}${level === undefined ? "" : ` at ${level}`}`);
    return Promise.resolve({ level: level ?? "best" } as TapResult);
  }

  drop(): Promise<void> {
    this.asked.push("drop");
    this.photo = null;
    return Promise.resolve();
  }
}

const photoOf = (name: string): OpenPhoto => ({
  file: new Blob([name]),
  name,
  height: 1,
  width: 1,
  preview: {} as ImageBitmap,
});

describe("the session", () => {
  let recorder: Recorder;
  let session: Session;
  beforeEach(() => {
    recorder = new Recorder();
    session = new Session(recorder as unknown as Segmenter);
  });

  const a = photoOf("a");
  const at = (x: number): { x: number; y: number } => ({ x, y: 0 });

  it("encodes a photo once for all its taps", async () => {
    await session.open(a);
    await session.tap(a, at(1), null);
    expect((await session.tap(a, at(3), "P4"))?.level).toBe("P4");
    expect(recorder.asked).toEqual(["encode a", "tap 1 0 of a", "tap 3 0 of a at P4"]);
  });

  it("answers the last of several taps at once", async () => {
    await session.open(a);
    const answers = await Promise.all([1, 2, 3].map((x) => session.tap(a, at(x), null)));
    expect(answers.map((result) => result !== null)).toEqual([false, false, true]);
    expect(recorder.asked).toEqual(["encode a", "tap 3 0 of a"]);
  });

  it("drops the answer of a tap when another photo was opened meanwhile", async () => {
    await session.open(a);
    const tap = session.tap(a, at(1), null);
    await session.open(photoOf("b"));
    expect(await tap).toBeNull();
  });

  it("goes back to the photo before when the next is refused", async () => {
    await session.open(a);
    await expect(session.open(photoOf("refused"))).rejects.toThrow("refused");
    await session.tap(a, at(1), null);
    expect(recorder.asked).toEqual(["encode a", "encode refused", "encode a", "tap 1 0 of a"]);
  });

  it("encodes again after the memory was given back", async () => {
    await session.open(a);
    await session.free();
    await session.tap(a, at(1), null);
    expect(recorder.asked).toEqual(["encode a", "drop", "encode a", "tap 1 0 of a"]);
  });
});
