"""The memory of a clip: what stays, and what is read of it."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tracenet.model.memory_read import read_memory
from tracenet_runtime.tracking.contract import KEY_CHANNELS, TOP_K, VALUE_CHANNELS
from tracenet_runtime.tracking.memory import (
    CELLS,
    SLOTS,
    TOUCHED_SLOTS,
    Memory,
    affinity,
    memory_nbytes,
    read_values,
)


def frame(seed: int, objects: int = 1, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    key = random.normal(size=(CELLS, KEY_CHANNELS)).astype(np.float32) * np.float32(scale)
    return key, random.normal(size=(objects, CELLS, VALUE_CHANNELS)).astype(np.float32)


@given(seed=st.integers(0, 999), cells=st.integers(1, 60), scale=st.sampled_from([0.1, 1.0, 50.0]))
@settings(max_examples=40, deadline=None)
def test_read_by_plain_loops(seed: int, cells: int, scale: float) -> None:
    random = np.random.default_rng(seed)
    query = (random.normal(size=(6, KEY_CHANNELS)) * scale).astype(np.float32)
    keys = (random.normal(size=(cells, KEY_CHANNELS)) * scale).astype(np.float32)
    values = random.normal(size=(cells, 5)).astype(np.float32)
    read = read_values(*affinity(query, keys), values)
    for q, said in zip(query.astype(np.float64), read, strict=True):
        distances = [float(((q - k) ** 2).sum()) for k in keys.astype(np.float64)]
        nearest = sorted(range(cells), key=distances.__getitem__)[:TOP_K]
        weights = np.exp([(distances[nearest[0]] - distances[c]) / 8 for c in nearest])
        wanted = (weights[:, None] * values[nearest]).sum(0) / weights.sum()
        np.testing.assert_allclose(said, wanted, atol=2e-3 if scale > 1 else 1e-5)


@given(seed=st.integers(0, 999), frames=st.integers(1, 3))
@settings(max_examples=15, deadline=None)
def test_training_reads_what_the_host_reads(seed: int, frames: int) -> None:
    memory = Memory(2)
    kept = [frame(seed + number, objects=2) for number in range(frames)]
    for number, (key, values) in enumerate(kept):
        memory.touch(number, key, values)
    query = frame(seed + 500)[0]
    said = memory.read(query)
    keys = torch.from_numpy(np.concatenate([key for key, _ in kept]).T.copy())
    for thing in range(2):
        values = np.concatenate([values[thing] for _, values in kept]).T.copy()
        twin = read_memory(
            torch.from_numpy(query.T.copy()).reshape(1, KEY_CHANNELS, 16, 16),
            keys[None],
            torch.from_numpy(values)[None],
        )
        np.testing.assert_allclose(twin[0].flatten(1).T, said[thing], atol=1e-4)


def test_gradients_reach_what_is_read_and_nothing_else() -> None:
    key, values = (torch.from_numpy(array) for array in frame(0))
    keys, values = key.T[None].clone().requires_grad_(), values.mT.clone().requires_grad_()
    query = torch.from_numpy(frame(1)[0]).T[None, :, :1, None]
    read_memory(query, keys, values).sum().backward()
    assert values.grad is not None
    assert keys.grad is not None
    assert int((values.grad.abs().sum(1) > 0).sum()) == TOP_K
    assert int((keys.grad.abs().sum(1) > 0).sum()) == TOP_K


def test_what_stays() -> None:
    memory = Memory(1)
    memory.touch(0, *frame(0))
    for number in range(1, 33):
        memory.remember(number, *frame(number))
    assert memory.frames == (0, 25, 30, 15, 20, 32)
    for number in range(40, 45):
        memory.touch(number, *frame(number))
    assert set(memory.frames[:TOUCHED_SLOTS]) == {41, 42, 43, 44}
    memory.touch(42, *frame(99))
    assert len(memory.frames) == SLOTS
    assert set(memory.frames[:TOUCHED_SLOTS]) == {41, 42, 43, 44}
    memory.forget_way()
    assert set(memory.frames) == {41, 42, 43, 44}
    key, values = frame(99)
    # A frame's own key is nearest to itself, and far from all others.
    np.testing.assert_allclose(memory.read(3 * key)[0], values[0], atol=2e-2)


def test_no_frame_is_remembered_twice() -> None:
    memory = Memory(1)
    for number in range(40):
        memory.remember(number, *frame(number % 7))
        assert len(set(memory.frames)) == len(memory.frames)


@given(objects=st.integers(1, 4))
@settings(max_examples=4, deadline=None)
def test_its_size_is_fixed(objects: int) -> None:
    memory = Memory(objects)
    assert memory.nbytes == memory_nbytes(objects)
    memory.touch(0, *frame(0, objects))
    for number in range(1, 60):
        memory.remember(number, *frame(number % 3, objects))
    assert memory.nbytes == memory_nbytes(objects)


@given(seed=st.integers(0, 999), frames=st.integers(1, SLOTS), spread=st.sampled_from([0.01, 1.0]))
@settings(max_examples=20, deadline=None)
def test_the_most_similar_cells_of_whole_frames(seed: int, frames: int, spread: float) -> None:
    """As by sorting them all, also where all are in one frame or in one cell of every frame."""
    random = np.random.default_rng(seed)
    query = random.normal(size=(CELLS, KEY_CHANNELS)).astype(np.float32)
    keys = random.normal(size=(frames, CELLS, KEY_CHANNELS)).astype(np.float32) * spread
    keys[random.integers(frames)] = query + 0.1 * random.normal(size=query.shape)
    keys[:, random.integers(CELLS)] = query[0]
    keys[:, :, 0] += random.normal(size=(frames, CELLS)) * 1e-3  # no two of them equal
    keys = keys.reshape(-1, KEY_CHANNELS)
    cells, _ = affinity(query, keys)
    similarity = 2 * query.astype(np.float64) @ keys.T - np.square(keys.astype(np.float64)).sum(1)
    found = np.take_along_axis(similarity, cells, 1)
    np.testing.assert_allclose(np.sort(found, 1), np.sort(similarity, 1)[:, -TOP_K:], rtol=1e-4)
    assert all(len(set(row)) == TOP_K for row in cells.tolist())
