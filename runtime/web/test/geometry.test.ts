/** Photo to canvas and back, against what the Python runtime gives. */

import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { TapOutsidePhoto } from "../src/errors.ts";
import { CanvasImage, place } from "../src/image/canvas.ts";
import { boxToPhoto, toCanvas } from "../src/image/geometry.ts";
import { maskAt, type ProbabilityMap } from "../src/image/mask.ts";
import type { Box } from "../src/rectangles.ts";
import { chooseTile } from "../src/strategies/rules.ts";
import canvases from "./fixtures/canvases.json";
import masks from "./fixtures/masks.json";
import placements from "./fixtures/placements.json";
import tiles from "./fixtures/tiles.json";
import { fraction, noise, seededNumbers, wholeNumber } from "./seeded.ts";

const PAD = [124, 116, 104] as const;

const pointOf = ([x, y]: number[]) => ({ x: x!, y: y! });
const sizeOf = ([height, width]: number[]) => ({ height: height!, width: width! });
const digest = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

test("photos are placed as in Python", () => {
  for (const { canvas, photo, content, at, tap } of placements) {
    const placement = place(sizeOf(canvas), sizeOf(photo));
    expect(placement.content).toEqual(sizeOf(content));
    expect(toCanvas(placement, pointOf(at))).toEqual(pointOf(tap));
  }
});

test("halves are rounded to even numbers", () => {
  const content = (height: number) => place({ height: 64, width: 64 }, { height, width: 128 });
  expect(content(1).content.height).toBe(1); // 0.5, but never below one pixel
  expect(content(3).content.height).toBe(2); // 1.5
  expect(content(5).content.height).toBe(2); // 2.5
  expect(content(7).content.height).toBe(4); // 3.5
});

test("a tap is on the content, or refused", () => {
  const numbers = seededNumbers(4);
  for (let i = 0; i < 500; i++) {
    const photo = sizeOf([wholeNumber(numbers, 1, 3000), wholeNumber(numbers, 1, 3000)]);
    const placement = place({ height: 64, width: 96 }, photo);
    const [x, y] = [fraction(numbers) * photo.width, fraction(numbers) * photo.height];
    const tap = toCanvas(placement, { x, y });
    expect(tap.x).toBeLessThan(placement.content.width);
    expect(tap.y).toBeLessThan(placement.content.height);
    for (const outside of [
      { x: -0.1, y },
      { x: photo.width, y },
      { x, y: photo.height },
      { x, y: NaN },
    ]) {
      expect(() => toCanvas(placement, outside)).toThrow(TapOutsidePhoto);
    }
  }
});

test("boxes are clipped to the photo", () => {
  const placement = place({ height: 64, width: 64 }, { height: 128, width: 256 });
  expect(boxToPhoto(placement, [-3, 8, 16, 1000])).toEqual([0, 32, 64, 128]);
});

test.each(canvases)("canvas $canvas of photo $photo, tile $tile", (given) => {
  const data = noise(given.seed, 3 * given.photo[0]! * given.photo[1]!);
  const photo = { ...sizeOf(given.photo), data };
  const image = new CanvasImage(sizeOf(given.canvas), PAD, photo, given.tile as unknown as Box);
  const [y0, x0, height, width] = given.window as [number, number, number, number];
  const { data: cut, shape } = image.cut(y0, x0, height, width);
  expect(shape).toEqual([1, 3, height, width]);
  const plane = height * width;
  const interleaved = Uint8Array.from(
    { length: cut.length },
    (_, i) => cut[(i % 3) * plane + Math.floor(i / 3)]!,
  );
  expect(digest(interleaved)).toBe(given.sha256);
});

function mapOf(given: (typeof masks)[number]): ProbabilityMap {
  const [x0, y0, x1, y1] = given.window as [number, number, number, number];
  const [left, top, right, bottom] = given.tile as [number, number, number, number];
  const [height, width] = [(y1 - y0) / 2, (x1 - x0) / 2];
  return {
    height,
    width,
    stride: 2,
    probability: Float32Array.from(noise(given.seed, height * width), (value) => value / 255),
    window: [x0, y0, x1, y1],
    placement: place(sizeOf(given.canvas), { height: bottom - top, width: right - left }),
    tile: [left, top, right, bottom],
    photo: sizeOf(given.photo),
  };
}

test.each(masks)("mask on photo $photo, tile $tile, window $window", (given) => {
  const mask = maskAt(mapOf(given), sizeOf(given.photo));
  expect(mask.reduce((area, value) => area + value, 0)).toBe(given.area);
  expect(digest(mask)).toBe(given.sha256);
});

/** The probability at each pixel of a mask, by the definition: a triangle over the cells. */
function slowMask(map: ProbabilityMap, height: number, width: number): Uint8Array {
  const mask = new Uint8Array(height * width);
  const [left, top] = map.tile!;
  const { photo, content } = map.placement;
  const [yScale, xScale] = [content.height / photo.height, content.width / photo.width];
  const spread = (scale: number, photo: number, target: number) =>
    Math.max(1, (scale * photo) / target / 2);
  const ySpread = spread(yScale, map.photo.height, height);
  const xSpread = spread(xScale, map.photo.width, width);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const canvasY = (((y + 0.5) * map.photo.height) / height - top) * yScale;
      const canvasX = (((x + 0.5) * map.photo.width) / width - left) * xScale;
      const inside =
        canvasX >= map.window[0] &&
        canvasX < Math.min(map.window[2], content.width) &&
        canvasY >= map.window[1] &&
        canvasY < Math.min(map.window[3], content.height);
      if (!inside) continue;
      let [sum, weights] = [0, 0];
      for (let cell = 0; cell < map.probability.length; cell++) {
        const cellX = (cell % map.width) + 0.5 - (canvasX - map.window[0]) / 2;
        const cellY = Math.floor(cell / map.width) + 0.5 - (canvasY - map.window[1]) / 2;
        const weight =
          Math.max(0, 1 - Math.abs(cellX) / xSpread) * Math.max(0, 1 - Math.abs(cellY) / ySpread);
        sum += weight * map.probability[cell]!;
        weights += weight;
      }
      mask[y * width + x] = sum / weights > 0.5 ? 1 : 0;
    }
  }
  return mask;
}

test("masks of any size follow the definition", () => {
  const numbers = seededNumbers(9);
  for (const given of masks.slice(0, 7)) {
    const map = mapOf(given);
    const [height, width] = [wholeNumber(numbers, 5, 90), wholeNumber(numbers, 5, 90)];
    const [fast, slow] = [maskAt(map, { height, width }), slowMask(map, height, width)];
    const different = fast.filter((value, i) => value !== slow[i]).length;
    expect(different / fast.length).toBeLessThan(0.001); // rounding to single precision
  }
});

test("a map without any cell above one half gives an empty mask", () => {
  const map = { ...mapOf(masks[0]!), probability: new Float32Array(32 * 48).fill(0.5) };
  expect(maskAt(map, { height: 30, width: 40 }).some((value) => value !== 0)).toBe(false);
});

test("tiles are chosen as in Python", () => {
  for (const { photo, extent, gain, inside, at, box, tile } of tiles) {
    const numbers = { first: 0, tile: 0, extent, enlarge: 4, gain, inside, trust: 0.7 };
    const rule = { kind: "zoom", ...numbers } as const;
    const first = place({ height: 64, width: 96 }, sizeOf(photo));
    const canvas = { height: 96, width: 64 };
    const given = chooseTile(rule, canvas, first, pointOf(at), box as unknown as Box);
    expect(given).toEqual(tile);
  }
});
