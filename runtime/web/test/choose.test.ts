/** Which schedule and canvas answer a photo. */

import { expect, test } from "vitest";
import { choose, loadable, programsThatMayRun } from "../src/choose.ts";
import { BundleError } from "../src/errors.ts";
import type { Schedule } from "../src/schedule.ts";
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
  const choice = choose(bundle, { height, width });
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

test("a canvas that is asked for is not turned", () => {
  const canvas = { height: 704, width: 2048 };
  const found = loadable({ ...manifest, schedules: bundle, zoom: null }, undefined, canvas);
  expect(found.schedules).toEqual([large]);
  expect(choose(found.schedules, { height: 4000, width: 100 }, canvas).canvas).toBe(canvas);
});

test("a bundle with a zoom zooms unless something else is asked for", () => {
  for (const name of [undefined, "zoom"]) {
    const found = loadable(manifest, name);
    expect(found.zoom).toBe(manifest.zoom);
    expect(found.schedules).toEqual([manifest.schedules[0]]);
    expect(programsThatMayRun(found)).not.toContain("trunk_whole");
  }
  expect(loadable(manifest, "warm")).toEqual({ schedules: [manifest.schedules[2]], zoom: null });
  expect(loadable(manifest, undefined, { height: 64, width: 96 }).zoom).toBeNull();
});

test("what a bundle does not have is refused, with what it has", () => {
  const refused = (reason: RegExp, name?: string, canvas?: { height: number; width: number }) => {
    const ask = () => loadable({ ...manifest, zoom: null }, name, canvas);
    expect(ask).toThrow(BundleError);
    expect(ask).toThrow(reason);
  };
  refused(/no schedule 'P7'; it has all, P3, warm/, "P7");
  refused(/no 'zoom'; it has all, P3, warm/, "zoom");
  refused(/does not serve a canvas of 32 x 32.*64 x 96, 48-128 x 48-192/, undefined, {
    height: 32,
    width: 32,
  });
  const canvas = { height: 64, width: 96 };
  expect(() => loadable(manifest, "zoom", canvas)).toThrow(/canvases of its own/);
});
