"""A clip's memory: a fixed number of frames, and what a new frame reads of them."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from tracenet_runtime.tracking.contract import (
    KEY_CHANNELS,
    KEY_STRIDE,
    TILE_SIDE,
    TOP_K,
    VALUE_CHANNELS,
)

FloatArray = npt.NDArray[np.float32]

CELLS = (TILE_SIDE // KEY_STRIDE) ** 2
"""Of a frame."""

TOUCHED_SLOTS = 4
"""Frames whose mask the user gave or corrected: the newest of them."""

RING_SLOTS = 4
"""Frames at regular distances: the newest of them."""

RING_EVERY = 5
"""Frames from one of these to the next."""

SLOTS = TOUCHED_SLOTS + RING_SLOTS + 1
"""The last is the frame before."""


def memory_nbytes(objects: int) -> int:
    """Size in bytes of the memory of so many objects, however long the clip is."""
    return SLOTS * CELLS * (KEY_CHANNELS + objects * VALUE_CHANNELS) * 4


class Memory:
    """What is remembered of a clip; a frame's key is kept once for all objects.

    Args:
        objects: how many, K.
    """

    def __init__(self, objects: int) -> None:
        self._keys = np.zeros((SLOTS, CELLS, KEY_CHANNELS), np.float32)
        self._values = np.zeros((objects, SLOTS, CELLS, VALUE_CHANNELS), np.float32)
        self._touched: list[int] = []
        self._ring: list[int] = []
        self._frame: dict[int, int] = {}

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self._keys.nbytes + self._values.nbytes

    @property
    def frames(self) -> tuple[int, ...]:
        """The numbers of the frames that are remembered, in the order of their slots."""
        return tuple(frame for _, frame in sorted(self._frame.items()))

    def touch(self, frame: int, key: FloatArray, values: FloatArray) -> None:
        """Remember a frame that the user touched, in place of what was known of it.

        Args:
            frame: its number.
            key: float32 CELLS x KEY_CHANNELS.
            values: float32 K x CELLS x VALUE_CHANNELS.
        """
        slot = next((slot for slot in self._touched if self._frame[slot] == frame), None)
        if slot is None:
            slot = _place(self._touched, range(TOUCHED_SLOTS))
        self._write(slot, frame, key, values)

    def remember(self, frame: int, key: FloatArray, values: FloatArray) -> None:
        """Remember the frame before, which stays for longer if its number is one of the ring's.

        Args:
            frame, key, values: as for :meth:`touch`.
        """
        last = SLOTS - 1
        before = self._frame.get(last)
        if before is not None and before % RING_EVERY == 0:
            ring = _place(self._ring, range(TOUCHED_SLOTS, last))
            self._write(ring, before, self._keys[last], self._values[:, last])
        self._write(last, frame, key, values)

    def forget_way(self) -> None:
        """Forget all but what the user touched, where another way through the clip begins."""
        self._ring.clear()
        self._frame = {slot: frame for slot, frame in self._frame.items() if slot in self._touched}

    def read(self, query: FloatArray) -> FloatArray:
        """What the memory says of a frame with this key.

        Args:
            query: float32 Q x KEY_CHANNELS.

        Returns:
            float32 K x Q x VALUE_CHANNELS.
        """
        slots = np.array(sorted(self._frame))
        cells, weights = affinity(query, self._keys[slots].reshape(-1, KEY_CHANNELS))
        # Of all slots, so that values need not be copied but for the few that are read.
        cells = slots[cells // CELLS] * CELLS + cells % CELLS
        objects = self._values.reshape(len(self._values), -1, VALUE_CHANNELS)
        return np.stack([read_values(cells, weights, values) for values in objects])

    def _write(self, slot: int, frame: int, key: FloatArray, values: FloatArray) -> None:
        self._keys[slot], self._values[:, slot] = key, values
        self._frame[slot] = frame


def affinity(query: FloatArray, keys: FloatArray) -> tuple[npt.NDArray[np.intp], FloatArray]:
    """Which cells of a memory each cell of a frame reads, and with which weights.

    The similarity is the negative squared distance of the keys (STCN, arXiv 2106.05210, section
    3.2) without the term of the query, which softmax cancels; the TOP_K most similar cells are
    read (MiVOS, arXiv 2103.07941, section 3.2). The largest is subtracted before the exponential,
    so that nothing overflows.

    Args:
        query: float32 Q x KEY_CHANNELS.
        keys: float32 M x KEY_CHANNELS.

    Returns:
        Q x k cells, k = min(TOP_K, M), in no order; and their weights, float32, which sum to 1.
    """
    scale = 1 / np.sqrt(np.float32(KEY_CHANNELS))
    similarity = (2 * scale * query) @ keys.T
    similarity -= scale * np.square(keys).sum(1)
    cells = _largest(similarity, min(TOP_K, len(keys)))
    top = np.take_along_axis(similarity, cells, 1)
    weights = np.exp(top - top.max(1, keepdims=True))
    return cells, weights / weights.sum(1, keepdims=True)


def _largest(values: FloatArray, count: int) -> npt.NDArray[np.intp]:
    """The columns of the largest values of each row, rows x count, in no order.

    Columns that lie CELLS apart, the same cell in all frames, are a group. The largest values lie
    in the groups whose own largest are largest, so that few columns need to be compared.
    """
    rows, columns = values.shape
    frames = columns // CELLS
    if frames < 2 or columns % CELLS:
        return np.argpartition(values, -count, axis=1)[:, -count:]
    largest = values.reshape(rows, frames, CELLS).max(1)
    groups = np.argpartition(largest, -count, axis=1)[:, -count:]
    inside = (groups[:, None] + CELLS * np.arange(frames)[:, None]).reshape(rows, -1)
    best = np.argpartition(np.take_along_axis(values, inside, 1), -count, axis=1)[:, -count:]
    return np.take_along_axis(inside, best, 1)


def read_values(cells: npt.NDArray[np.intp], weights: FloatArray, values: FloatArray) -> FloatArray:
    """The weighted means of values, float32 Q x C.

    Args:
        cells, weights: of :func:`affinity`.
        values: float32 M x C.
    """
    read: FloatArray = np.matmul(weights[:, None], values[cells])[:, 0]
    return read


def _place(slots: list[int], allowed: range) -> int:
    """The slot of ``allowed`` that is written next: a free one, else the one written first."""
    free: Iterator[int] = (slot for slot in allowed if slot not in slots)
    slot = slots.pop(0) if len(slots) == len(allowed) else next(free)
    slots.append(slot)
    return slot
