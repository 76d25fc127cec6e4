/** A bundle of a network that tracks is untrusted, too. */

import { expect, test } from "vitest";
import { BundleError } from "../src/errors.ts";
import { changedAt, expectRefused, openManifest } from "./damage.ts";
import { parseTiny, tinyJson, tinyTable, trackingJson } from "./tiny.ts";

const SAID = "tracking.described";

test("what a network that tracks says of itself is read", () => {
  openManifest(trackingJson(), tinyTable);
  const { tracking } = parseTiny(trackingJson());
  expect(tracking).toEqual({
    programs: {
      frame: "track_frame",
      value: "track_value",
      decode: "track_decode",
      fuse: "track_fuse",
    },
    rule: { fill: 0.5, enlarge: 3, lost: 0.5, sure: 0.8 },
  });
  expect(parseTiny(tinyJson()).tracking).toBeNull();
});

test.each<[path: string, value: unknown, reason: RegExp]>([
  ["tracking", undefined, /lacks the key 'tracking'/],
  ["tracking", 7, /must be an object/],
  ["tracking.programs.fuse", undefined, /lacks the key 'fuse'/],
  ["tracking.programs.frame", "nothing", /program 'nothing', which there is not/],
  ["tracking.programs.value", "track_decode", /not what 'value' of tracking has/],
  ["tracking.rule.fill", 5e-324, /from 0.01 to 1/],
  ["tracking.rule.fill", 1.1, /from 0.01 to 1/],
  ["tracking.rule.enlarge", 0.001, /from 0.01 to 256/],
  ["tracking.rule.enlarge", 1e308, /from 0.01 to 256/],
  ["tracking.rule.lost", 1.5, /from 0 to 1/],
  [`${SAID}.tile`, 512, /must be 256, as this reader has it/],
  [`${SAID}.plane_stride`, undefined, /lacks the key/],
  [`${SAID}.top_k`, 50, /must be 20/],
  [`${SAID}.fusion_planes`, ["old"], /must be \["old","new",/],
  [`${SAID}.ring_every`, undefined, /lacks the key/],
  ["tracking.memory_bytes.one", 1, /must be 1769472/],
  ["tracking.memory_bytes.further", 1, /must be 1179648/],
  ["programs.track_frame.outputs.1.name", "finest", /does not give 'fine'/],
  ["programs.track_frame.inputs.0.shape", [1, 3, 128, 128], /inputs of the program 'track_frame'/],
  ["programs.track_frame.outputs.4.shape", [1, 32, 16, 16], /outputs of the program 'track_frame'/],
  ["programs.track_value.inputs.3.shape", [1, 1, 64, 64], /inputs of the program 'track_value'/],
  ["programs.track_decode.inputs.0.shape", [1, 9, 64, 64], /inputs of the program 'track_decode'/],
  ["programs.track_decode.outputs.1.name", "seen", /outputs of the program 'track_decode'/],
  ["programs.track_fuse.inputs.1.shape", [1, 9, 64, 64], /inputs of the program 'track_fuse'/],
  ["programs.track_fuse.file", "programs/other.onnx", /not listed/],
])("%s = %j", (path, value, reason) => {
  expectRefused(() => openManifest(changedAt(trackingJson(), path, value), tinyTable), reason);
});

test("a program that takes more than it is given is refused", () => {
  const json = trackingJson();
  const inputs = json["programs"]!["track_fuse"]!["inputs"] as unknown as unknown[];
  inputs.push({ name: "more", shape: [1, 1, 64, 64], dtype: "float32" });
  expect(() => openManifest(json, tinyTable)).toThrow(BundleError);
});
