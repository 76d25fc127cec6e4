/** Which strategy answers taps, and which schedule and canvas a photo. */

import { expect, test } from "vitest";
import { chooseStrategy, ownStrategy } from "../src/bundle/choice.ts";
import { BundleError } from "../src/errors.ts";
import type { Schedule } from "../src/graph/schedule.ts";
import type { Size } from "../src/rectangles.ts";
import { choose, firstOfEachCanvas, Single } from "../src/strategies/single.ts";
import { programsOf } from "../src/strategies/strategy.ts";
import { parseTiny } from "./tiny.ts";

const manifest = parseTiny();

/** One that serves its canvas only, or all sides from `least` to `most`. */
function schedule(name: string, height: number, width: number, least = 0, most = 0): Schedule {
  const sides = (side: number) => ({ least: least || side, most: most || side, multiple: 32 });
  const serves = { height: sides(height), width: sides(width) };
  return { ...manifest.schedules[1]!, name, canvas: { height, width }, serves };
}

const small = schedule("all", 384, 384);
const smallP4 = schedule("P4", 384, 384);
const middle = schedule("all", 640, 640);
const large = schedule("all", 1536, 2048, 640, 2048);
const largeP4 = schedule("P4", 1536, 2048);
const bundle = [small, smallP4, middle, large, largeP4];

test.each<[height: number, width: number, Schedule, canvasHeight: number, canvasWidth: number]>([
  [100, 100, small, 384, 384], // enlarged everywhere: the smallest
  [384, 300, small, 384, 384], // as large as it is
  [500, 400, small, 384, 384], // the others would enlarge it
  [640, 640, middle, 640, 640],
  [1535, 2047, middle, 640, 640],
  [1536, 2048, large, 1536, 2048],
  [3000, 4000, large, 1536, 2048],
  [4000, 3000, large, 2048, 1536], // turned
  [4000, 4000, large, 1536, 2048], // no larger when turned
])("a photo of %i x %i", (height, width, expected, canvasHeight, canvasWidth) => {
  const choice = choose(firstOfEachCanvas(bundle), { height, width });
  expect(choice.schedule).toBe(expected);
  expect(choice.canvas).toEqual({ height: canvasHeight, width: canvasWidth });
});

test("of equal canvases the first", () => {
  const [wide, tall] = [schedule("a", 320, 640), schedule("b", 640, 320)];
  for (const side of [100, 1000]) {
    const photo = { height: side, width: side };
    expect(choose([wide, tall], photo).schedule).toBe(wide);
    expect(choose([tall, wide], photo).schedule).toBe(tall);
  }
});

const own = ownStrategy(manifest);
const asked = (name?: string, canvas?: Size, schedules = manifest.schedules) =>
  chooseStrategy({ ...manifest, schedules }, own, name, canvas);

test("a canvas that is asked for has the first schedule that serves it", () => {
  const canvas = { height: 704, width: 2048 };
  expect(asked(undefined, canvas, bundle)).toEqual(new Single([large], canvas));
});

test("a bundle with a zoom zooms unless something else is asked for", () => {
  for (const name of [undefined, "zoom"]) expect(asked(name)).toBe(own);
  expect(own.schedules).toEqual([manifest.schedules[0]]);
  expect(programsOf(own)).not.toContain("trunk_whole");
  expect(asked("warm")).toEqual(new Single([manifest.schedules[2]!]));
  const canvas = { height: 64, width: 96 };
  expect(asked(undefined, canvas)).toEqual(new Single([manifest.schedules[0]!], canvas));
});

test("a bundle without a zoom has one look, of the first schedule of each canvas", () => {
  const strategy = { kind: "single", schedules: [2, 0, 1] } as const;
  const single = ownStrategy({ ...manifest, strategy });
  expect(single).toEqual(new Single([manifest.schedules[2]!, manifest.schedules[1]!]));
  expect(chooseStrategy(manifest, single)).toBe(single);
  const zoom = () => chooseStrategy(manifest, single, "zoom");
  expect(zoom).toThrow(/no schedule 'zoom'; it has all, P3, warm/);
});

test("what a bundle does not have is refused, with what it has", () => {
  const refused = (reason: RegExp, name?: string, canvas?: Size) => {
    expect(() => asked(name, canvas)).toThrow(BundleError);
    expect(() => asked(name, canvas)).toThrow(reason);
  };
  const served = /does not serve a canvas of 32 x 32.*64 x 96, 48-128 x 48-192/;
  refused(/no schedule 'P7'; it has all, P3, warm/, "P7");
  refused(served, undefined, { height: 32, width: 32 });
  refused(/canvases of its own/, "zoom", { height: 64, width: 96 });
});
