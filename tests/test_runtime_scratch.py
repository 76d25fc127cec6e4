"""Copies that share memory: right while they last, and made only where they must be."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tracenet_runtime.graph.scratch as scratch_module
from tracenet_runtime.graph.scratch import Scratch


@pytest.fixture(autouse=True)
def small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch_module, "_LARGE", 16)


DTYPES = st.sampled_from([np.uint8, np.float16, np.float32, np.float64])


@given(
    st.lists(
        st.lists(
            st.tuples(st.integers(1, 9), st.integers(1, 9), DTYPES, DTYPES), min_size=1, max_size=4
        ),
        max_size=6,
    )
)
def test_copies_last_until_the_next_clear(rounds: list[list[tuple]]) -> None:  # type: ignore[type-arg]
    scratch = Scratch()
    for arrays in rounds:
        scratch.clear()
        copies = []
        for number, (height, width, dtype, target) in enumerate(arrays):
            whole = np.arange(number, number + 4 * height * width).reshape(2 * height, 2 * width)
            window = (whole % 100).astype(dtype)[1 : height + 1, 1 : width + 1]
            copies.append((window, scratch.contiguous(window, target), target))
        for window, copy, target in copies:
            assert copy.dtype == target
            assert copy.flags.c_contiguous
            np.testing.assert_array_equal(copy, window)


def test_what_is_contiguous_is_not_copied() -> None:
    scratch = Scratch()
    array = np.zeros((3, 4), np.float32)
    assert scratch.contiguous(array) is array
    assert scratch.contiguous(array, np.float32) is array
    assert not np.shares_memory(scratch.contiguous(array, np.float64), array)


def test_small_copies_are_nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch_module, "_LARGE", 1 << 20)
    scratch = Scratch()
    window = np.zeros((30, 40), np.float32)[:, :20]
    first = scratch.contiguous(window)
    scratch.clear()
    assert not np.shares_memory(scratch.contiguous(window), first)


def test_memory_is_used_again_by_the_same_thread_alone() -> None:
    scratch = Scratch()
    window = np.zeros((30, 40), np.float32)[:, :20]
    first = scratch.contiguous(window)
    scratch.clear()
    assert np.shares_memory(scratch.contiguous(window), first)
    elsewhere = []
    thread = threading.Thread(target=lambda: elsewhere.append(scratch.contiguous(window)))
    thread.start()
    thread.join()
    assert not np.shares_memory(elsewhere[0], first)
