/**
 * The receptive-field table: where the windows of a schedule start, for any canvas it serves.
 *
 * A row is kept in its closed form (`Row`), because the table of a canvas depends on its size and
 * the form does not; docs/bundle.md has the formula.
 */

import type { Row, Schedule } from "./schedule.ts";
import type { Size } from "./types.ts";

/** Rows of window starts, one entry per key cell of the row's axis, in units of the row. */
export type Table = readonly Int32Array[];

/** The table of a schedule on a canvas of this size in pixels. */
export function makeTable(schedule: Schedule, canvas: Size): Table {
  return schedule.rows.map((row) =>
    windowStarts(row, row.axis === "y" ? canvas.height : canvas.width, schedule.keyStride),
  );
}

function windowStarts(row: Row, side: number, keyStride: number): Int32Array {
  const starts = new Int32Array(Math.floor(side / keyStride));
  const last = Math.floor(side / row.unit) - row.size;
  const turn = row.phases.length;
  for (let key = 0; key < starts.length; key++) {
    const start = row.phases[key % turn]! + row.advance * Math.floor(key / turn);
    starts[key] = Math.min(Math.max(start, 0), last);
  }
  return starts;
}
