/** Whole taps of the tiny bundle, against what the Python runtime answers. */

import { expect, test } from "vitest";
import { Viewer } from "../src/answer/look.ts";
import { tapResult, type TapResult } from "../src/answer/result.ts";
import { chooseStrategy, ownStrategy } from "../src/bundle/choice.ts";
import { BundleError, TapOutsidePhoto, UnknownLevel } from "../src/errors.ts";
import type { Tensor } from "../src/graph/arrays.ts";
import type { Engine } from "../src/graph/executor.ts";
import type { Schedule } from "../src/graph/schedule.ts";
import { place } from "../src/image/canvas.ts";
import { decodeRle } from "../src/image/rle.ts";
import type { ZoomRule } from "../src/strategies/rules.ts";
import { Single } from "../src/strategies/single.ts";
import type { Strategy, View } from "../src/strategies/strategy.ts";
import { Zoom } from "../src/strategies/zoom.ts";
import { LocalSession } from "../src/worker/localSession.ts";
import tiny from "./fixtures/tiny.json";
import { smoothPhoto } from "./seeded.ts";
import { parseTiny, TinyEngine } from "./tiny.ts";

const manifest = parseTiny();
const photo = smoothPhoto(tiny.photo.seed, tiny.photo.height, tiny.photo.width);
const warm = manifest.schedules.find(({ name }) => name === "warm")!;

/** `warm` without a photo phase: its trunk is a call per tap, the same for every tap. */
const [encode, query, ...windows] = warm.graph.phases;
const calls = [...encode!.calls, ...query!.calls];
const folded: Schedule = {
  ...warm,
  name: "folded",
  graph: { ...warm.graph, phases: [{ ...query!, calls }, ...windows] },
};

function view(strategy: Strategy, engine: Engine): Promise<View> {
  const { programs, meaning, padValue } = manifest;
  return strategy.open(new Viewer(programs, meaning, padValue, engine), photo, {});
}

async function opened(strategy: Strategy, engine: Engine = new TinyEngine()) {
  const session = new LocalSession(await view(strategy, engine));
  return async (x: number, y: number, level?: string): Promise<TapResult> =>
    tapResult(await session.make({ kind: "tap", at: { x, y }, positive: true }, level));
}

function strategyNamed(name: string): Strategy {
  return chooseStrategy(manifest, ownStrategy(manifest), name);
}

const ways = [...new Set(tiny.answers.map(({ way }) => way))];

test.each(ways)("%s answers as Python does", async (way) => {
  const tap = await opened(strategyNamed(way));
  for (const expected of tiny.answers.filter((answer) => answer.way === way)) {
    const result = await tap(expected.at[0]!, expected.at[1]!);
    expect(result.level).toBe(expected.level);
    expect(result.score).toBeCloseTo(expected.score, 5);
    result.box.forEach((side, i) => expect(side).toBeCloseTo(expected.box[i]!, 1));
    expect(result.schedule).toBe(expected.schedule);
    expect(result.maskWindow).toBe(expected.mask_window);
    expect([result.canvas.height, result.canvas.width]).toEqual(expected.canvas);
    expect(result.tile).toEqual(expected.tile);
    expect(result.macs).toBe(expected.macs);
    const mask = decodeRle(photo.height, photo.width, expected.mask_rle.counts);
    expect(mask.reduce((area, value) => area + value, 0)).toBe(expected.area);
    const different = result.mask.filter((value, i) => value !== mask[i]).length;
    expect(different).toBeLessThanOrEqual(0.005 * expected.area);
    expect(result.maskAt(photo.height, photo.width)).toEqual(result.mask);
    expect(result.mask).toBe(result.mask);
    const scores = result.candidates.map(({ score }) => score);
    expect(scores).toEqual([...scores].sort((a, b) => b - a));
  }
});

test("the photo phase runs once, and taps do not read the image", async () => {
  const engine = new TinyEngine();
  const session = await view(strategyNamed("warm"), engine);
  expect(engine.calls).toEqual(["trunk_whole"]);
  expect(session.nbytes).toBe(4 * 3 * (8 * 12 + 4 * 6)); // p3 and p4, without the canvas
  await session.look({ x: 10, y: 10 }, {});
  await session.look({ x: 200, y: 100 }, {});
  expect(engine.calls.filter((program) => program === "trunk_whole")).toHaveLength(1);
});

test("calls that are the same for every tap run once per photo", async () => {
  const engine = new TinyEngine();
  const [shared, expected] = [
    await opened(new Single([folded]), engine),
    await opened(strategyNamed("warm")),
  ];
  for (const [x, y] of [
    [200, 120],
    [3, 240],
  ] as const) {
    const [one, other] = [await shared(x, y), await expected(x, y)];
    expect(one.probability).toEqual(other.probability);
    expect(one.candidates).toEqual(other.candidates);
    expect(one.regions[0]!.program).toBe("trunk_whole");
    expect(one.macs).toBe(other.macs);
  }
  expect(engine.calls.filter((program) => program === "trunk_whole")).toHaveLength(1);
});

test("a tap of a zoom counts what both looks ran, but not what opening has run", async () => {
  const engine = new TinyEngine();
  const session = await view(new Zoom(folded, folded, manifest.strategy as ZoomRule), engine);
  expect(engine.calls).toEqual(["trunk_whole"]);
  expect(session.macs).toBe(1e9);
  const result = await (await session.look({ x: 200, y: 120 }, {})).result({});
  expect(result.tile).not.toBeNull();
  expect(result.macs).toBe(1e9 * (engine.calls.length - 1)); // each call has 1e9
});

test("another level of the same pixel costs only its mask", async () => {
  const engine = new TinyEngine();
  const tap = await opened(strategyNamed("zoom"), engine);
  const best = await tap(200, 120);
  const queries = engine.calls.filter((program) => program.startsWith("query")).length;
  const other = best.candidates[1]!.level;
  const result = await tap(200, 120, other);
  expect(result.level).toBe(other);
  expect(result.score).toBe(best.candidates[1]!.score);
  expect(result.tile).toEqual(best.tile);
  expect(result.mask).not.toEqual(best.mask);
  expect(engine.calls.filter((program) => program.startsWith("query"))).toHaveLength(queries);
  expect((await tap(200, 120)).mask).toEqual(best.mask);
  await tap(201, 120, other);
  expect(engine.calls.filter((program) => program.startsWith("query")).length).toBeGreaterThan(
    queries,
  );
});

test("an unknown level is refused with the names of those that are asked", async () => {
  const tap = await opened(strategyNamed("P3"));
  await expect(tap(5, 5, "P4")).rejects.toThrow(UnknownLevel);
  await expect(tap(5, 5, "P4")).rejects.toThrow("'P3' does not ask the level 'P4'; it asks P3.");
});

test("taps outside the photo are refused before any work", async () => {
  const engine = new TinyEngine();
  const tap = await opened(strategyNamed("all"), engine);
  await expect(tap(photo.width, 0)).rejects.toThrow(TapOutsidePhoto);
  expect(engine.calls).toEqual([]);
});

test("regions lie on the photo, of both looks of a zoom", async () => {
  const tap = await opened(strategyNamed("zoom"));
  const { regions, tile } = await tap(200, 120);
  expect(new Set(regions.map(({ look }) => look))).toEqual(new Set([0, 1]));
  for (const { box, look } of regions) {
    const [x0, y0, x1, y1] = look === 1 ? tile! : [0, 0, photo.width, photo.height];
    expect(box[0]).toBeGreaterThanOrEqual(x0);
    expect(box[1]).toBeGreaterThanOrEqual(y0);
    expect(box[2]).toBeLessThanOrEqual(x1);
    expect(box[3]).toBeLessThanOrEqual(y1);
    expect(box[2]).toBeGreaterThan(box[0]);
    expect(box[3]).toBeGreaterThan(box[1]);
  }
  const trunk = regions.find(({ program, look }) => program === "trunk" && look === 0)!;
  const { content } = place({ height: 64, width: 96 }, photo);
  const side = (48 * photo.width) / content.width; // its window has 48 x 48 canvas pixels
  expect(trunk.box[2] - trunk.box[0]).toBeCloseTo(side, 6);
});

test("answers that are no numbers are refused", async () => {
  class Broken extends TinyEngine {
    override async run(program: string, inputs: ReadonlyMap<string, Tensor>) {
      const outputs = await super.run(program, inputs);
      outputs.get("score")?.data.fill(NaN);
      return outputs;
    }
  }
  const tap = await opened(strategyNamed("all"), new Broken());
  await expect(tap(5, 5)).rejects.toThrow(BundleError);
});
