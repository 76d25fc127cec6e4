import { beforeEach, describe, expect, it } from "vitest";
import { boxOf } from "../page/draft.ts";
import { Drafting } from "../page/drafting.ts";

const PHOTO = { height: 50, width: 100 };
/** Two CSS pixels per photo pixel. */
const VIEW = { scale: 2, x: 10, y: 20 };
const screen = (x: number, y: number): { x: number; y: number } => ({ x: 2 * x + 10, y: 2 * y + 20 });

describe("drafting", () => {
  let drafting: Drafting;
  beforeEach(() => {
    drafting = new Drafting();
  });

  it("taps with the sign of its mode, and not in that of boxes", () => {
    expect(drafting.tap({ x: 3, y: 4 })).toEqual({
      kind: "tap",
      at: { x: 3, y: 4 },
      positive: true,
    });
    drafting.tool = { mode: "remove", isBrush: false };
    expect(drafting.tap({ x: 3, y: 4 })).toMatchObject({ positive: false });
    drafting.tool = { mode: "box", isBrush: false };
    expect(drafting.tap({ x: 3, y: 4 })).toBeNull();
    expect(drafting.draws).toBe(true);
  });

  it("draws lines as wide as the brush is on the screen", () => {
    drafting.tool = { mode: "remove", isBrush: true };
    drafting.draw(VIEW, PHOTO, [screen(10, 10), screen(20, 15)]);
    drafting.draw(VIEW, PHOTO, [screen(40, 30)]);
    expect(drafting.end()).toEqual({
      kind: "scribble",
      points: [
        { x: 10, y: 10 },
        { x: 20, y: 15 },
        { x: 40, y: 30 },
      ],
      width: 12,
      positive: false,
    });
    expect(drafting.draft).toBeNull();
    expect(drafting.end()).toBeNull();
  });

  it("leaves out points that are very near, and holds lines on the photo", () => {
    drafting.tool = { mode: "add", isBrush: true };
    drafting.draw(VIEW, PHOTO, [screen(10, 10), screen(20, 10)]);
    drafting.draw(VIEW, PHOTO, [screen(20.5, 10.5)]);
    drafting.draw(VIEW, PHOTO, [screen(200, -9)]);
    expect(drafting.draft?.points).toEqual([
      { x: 10, y: 10 },
      { x: 20, y: 10 },
      { x: 100, y: 0 },
    ]);
  });

  it("draws boxes from any corner", () => {
    drafting.tool = { mode: "box", isBrush: false };
    drafting.draw(VIEW, PHOTO, [screen(40, 10), screen(30, 20)]);
    drafting.draw(VIEW, PHOTO, [screen(5, 45)]);
    expect(boxOf(drafting.draft!)).toEqual([5, 10, 40, 45]);
    expect(drafting.end()).toEqual({ kind: "box", box: [5, 10, 40, 45] });
    drafting.draw(VIEW, PHOTO, [screen(40, 10), screen(60, 10)]);
    expect(drafting.end()).toBeNull();
  });

  it("gives up what was begun", () => {
    drafting.tool = { mode: "add", isBrush: true };
    expect(drafting.drop()).toBe(false);
    drafting.draw(VIEW, PHOTO, [screen(40, 10)]);
    expect(drafting.drop()).toBe(true);
    expect(drafting.end()).toBeNull();
  });
});
