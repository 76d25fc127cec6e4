import { beforeEach, describe, expect, it } from "vitest";
import { Edits, type State } from "../page/edits.ts";
import type { OpenPhoto } from "../page/photo.ts";
import type { Gesture, Photo, PhotoSession, TapResult, TapSegmenter } from "../src/index.ts";

const at = (x: number): { x: number; y: number } => ({ x, y: 0 });
const tap = (x: number): Gesture => ({ kind: "tap", at: at(x), positive: true });

function nameOf(gesture: Gesture): string {
  return gesture.kind === "tap" ? `tap ${gesture.at.x}` : gesture.kind;
}

/** A session that only remembers gestures, and writes down what it is asked. */
class Session {
  gestures: Gesture[] = [];
  private undone: Gesture[] = [];

  constructor(
    private readonly name: string,
    private readonly asked: string[],
    private readonly corrects: boolean,
  ) {}

  get result(): TapResult | null {
    return this.gestures.length === 0 ? null : ({ score: this.gestures.length } as TapResult);
  }

  get canUndo(): boolean {
    return this.corrects && this.gestures.length > 0;
  }

  get canRedo(): boolean {
    return this.undone.length > 0;
  }

  async make(gesture: Gesture, level?: string): Promise<TapResult> {
    this.asked.push(`${nameOf(gesture)} of ${this.name}${level === undefined ? "" : ` at ${level}`}`);
    if (nameOf(gesture) === "tap 666") throw new Error("refused");
    const before = this.corrects && level === undefined ? this.gestures : [];
    this.gestures = [...before, gesture];
    this.undone = [];
    return this.result!;
  }

  async undo(): Promise<void> {
    this.asked.push(`undo of ${this.name}`);
    this.undone.push(this.gestures.at(-1)!);
    this.gestures = this.gestures.slice(0, -1);
  }

  async redo(): Promise<void> {
    this.asked.push(`redo of ${this.name}`);
    this.gestures = [...this.gestures, this.undone.pop()!];
  }

  async clear(): Promise<void> {
    this.asked.push(`clear ${this.name}`);
    [this.gestures, this.undone] = [[], []];
  }

  async candidate(x: number, _: number, level: string): Promise<TapResult> {
    this.asked.push(`${level} of tap ${x}`);
    return { level } as TapResult;
  }

  async close(): Promise<void> {
    this.asked.push(`close ${this.name}`);
  }
}

/** A segmenter whose sessions write down what they are asked; it refuses the photo "refused". */
class Recorder {
  readonly asked: string[] = [];
  readonly bundle: { readonly corrects: boolean };

  constructor(private readonly corrects: boolean) {
    this.bundle = { corrects };
  }

  async open(photo: Photo): Promise<PhotoSession> {
    const name = await (photo as Blob).text();
    this.asked.push(`open ${name}`);
    if (name === "refused") throw new Error("refused");
    return new Session(name, this.asked, this.corrects) as unknown as PhotoSession;
  }
}

const photoOf = (name: string): OpenPhoto => ({
  noun: "photo",
  file: new Blob([name]),
  name,
  height: 1,
  width: 1,
  preview: {} as ImageBitmap,
});

const editsOf = (recorder: Recorder): Edits => new Edits(recorder as unknown as TapSegmenter);
const counts = (states: (State | null)[]) => states.map((state) => state?.gestures.length ?? null);

let recorder: Recorder;
let edits: Edits;
let a: OpenPhoto;

describe.each([true, false])("edits, where gestures correct: %s", (corrects) => {
  beforeEach(() => {
    recorder = new Recorder(corrects);
    edits = editsOf(recorder);
    a = photoOf("a");
  });

  it("opens a photo once for all its gestures", async () => {
    await edits.open(a);
    await edits.make(a, tap(1), null);
    await edits.make(a, tap(1), "P4");
    expect(recorder.asked).toEqual(["open a", "tap 1 of a", "tap 1 of a at P4"]);
  });

  it("drops the answer when another photo was opened meanwhile", async () => {
    await edits.open(a);
    const made = edits.make(a, tap(1), null);
    await edits.open(photoOf("b"));
    expect(await made).toBeNull();
  });

  it("goes back to the photo before when the next is refused", async () => {
    await edits.open(a);
    await expect(edits.open(photoOf("refused"))).rejects.toThrow("refused");
    expect((await edits.make(a, tap(1), null))?.result).not.toBeNull();
    expect(recorder.asked).toEqual(["open a", "close a", "open refused", "open a", "tap 1 of a"]);
  });

  it("asks for candidates only while nothing else is wanted", async () => {
    await edits.open(a);
    await edits.make(a, tap(1), null);
    expect((await edits.candidate(a, at(1), "P4"))?.level).toBe("P4");
    const [candidate] = await Promise.all([
      edits.candidate(a, at(1), "P5"),
      edits.make(a, tap(2), null),
    ]);
    expect(candidate).toBeNull();
    await edits.free();
    expect(await edits.candidate(a, at(2), "P5")).toBeNull();
    expect(recorder.asked.filter((asked) => asked.startsWith("P"))).toEqual(["P4 of tap 1"]);
  });
});

describe("edits with a guided look", () => {
  beforeEach(() => {
    recorder = new Recorder(true);
    edits = editsOf(recorder);
    a = photoOf("a");
  });

  it("leave out no gesture, and answer in order", async () => {
    await edits.open(a);
    const states = await Promise.all([
      edits.make(a, tap(1), null),
      edits.make(a, tap(2), null),
      edits.undo(a),
      edits.make(a, tap(3), null),
      edits.undo(a),
      edits.redo(a),
    ]);
    expect(counts(states)).toEqual([1, 2, 1, 2, 1, 2]);
    expect(states.at(-1)?.gestures).toEqual([tap(1), tap(3)]);
    expect(states.at(-1)).toMatchObject({ canUndo: true, canRedo: false });
  });

  it("make the gestures again after the memory was given back", async () => {
    await edits.open(a);
    for (const x of [1, 2, 3]) await edits.make(a, tap(x), null);
    await edits.undo(a);
    await edits.free();
    recorder.asked.length = 0;
    const state = await edits.redo(a);
    expect(state?.gestures).toEqual([tap(1), tap(2), tap(3)]);
    const again = ["open a", "tap 1 of a", "tap 2 of a", "tap 3 of a", "undo of a", "redo of a"];
    expect(recorder.asked).toEqual(again);
  });

  it("hand the gestures on to a network that is loaded again", async () => {
    await edits.open(a);
    await edits.make(a, tap(1), null);
    await edits.make(a, tap(1), "P4");
    await edits.make(a, tap(2), null);
    const next = new Recorder(true);
    const other = new Edits(next as unknown as TapSegmenter, edits.history);
    expect((await other.make(a, tap(3), null))?.gestures).toEqual([tap(1), tap(2), tap(3)]);
    expect(next.asked).toEqual(["open a", "tap 1 of a at P4", "tap 2 of a", "tap 3 of a"]);
  });

  it("forget the gestures of a thing that is cleared, and of another photo", async () => {
    await edits.open(a);
    await edits.make(a, tap(1), null);
    await edits.clear(a);
    await edits.make(a, tap(2), null);
    await edits.free();
    recorder.asked.length = 0;
    await edits.make(a, tap(3), null);
    expect(recorder.asked).toEqual(["open a", "tap 2 of a", "tap 3 of a"]);
    const b = photoOf("b");
    await edits.open(b);
    expect(edits.history).toMatchObject({ made: [], count: 0 });
    expect(counts([await edits.make(b, tap(4), null)])).toEqual([1]);
  });

  it("go on after a gesture that was refused", async () => {
    await edits.open(a);
    await edits.make(a, tap(1), null);
    await expect(edits.make(a, tap(666), null)).rejects.toThrow("refused");
    expect(edits.history.made).toHaveLength(1);
    expect(counts([await edits.make(a, tap(2), null)])).toEqual([2]);
  });
});

describe("edits without a guided look", () => {
  beforeEach(() => {
    recorder = new Recorder(false);
    edits = editsOf(recorder);
    a = photoOf("a");
  });

  it("answer the last of several taps at once", async () => {
    await edits.open(a);
    const states = await Promise.all([1, 2, 3].map((x) => edits.make(a, tap(x), null)));
    expect(states.map((state) => state !== null)).toEqual([false, false, true]);
    expect(recorder.asked).toEqual(["open a", "tap 3 of a"]);
  });

  it("open a photo again after the memory was given back, and nothing more", async () => {
    await edits.open(a);
    await edits.make(a, tap(1), null);
    await edits.free();
    recorder.asked.length = 0;
    await edits.make(a, tap(2), null);
    expect(recorder.asked).toEqual(["open a", "tap 2 of a"]);
  });
});
