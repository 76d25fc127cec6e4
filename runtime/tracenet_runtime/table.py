"""The receptive-field table: where the windows of a schedule start, for any canvas it serves.

Each row has one entry per key cell of its axis, and the rows stand one behind the other. A row is
kept in its closed form (``Row``), because the table of a canvas depends on its size and the form
does not; docs/bundle.md has the formula.
"""

import numpy as np
import numpy.typing as npt

from tracenet_runtime.schedule import Row, Schedule


def make_table(schedule: Schedule, height: int, width: int) -> npt.NDArray[np.int32]:
    """The table of a schedule on a canvas of this size in pixels: int32, one dimension."""
    sides = {"y": height, "x": width}
    return np.concatenate(
        [_starts(row, sides[row.axis], schedule.key_stride) for row in schedule.rows]
    )


def row_offsets(schedule: Schedule, height: int, width: int) -> tuple[int, ...]:
    """Where each row begins in that table, and at the end, how many entries the table has."""
    cells = {"y": height // schedule.key_stride, "x": width // schedule.key_stride}
    offsets = [0]
    for row in schedule.rows:
        offsets.append(offsets[-1] + cells[row.axis])
    return tuple(offsets)


def _starts(row: Row, side: int, key_stride: int) -> npt.NDArray[np.int32]:
    """One row, with an entry for each key cell of a canvas side."""
    turns, phase = np.divmod(np.arange(side // key_stride, dtype=np.int32), len(row.phases))
    starts: npt.NDArray[np.int32] = np.array(row.phases, np.int32)[phase] + row.advance * turns
    return starts.clip(0, side // row.unit - row.size)
