/** Whole taps of the tiny bundle, against what the Python runtime answers. */

import { expect, test } from "vitest";
import { place } from "../src/canvas.ts";
import { choose } from "../src/choose.ts";
import { checkedTable } from "../src/consistency.ts";
import type { Engine, Tensor } from "../src/engine.ts";
import { BundleError, TapOutsidePhoto, TraceNetError } from "../src/errors.ts";
import { OpenPhoto } from "../src/openPhoto.ts";
import { Replay } from "../src/replay.ts";
import { decodeRle } from "../src/rle.ts";
import { tapResult } from "../src/tapResult.ts";
import tiny from "./fixtures/tiny.json";
import { smoothPhoto } from "./seeded.ts";
import { parseTiny, TinyEngine } from "./tiny.ts";

const manifest = parseTiny();
const photo = smoothPhoto(tiny.photo.seed, tiny.photo.height, tiny.photo.width);

function openWith(way: string, engine: Engine): Promise<OpenPhoto> {
  const zoom = way === "zoom" ? manifest.zoom! : null;
  const schedules = manifest.schedules.filter(({ name }, number) =>
    zoom ? number === zoom.first : name === way,
  );
  const { schedule, canvas } = choose(schedules, photo);
  const table = checkedTable(manifest, schedule, canvas);
  const replay = new Replay(manifest, schedule, canvas, table, engine);
  return OpenPhoto.open(photo, manifest.padValue, replay, zoom && { rule: zoom, replay });
}

const ways = [...new Set(tiny.answers.map(({ way }) => way))];

test.each(ways)("%s answers as Python does", async (way) => {
  const opened = await openWith(way, new TinyEngine());
  for (const expected of tiny.answers.filter((answer) => answer.way === way)) {
    const result = tapResult(await opened.tap(expected.at[0]!, expected.at[1]!));
    expect(result.level).toBe(expected.level);
    expect(result.score).toBeCloseTo(expected.score, 5);
    result.box.forEach((side, i) => expect(side).toBeCloseTo(expected.box[i]!, 1));
    expect(result.schedule).toBe(expected.schedule);
    expect(result.maskSchedule).toBe(expected.mask_schedule);
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

test("photos are encoded once, and taps on them do not read the image", async () => {
  const engine = new TinyEngine();
  const opened = await openWith("warm", engine);
  expect(engine.calls).toEqual(["trunk_whole"]);
  await opened.tap(10, 10);
  await opened.tap(200, 100);
  expect(engine.calls.filter((program) => program === "trunk_whole")).toHaveLength(1);
});

test("a tap of a zoom counts what both looks ran, but not what encode has run", async () => {
  const warm = manifest.schedules.find(({ name }) => name === "warm")!;
  const query = [...warm.encode, ...warm.query];
  const macs = { ...warm.macs, encode: 0, query: 1e9 * query.length };
  const schedule = { ...warm, encode: [], query, macs };
  const table = checkedTable(manifest, schedule, schedule.canvas);
  const engine = new TinyEngine();
  const replay = new Replay(manifest, schedule, schedule.canvas, table, engine);
  const closer = { rule: manifest.zoom!, replay };
  const opened = await OpenPhoto.open(photo, manifest.padValue, replay, closer);
  expect(engine.calls).toEqual(["trunk_whole"]);
  const result = await opened.tap(200, 120);
  expect(result.tile).not.toBeNull();
  // Each call has 1e9, but the mask has them once for its two calls.
  expect(result.macs).toBe(1e9 * (engine.calls.length - 1 - 1));
});

test("another level of the same pixel costs only its mask", async () => {
  const engine = new TinyEngine();
  const opened = await openWith("zoom", engine);
  const best = tapResult(await opened.tap(200, 120));
  const queries = engine.calls.filter((program) => program.startsWith("query")).length;
  const other = best.candidates[1]!.level;
  const result = tapResult(await opened.tap(200, 120, other));
  expect(result.level).toBe(other);
  expect(result.score).toBe(best.candidates[1]!.score);
  expect(result.tile).toEqual(best.tile);
  expect(result.mask).not.toEqual(best.mask);
  expect(engine.calls.filter((program) => program.startsWith("query"))).toHaveLength(queries);
  expect(tapResult(await opened.tap(200, 120)).mask).toEqual(best.mask);
  await opened.tap(201, 120, other);
  expect(engine.calls.filter((program) => program.startsWith("query")).length).toBeGreaterThan(
    queries,
  );
});

test("an unknown level is refused with the names of those that were asked", async () => {
  const opened = await openWith("P3", new TinyEngine());
  await expect(opened.tap(5, 5, "P4")).rejects.toThrow(TraceNetError);
  await expect(opened.tap(5, 5, "P4")).rejects.toThrow("the levels are P3");
});

test("taps outside the photo are refused before any work", async () => {
  const engine = new TinyEngine();
  const opened = await openWith("all", engine);
  await expect(opened.tap(photo.width, 0)).rejects.toThrow(TapOutsidePhoto);
  expect(engine.calls).toEqual([]);
});

test("regions lie on the photo, of both looks of a zoom", async () => {
  const opened = await openWith("zoom", new TinyEngine());
  const { regions, tile } = await opened.tap(200, 120);
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
  const opened = await openWith("all", new Broken());
  await expect(opened.tap(5, 5)).rejects.toThrow(BundleError);
});

test("calls of the query that are the same for every tap run once per photo", async () => {
  const warm = manifest.schedules.find(({ name }) => name === "warm")!;
  const query = [...warm.encode, ...warm.query];
  const macs = { ...warm.macs, encode: 0, query: warm.macs.encode + warm.macs.query };
  const schedule = { ...warm, encode: [], query, macs };
  const table = checkedTable(manifest, schedule, schedule.canvas);
  const engine = new TinyEngine();
  const replay = new Replay(manifest, schedule, schedule.canvas, table, engine);
  const shared = await OpenPhoto.open(photo, manifest.padValue, replay, null);
  const encoded = await openWith("warm", new TinyEngine());
  for (const [x, y] of [
    [200, 120],
    [3, 240],
  ] as const) {
    const [result, expected] = [await shared.tap(x, y), await encoded.tap(x, y)];
    expect(result.map).toEqual(expected.map);
    expect(result.candidates).toEqual(expected.candidates);
    expect(result.regions[0]!.program).toBe("trunk_whole");
    expect(result.macs).toBe(expected.macs);
  }
  expect(engine.calls.filter((program) => program === "trunk_whole")).toHaveLength(1);
});
