/** The programs that clips share, in the worker. */

import { afterEach, expect, test, vi } from "vitest";
import type { Viewer } from "../src/answer/look.ts";
import type { Bundle } from "../src/bundle/files.ts";
import { LocalClips } from "../src/worker/localClips.ts";

const mocks = vi.hoisted(() => ({ open: vi.fn(), check: vi.fn() }));
vi.mock("../src/bundle/files.ts", () => ({ fetchTracking: async () => new Map() }));
vi.mock("../src/bundle/goldenClip.ts", () => ({ checkGoldenClip: mocks.check }));
vi.mock("../src/engines/onnxruntime.ts", () => ({ OnnxRuntimeEngine: { open: mocks.open } }));
vi.mock("../src/image/photo.ts", () => ({ readPhoto: async () => ({}) }));
vi.mock("../src/tracking/programs.ts", () => ({ TrackPrograms: class {} }));
afterEach(() => void vi.clearAllMocks());

test("programs whose answers could not be checked are not opened again", async () => {
  const bundle = {
    manifest: { tracking: { rule: {} }, programs: new Map(), padValue: [0, 0, 0] },
    golden: { clips: [{}] },
    goldenPhoto: new Uint8Array(),
  } as unknown as Bundle;
  const options = { threads: 1, verify: true };
  const clips = new LocalClips(bundle, {} as Viewer, options, () => Promise.reject(new Error()));
  const open = () =>
    clips.openVideo({ height: 1, width: 1 }, 1, () => undefined, new AbortController().signal);
  mocks.check.mockRejectedValueOnce(new Error("other masks"));
  await expect(open()).rejects.toThrow("other masks");
  expect(await open()).toBe(0);
  expect(await open()).toBe(1);
  expect(mocks.check).toHaveBeenCalledTimes(2);
  expect(mocks.open).toHaveBeenCalledTimes(1);
});
