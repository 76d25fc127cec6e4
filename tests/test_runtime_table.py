"""The table of any canvas is what the formula of docs/bundle.md gives."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from runtime_fixtures import parsed_tiny, tiny_schedule

from tracenet_runtime.graph.schedule import Row, Schedule


def by_the_formula(schedule: Schedule, height: int, width: int) -> list[list[int]]:
    table = []
    for row in schedule.rows:
        side = height if row.axis == "y" else width
        n = len(row.phases)
        table.append(
            [
                min(max(row.phases[k % n] + row.advance * (k // n), 0), side // row.unit - row.size)
                for k in range(side // schedule.key_stride)
            ]
        )
    return table


def schedule_with(rows: tuple[Row, ...], key_stride: int) -> Schedule:
    return replace(tiny_schedule("P3"), rows=rows, key_stride=key_stride)


rows = st.builds(
    Row,
    axis=st.sampled_from(["y", "x"]),
    unit=st.sampled_from([1, 2, 8, 32, 64]),
    size=st.integers(1, 2),
    phases=st.lists(
        st.integers(-50, 50) | st.sampled_from([-(2**20), 2**20]), min_size=1, max_size=9
    ).map(tuple),
    advance=st.integers(-3, 9) | st.sampled_from([-(2**14), 2**14]),
)
sides = st.sampled_from([128, 192, 640, 1536, 16384])


@given(st.lists(rows, min_size=1, max_size=5).map(tuple), st.sampled_from([2, 8, 64]), sides, sides)
def test_table_equals_the_formula(
    rows: tuple[Row, ...], key_stride: int, height: int, width: int
) -> None:
    schedule = schedule_with(rows, key_stride)
    expected = by_the_formula(schedule, height, width)
    assert [row.tolist() for row in schedule.starts(height, width)] == expected


@pytest.mark.parametrize("name", ["all", "P3", "warm"])
def test_the_bundle_holds_the_table_of_the_canvas(name: str) -> None:
    _, table = parsed_tiny()
    schedule = tiny_schedule(name)
    made = np.concatenate(schedule.starts(*schedule.canvas))
    start = schedule.table_offset
    np.testing.assert_array_equal(table[start : start + len(made)], made)
