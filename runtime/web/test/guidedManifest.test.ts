/** A bundle with a guided look is untrusted, too. */

import { expect, test } from "vitest";
import { ownStrategy } from "../src/bundle/choice.ts";
import { changedAt, expectRefused, openManifest } from "./damage.ts";
import guided from "./fixtures/guided.json";
import { parseTiny, type Json } from "./tiny.ts";

const table = Int32Array.from(guided.table);
const json = () => structuredClone(guided.manifest) as unknown as Json;
const GRAPH = "schedules.3.graph";
const CORRECTION = `${GRAPH}.phases.3`;
const CALL = `${CORRECTION}.calls.0`;

test("the tiny bundle with a guided look is read", () => {
  openManifest(json(), table);
  expect(ownStrategy(parseTiny(json())).name).toBe("guided");
});

test.each<[path: string, value: unknown, reason: RegExp]>([
  ["answer.guide", undefined, /lacks the key 'guide'/],
  ["answer.guide.planes", ["positive"], /planes must be \["positive",/],
  ["answer.guide.stride", 2, /must be 4/],
  ["answer.guide.nearness", 47, /must be 48/],
  ["answer.guide.far", null, /must be 128/],
  ["strategy.passes", -1, /from 0/],
  ["strategy.settled", -1, /at least 0/],
  ["strategy.near", 15, /at least 16/],
  ["strategy.margin", -1, /at least 0/],
  ["strategy.spill", 1.5, /from 0 to 1/],
  ["strategy.roomy", 0.05, /at least 0.1/],
  ["strategy.roomy", 2, /from 0 to 1/],
  ["strategy.small", 2, /from 0 to 1/],
  ["strategy.tile", 0, /no phase per correction/],
  ["strategy.tile", 7, /schedule number 7/],
  ["strategy.first", 3, /phase per photo/],
  ["strategy.extent", 65, /larger than the canvas/],
  ["strategy.kind", "zoom", /phase per photo/],
  [`${GRAPH}.inputs.guide.channels`, 0, /from 1/],
  [`${GRAPH}.inputs.guide.stride`, 0, /from 1/],
  [`${GRAPH}.inputs.guide`, undefined, /do not come together/],
  [`${GRAPH}.inputs.guide.channels`, 8, /wrong shape/],
  [`${GRAPH}.inputs.guide.stride`, 7, /do not fill it/],
  [`${GRAPH}.inputs.other`, { kind: "plane", channels: 9, stride: 4 }, /its planes are not/],
  [`${GRAPH}.outputs.mask_state`, [], /at least 1/],
  [`${GRAPH}.outputs.mask_state`, undefined, /do not come together/],
  [`${GRAPH}.outputs.mask_state`, ["p3"], /not one array that its correction makes/],
  [`${GRAPH}.outputs.mask_state`, ["mask_state", "other"], /not one array/],
  [`${CORRECTION}.when`, "tap", /no phase per correction/],
  [`${CALL}.inputs.1.array`, "elsewhere", /before it is made/],
  [`${CALL}.inputs.0.array`, "image", /reads the image/],
  [`${CALL}.vectors.guide`, "filter", /takes vectors/],
  [`${CALL}.outputs.0.step`, 2, /not the whole canvas/],
  ["programs.correction.outputs.0.shape", [1, 2, 16, 24], /not one channel/],
])("%s = %j", (path, value, reason) => {
  expectRefused(() => openManifest(changedAt(json(), path, value), table), reason);
});

test("a correction that reads what a tap makes is refused", () => {
  const changed = changedAt(json(), `${CALL}.inputs.0.array`, "p3_score");
  expectRefused(() => openManifest(changed, table), /before it is made/);
});
