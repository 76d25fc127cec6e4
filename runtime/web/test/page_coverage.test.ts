import { describe, expect, it } from "vitest";
import { coveredShare } from "../page/coverage.ts";
import type { ProbabilityMap } from "../src/index.ts";

const PHOTO = { height: 3000, width: 4000 };

/** The photo on a canvas of 512 x 512, of which it fills 512 x 384. */
const mapOf = (probability: Float32Array): ProbabilityMap => ({
  probability,
  stride: 2,
  height: 256,
  width: 256,
  window: [0, 0, 512, 512],
  placement: { photo: PHOTO, content: { height: 384, width: 512 } },
  tile: null,
  photo: PHOTO,
});

describe("the covered share", () => {
  it("is 0 only if nothing was found", () => {
    const probability = new Float32Array(256 * 256).fill(0.5);
    expect(coveredShare(mapOf(probability))).toBe(0);
    probability[100 * 256 + 70] = 0.6;
    expect(coveredShare(mapOf(probability))).toBeCloseTo(4 / (512 * 384), 12);
  });

  it("is of the photo, not of the canvas, nor of a closer look's tile", () => {
    const all = mapOf(new Float32Array(256 * 256).fill(1));
    expect(coveredShare(all)).toBe(1);
    const placement = { ...all.placement, photo: { height: 750, width: 1000 } };
    expect(coveredShare({ ...all, placement, tile: [0, 0, 1000, 750] })).toBeCloseTo(1 / 16, 12);
  });
});
