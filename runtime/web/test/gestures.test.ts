/** Gestures, their planes and promises, and masks in layers, against what Python gives. */

import { expect, test } from "vitest";
import {
  asShown,
  distanceTo,
  guidePlanes,
  isStroke,
  type Cells,
  type Mark,
  type Stroke,
} from "../src/answer/marks.ts";
import {
  carried,
  coarser,
  emptyState,
  put,
  stateArrays,
  stateBox,
  stateMaskAt,
  type MaskState,
} from "../src/answer/maskState.ts";
import { force, hold, obeys, spare } from "../src/answer/promises.ts";
import {
  boundsOf,
  checkGesture,
  checkMask,
  markOf,
  tapped,
  type Gesture,
} from "../src/answer/prompt.ts";
import { GestureError, TapOutsidePhoto } from "../src/errors.ts";
import { place } from "../src/image/canvas.ts";
import type { PlacedTile } from "../src/image/geometry.ts";
import { decodeRle } from "../src/image/rle.ts";
import type { Box, Size } from "../src/rectangles.ts";
import { leaves, shrinks, spills, tileAbout } from "../src/strategies/rules.ts";
import tiles from "./fixtures/guided_tiles.json";
import kept from "./fixtures/kept.json";
import marks from "./fixtures/marks.json";
import states from "./fixtures/mask_states.json";
import { gestureOf, pointOf } from "./gestureJson.ts";
import { noise } from "./seeded.ts";

const CANVAS: Size = { height: 32, width: 48 };
const CELLS: Size = { height: 8, width: 12 };

const sizeOf = ([height, width]: readonly number[]) => ({ height: height!, width: width! });

function cellsOf(seed: number): Cells {
  const numbers = noise(seed, CELLS.height * CELLS.width);
  return { ...CELLS, data: Float32Array.from(numbers, (value) => value / 255) };
}

function viewOf(tile: readonly number[]): PlacedTile {
  const [x0, y0, x1, y1] = tile as Box;
  const placement = place(CANVAS, { height: y1 - y0, width: x1 - x0 });
  return { tile: [x0, y0, x1, y1], placement, canvas: CANVAS };
}

function expectNear(given: Iterable<number>, expected: readonly number[]): void {
  const values = [...given];
  expect(values).toHaveLength(expected.length);
  // The fixtures have five digits.
  expect(values.filter((value, i) => !(Math.abs(value - expected[i]!) <= 1.1e-5))).toEqual([]);
}

interface MarkJson {
  readonly box?: readonly number[];
  readonly points?: readonly (readonly number[])[];
  readonly radius?: number;
  readonly positive?: boolean;
}

function expectMark(mark: Mark, { box, points, radius, positive }: MarkJson): void {
  if (mark.kind === "area") {
    expectNear(mark.box, box!);
  } else {
    expect(mark.positive).toBe(positive);
    expect(mark.radius).toBeCloseTo(radius!, 9);
    expectNear(mark.points.flatMap(({ x, y }) => [x, y]), points!.flat());
  }
}

test.each(marks)("marks and planes of $gestures.length gestures on the tile $tile", (given) => {
  const [photo, view] = [sizeOf(given.photo), viewOf(given.tile)];
  const gestures = given.gestures.map(gestureOf);
  expect(gestures.map((v) => tapped(v, photo))).toEqual(given.tapped.map(pointOf));
  const made = gestures.map((gesture) => markOf(gesture, view));
  made.forEach((mark, i) => expectMark(mark, given.marks[i] as MarkJson));
  made.forEach((mark, i) => expectMark(asShown(mark), given.shown[i] as MarkJson));
  const [prior, positive, negative] = [0, 100, 200].map((n) => cellsOf(given.seed + n));
  expectNear(guidePlanes(made, prior!, positive!.data, negative!.data), given.planes);
});

test.each(kept)("what strokes force on the tile $tile, what is held and spared", (given) => {
  const view = viewOf(given.tile);
  const [cells, before] = [cellsOf(given.seed), cellsOf(given.seed + 50)];
  const strokes = given.strokes.map(({ points, radius, positive }): Stroke => {
    return { kind: "stroke", points: points.map(pointOf), radius, positive };
  });
  const newest = strokes.at(-1)!;
  expect(obeys(cells, newest)).toBe(given.obeyed);
  expectNear(force(cells, strokes, view).data, given.forced);
  expectNear(hold(cells, before, newest, given.near, view).data, given.held);
  expectNear(spare(cells, before, newest).data, given.spared);
  expect(cells).toEqual(cellsOf(given.seed));
});

test("points beside a line are left out of its mark", () => {
  const view = viewOf([0, 0, 48, 32]);
  const points = Array.from({ length: 500 }, (_, i) => ({
    x: 2 + (40 * i) / 499,
    y: 16 + 10 * Math.sin(i / 80),
  }));
  const mark = markOf({ kind: "scribble", points, width: 6, positive: true }, view) as Stroke;
  expect(mark.points.length).toBeLessThan(60);
  expect([mark.points[0], mark.points.at(-1)]).toEqual([points[0], points.at(-1)]);
  const [x, y] = [Float32Array.of(5, 20, 40), Float32Array.of(3, 17, 30)];
  const all = distanceTo({ ...mark, points }, x, y);
  distanceTo(mark, x, y).forEach((away, i) => expect(Math.abs(away - all[i]!)).toBeLessThan(0.06));
  const closed = [{ x: 5, y: 5 }, { x: 9, y: 5 }, { x: 5, y: 5 }];
  const loop = markOf({ kind: "scribble", points: closed, width: 6, positive: true }, view) as Stroke;
  expect(loop.points).toEqual(closed);
});

function stateOf({ photo, base_seed: seed, layers }: (typeof states)[number]): MaskState {
  const size = sizeOf(photo);
  const bytes = seed === null ? null : noise(seed, size.height * size.width);
  const base = bytes && bytes.map((value) => (value < 20 ? 1 : 0));
  return layers.reduce<MaskState>(
    (state, layer) => {
      const view = viewOf(layer.tile);
      const strokes = layer.gestures.map((v) => markOf(gestureOf(v), view)).filter(isStroke);
      const { data: probability, ...cells } = cellsOf(layer.seed);
      const { placement, tile } = view;
      const rest = { probability, stride: 4, placement, photo: size, tile, ...cells };
      return put(state, { map: { ...rest, window: [0, 0, 48, 32] }, view, strokes });
    },
    { ...emptyState(size), base },
  );
}

test.each(states)("a mask of $layers.length layers on photo $photo", (given) => {
  const state = stateOf(given);
  const { height, width } = state.photo;
  expect(state.layers).toHaveLength(given.kept);
  const box = stateBox(state);
  if (given.box === null) expect(box).toBeNull();
  else expectNear(box!, given.box);
  expect(stateMaskAt(state, state.photo)).toEqual(
    decodeRle(height, width, given.mask_rle.counts),
  );
  const half = { height: Math.floor(height / 2), width: Math.floor(width / 2) };
  expect(stateMaskAt(state, half)).toEqual(
    decodeRle(half.height, half.width, given.half_rle.counts),
  );
  expectNear(carried(state, viewOf(given.tile)).data, given.carried);
});

test("a mask carried to its own tile is the same", () => {
  for (const given of states) {
    const state = stateOf(given);
    const newest = state.layers.at(-1)!;
    expect(carried(state, newest.view).data).toBe(newest.map.probability);
  }
});

test("what a state is made of is counted", () => {
  const state = stateOf(states[1]!);
  const bytes = stateArrays(state).reduce((sum, array) => sum + array.byteLength, 0);
  expect(bytes).toBe(state.photo.height * state.photo.width + 4 * 96 * state.layers.length);
});

test("tiles about boxes, gestures that leave them, and masks that spill are as in Python", () => {
  const numbers = { enlarge: 4, gain: 1.2, inside: 0.8, trust: 0.7 };
  const zoom = { kind: "zoom", first: 0, tile: 0, extent: 36, ...numbers } as const;
  const passes = { passes: 0, settled: 20, near: 18 };
  const shares = { spill: 0.02, roomy: 0.6, small: 0.4 };
  const rule = { kind: "guided", zoom, ...passes, margin: 4, ...shares } as const;
  for (const given of tiles) {
    const photo = sizeOf(given.photo);
    const tile = tileAbout(zoom, CANVAS, photo, given.box as unknown as Box, given.extent);
    expect(tile).toEqual(given.tile);
    const view = viewOf(tile);
    const bounds = boundsOf(gestureOf(given.gesture));
    expect(leaves(rule, view, photo, bounds)).toBe(given.leaves);
    expect(shrinks(rule, bounds, view)).toBe(given.shrinks);
    const inside = cellsOf(given.seed).data.map((value) =>
      value > Math.fround(given.threshold / 255) ? 1 : 0,
    );
    expect(spills(rule, { ...CELLS, data: inside }, view, photo)).toBe(given.spills);
  }
});

test("an empty mask has no box", () => {
  const photo = { height: 9, width: 9 };
  expect(stateBox(emptyState(photo))).toBeNull();
  expect(stateBox({ ...emptyState(photo), base: new Uint8Array(81) })).toBeNull();
});

test("coarser cells are means", () => {
  const data = Float32Array.from([0, 1, 0.5, 0.5, 0, 1, 0.5, 0.5]);
  expect(coarser({ height: 2, width: 4, data }, 2)).toEqual({
    height: 1,
    width: 2,
    data: Float32Array.from([0.5, 0.5]),
  });
});

const PHOTO: Size = { height: 50, width: 100 };
const line = { kind: "scribble", positive: true } as const;

test.each<[Gesture, string]>([
  [{ kind: "tap", at: { x: 100, y: 0 }, positive: true }, "x must be from 0 to 99 and y from 0"],
  [{ kind: "tap", at: { x: 0, y: NaN }, positive: true }, "outside the photo"],
  [{ ...line, points: [], width: 5 }, "no points"],
  [{ ...line, points: [{ x: 1, y: 1 }], width: 0 }, "above 0"],
  [{ ...line, points: [{ x: 1, y: 1 }], width: Infinity }, "above 0"],
  [{ ...line, points: [{ x: 1, y: 1 }, { x: 101, y: 2 }], width: 5 }, "scribble reaches (101, 2)"],
  [{ kind: "box", box: [5, 5, 5, 9] }, "empty"],
  [{ kind: "box", box: [9, 5, 5, 9] }, "empty"],
  [{ kind: "box", box: [0, 0, 100, 51] }, "box reaches"],
  [{ kind: "box", box: [0, NaN, 100, 50] }, "box reaches"],
])("the gesture %j fits no photo", (gesture, reason) => {
  expect(() => checkGesture(gesture, PHOTO)).toThrow(GestureError);
  expect(() => checkGesture(gesture, PHOTO)).toThrow(reason);
  if (gesture.kind === "tap") expect(() => checkGesture(gesture, PHOTO)).toThrow(TapOutsidePhoto);
});

test("gestures on the border are on the photo, and so is what is asked of them", () => {
  const gestures: Gesture[] = [
    { kind: "tap", at: { x: 99.9, y: 49.9 }, positive: false },
    { ...line, points: [{ x: 100, y: 50 }], width: 0.1 },
    { kind: "box", box: [0, 0, 100, 50] },
  ];
  for (const gesture of gestures) {
    checkGesture(gesture, PHOTO);
    checkGesture({ kind: "tap", at: tapped(gesture, PHOTO), positive: true }, PHOTO);
  }
});

test("a mask of another size is refused", () => {
  expect(() => checkMask(new Uint8Array(4999), PHOTO)).toThrow("give one of 50 x 100");
  checkMask(new Uint8Array(5000), PHOTO);
});
