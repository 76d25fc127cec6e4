/** The closed form of the table, against the formula of docs/bundle.md, entry by entry. */

import { expect, test } from "vitest";
import { ownChoice, startsOf, type Row } from "../src/graph/schedule.ts";
import { seededNumbers, wholeNumber } from "./seeded.ts";
import { parseTiny, tinyTable } from "./tiny.ts";

test("the tiny bundle's table", () => {
  const rows = parseTiny().schedules.flatMap((schedule) => startsOf(ownChoice(schedule)));
  expect(rows.flatMap((row) => [...row])).toEqual([...tinyTable]);
});

test("any row on any canvas", () => {
  const numbers = seededNumbers(8);
  const schedule = parseTiny().schedules[0]!;
  for (let round = 0; round < 300; round++) {
    const unit = 2 ** wholeNumber(numbers, 0, 4);
    const row: Row = {
      axis: wholeNumber(numbers, 0, 1) === 0 ? "y" : "x",
      unit,
      size: wholeNumber(numbers, 1, 64 / unit),
      phases: Array.from({ length: wholeNumber(numbers, 1, 6) }, () =>
        wholeNumber(numbers, -20, 20),
      ),
      advance: wholeNumber(numbers, -3, 5),
    };
    const [height, width] = [wholeNumber(numbers, 4, 20), wholeNumber(numbers, 4, 20)];
    const canvas = { height: 16 * height, width: 16 * width };
    const [starts] = startsOf({ schedule: { ...schedule, rows: [row] }, canvas });
    const side = row.axis === "y" ? canvas.height : canvas.width;
    const expected: number[] = [];
    let [phase, turn] = [0, 0];
    for (let pixel = 0; pixel < side; pixel += schedule.keyStride) {
      let start = row.phases[phase]! + row.advance * turn;
      if (start < 0) start = 0;
      if (start > side / unit - row.size) start = side / unit - row.size;
      expected.push(start);
      phase += 1;
      if (phase === row.phases.length) [phase, turn] = [0, turn + 1];
    }
    expect([...starts!]).toEqual(expected);
  }
});
