import { beforeEach, describe, expect, it } from "vitest";
import { Gestures, TAP_DISTANCE } from "../page/gestures.ts";

const at = (x: number, y: number): { x: number; y: number } => ({ x, y });

describe("gestures", () => {
  let gestures: Gestures;
  beforeEach(() => {
    gestures = new Gestures();
  });

  it("takes a touch that hardly moves for a tap, where it began", () => {
    gestures.down(1, at(50, 60));
    expect(gestures.move(1, at(53, 58))).toBeNull();
    expect(gestures.up(1, at(53, 58))).toEqual({ kind: "tap", at: at(50, 60) });
  });

  it("takes two quick taps for two taps", () => {
    for (let tap = 0; tap < 2; tap++) {
      gestures.down(1, at(50, 60));
      expect(gestures.up(1, at(50, 60))).toMatchObject({ kind: "tap" });
    }
  });

  it("pans by the whole way once the finger has left the tap's place", () => {
    gestures.down(1, at(50, 60));
    expect(gestures.move(1, at(50 + TAP_DISTANCE, 60))).toBeNull();
    expect(gestures.move(1, at(65, 64))).toEqual({ kind: "pan", dx: 15, dy: 4 });
    expect(gestures.move(1, at(51, 60))).toEqual({ kind: "pan", dx: -14, dy: -4 });
    expect(gestures.up(1, at(51, 60))).toBeNull();
  });

  it("pinches about the middle of two fingers, of which neither taps", () => {
    gestures.down(1, at(100, 100));
    gestures.down(2, at(200, 100));
    expect(gestures.move(2, at(300, 100))).toEqual({
      kind: "pinch",
      factor: 2,
      about: at(200, 100),
      dx: 50,
      dy: 0,
    });
    expect(gestures.up(2, at(300, 100))).toBeNull();
    expect(gestures.up(1, at(100, 100))).toBeNull();
  });

  it("pans with the finger that is left of a pinch", () => {
    gestures.down(1, at(100, 100));
    gestures.down(2, at(200, 100));
    gestures.up(2, at(200, 100));
    expect(gestures.move(1, at(101, 100))).toEqual({ kind: "pan", dx: 1, dy: 0 });
  });

  it("does nothing with a third finger, and knows no pointer that was not down", () => {
    for (const id of [1, 2, 3]) gestures.down(id, at(100 * id, 0));
    expect(gestures.move(3, at(350, 0))).toBeNull();
    expect(gestures.move(9, at(0, 0))).toBeNull();
    expect(gestures.up(9, at(0, 0))).toBeNull();
  });

  it("draws instead of panning where it is told to", () => {
    gestures.draws = true;
    gestures.down(1, at(50, 60));
    expect(gestures.move(1, at(53, 58))).toBeNull();
    expect(gestures.move(1, at(70, 60))).toEqual({ kind: "draw", to: [at(50, 60), at(70, 60)] });
    expect(gestures.move(1, at(71, 60))).toEqual({ kind: "draw", to: [at(71, 60)] });
    expect(gestures.up(1, at(71, 60))).toEqual({ kind: "drawn" });
    gestures.down(1, at(50, 60));
    expect(gestures.up(1, at(51, 60))).toMatchObject({ kind: "tap" });
  });

  it("makes a pinch of a line when a second finger comes", () => {
    gestures.draws = true;
    gestures.down(1, at(100, 100));
    gestures.move(1, at(150, 100));
    expect(gestures.down(2, at(250, 100))).toEqual({ kind: "undrawn" });
    expect(gestures.move(2, at(350, 100))).toMatchObject({ kind: "pinch", factor: 2 });
    expect(gestures.up(2, at(350, 100))).toBeNull();
    // The finger that is left draws nothing: its line has been given up.
    expect(gestures.move(1, at(200, 100))).toMatchObject({ kind: "pan" });
    expect(gestures.up(1, at(200, 100))).toBeNull();
    gestures.down(1, at(100, 100));
    gestures.move(1, at(150, 100));
    expect(gestures.cancel(1)).toEqual({ kind: "undrawn" });
  });

  it("forgets a cancelled touch", () => {
    gestures.down(1, at(50, 60));
    gestures.cancel(1);
    expect(gestures.up(1, at(50, 60))).toBeNull();
    gestures.down(2, at(5, 6));
    expect(gestures.up(2, at(5, 6))).toMatchObject({ kind: "tap" });
  });
});
