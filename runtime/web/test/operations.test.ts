/** The host operations, against what Python's give. */

import { expect, test } from "vitest";
import { PlacedArray } from "../src/graph/arrays.ts";
import { placeMask } from "../src/graph/operations.ts";
import placed from "./fixtures/placed.json";

test("masks are placed as in Python", () => {
  for (const { canvas, key_stride, reach, key_cell, start, size, first } of placed) {
    const [height, width] = canvas as [number, number];
    const data = Float32Array.from({ length: (height * width) / 4 }, (_, cell) => cell);
    const whole = new PlacedArray({ data, shape: [1, 1, height / 2, width / 2] }, 0, 0);
    const call = { kind: "place_mask", input: "in", output: "out", reach } as const;
    const [x, y] = key_cell as [number, number];
    const kept = placeMask(call, whole, { x, y }, key_stride, { height, width });
    expect([kept.y0, kept.x0]).toEqual(start);
    expect(kept.tensor.shape).toEqual([1, 1, ...size]);
    expect(kept.tensor.data[0]).toBe(first);
    // Cells count up along the rows of the whole.
    const last = (start[0]! + size[0]! - 1) * (width / 2) + start[1]! + size[1]! - 1;
    expect(kept.tensor.data.at(-1)).toBe(last);
  }
});
