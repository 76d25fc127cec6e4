import { describe, expect, it } from "vitest";
import { blurOutside } from "../page/backdrop.ts";
import { blur } from "../page/blur.ts";
import { softRows } from "../page/feather.ts";
import { paintOverlay, TINTS } from "../page/overlay.ts";

/** A disc of radius 9 in the middle of 40 x 50. */
const height = 40;
const width = 50;
const disc = Uint8Array.from({ length: height * width }, (_, i) =>
  Math.hypot((i % width) - 25, Math.floor(i / width) - 20) < 9 ? 1 : 0,
);

describe("blur", () => {
  it("keeps the sum of a point and spreads it over the radius, symmetrically", () => {
    const plane = new Float32Array(21 * 21);
    plane[10 * 21 + 10] = 1;
    blur(plane, 21, 21, 4);
    expect(plane.reduce((a, b) => a + b)).toBeCloseTo(1, 5);
    expect(plane[10 * 21 + 5]).toBeCloseTo(0, 6);
    expect(plane[10 * 21 + 6]).toBeGreaterThan(0.001);
    expect(plane[10 * 21 + 7]).toBeCloseTo(plane[13 * 21 + 10] as number, 6);
    expect(plane[10 * 21 + 7]).toBeCloseTo(plane[10 * 21 + 13] as number, 6);
  });

  it("leaves an even plane as it is, and any plane at radius 0", () => {
    const even = new Float32Array(6 * 7).fill(3);
    blur(even, 6, 7, 4.5);
    for (const value of even) expect(value).toBeCloseTo(3, 5);
    const any = Float32Array.from({ length: 12 }, (_, i) => i * i);
    const before = any.slice();
    blur(any, 3, 4, 0);
    expect(any).toEqual(before);
  });
});

describe("the soft edge", () => {
  it("is the mask itself without a feather", () => {
    expect(Array.from(softRows(disc, height, width, 0, height, 0))).toEqual(Array.from(disc));
  });

  it("falls from 1 to 0 across the edge, within the feather's reach", () => {
    const soft = softRows(disc, height, width, 0, height, 4);
    const row = Array.from(soft.subarray(20 * width + 25, 21 * width));
    expect(row[0]).toBeCloseTo(1, 5);
    expect(row[9]).toBeGreaterThan(0.2);
    expect(row[9]).toBeLessThan(0.6);
    expect(row[15]).toBeCloseTo(0, 5);
    for (let i = 1; i < row.length; i++) expect(row[i]).toBeLessThan((row[i - 1] as number) + 1e-6);
  });

  it("is the same in strips as at once", () => {
    const whole = softRows(disc, height, width, 0, height, 3.3);
    for (let top = 0; top < height; top += 7) {
      const bottom = Math.min(top + 7, height);
      const strip = softRows(disc, height, width, top, bottom, 3.3);
      expect(strip.length).toBe((bottom - top) * width);
      strip.forEach((value, i) => expect(value).toBeCloseTo(whole[top * width + i] as number, 5));
    }
  });
});

describe("the blurred background", () => {
  it("takes no colour of the thing", () => {
    const rgba = new Uint8ClampedArray(4 * height * width);
    for (let i = 0; i < disc.length; i++)
      rgba.set(disc[i] ? [255, 0, 0, 255] : [0, 80, 160, 255], 4 * i);
    blurOutside(rgba, disc, height, width, 6);
    for (let i = 0; i < disc.length; i++) {
      if (disc[i] === 0)
        expect(Array.from(rgba.subarray(4 * i, 4 * i + 4))).toEqual([0, 80, 160, 255]);
    }
  });
});

describe("the mask's overlay", () => {
  const rgba = new Uint8ClampedArray(4 * height * width);
  paintOverlay(rgba, disc, { height, width }, 0, TINTS[0]);
  const at = (x: number, y: number): number[] =>
    Array.from(rgba.subarray(4 * (y * width + x), 4 * (y * width + x) + 4));

  it("tints the thing, leaves the rest clear, and marks the edge on both sides", () => {
    expect(at(25, 20)).toEqual([0, 200, 255, 105]);
    expect(at(2, 2)[3]).toBe(0);
    const [bright, dark] = [at(33, 20), at(34, 20)];
    expect(bright[3]).toBeGreaterThan(150);
    expect(dark[3]).toBeGreaterThan(150);
    expect(bright[2]).toBeGreaterThan(200);
    expect(dark[2]).toBeLessThan(60);
  });
});
