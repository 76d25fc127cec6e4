"""Memory for the large inputs of one program, used again for the next.

Blocks of tens of MB come from the system each time and go back to it, which has to clear all of
their pages: that takes longer than what is copied into them. Small ones the C library keeps.
"""

import threading

import numpy as np
import numpy.typing as npt

_ALIGNMENT = 64
_LARGE = 1 << 23


class Scratch(threading.local):
    """A buffer per thread, as large as the largest set of large copies that it was asked for."""

    def __init__(self) -> None:
        self._buffer = np.empty(0, np.uint8)
        self._used = 0

    def clear(self) -> None:
        """All copies so far may be overwritten from now on."""
        self._used = 0

    def contiguous(
        self, array: npt.NDArray[np.generic], dtype: npt.DTypeLike | None = None
    ) -> npt.NDArray[np.generic]:
        """As ``np.ascontiguousarray``; if that must copy, the copy lasts until ``clear``."""
        dtype = array.dtype if dtype is None else np.dtype(dtype)
        size = array.size * dtype.itemsize
        if size < _LARGE or (array.flags.c_contiguous and array.dtype == dtype):
            return np.ascontiguousarray(array, dtype)
        start = -(-self._used // _ALIGNMENT) * _ALIGNMENT
        self._used = start + size
        if self._used > len(self._buffer):
            # Copies in the buffer before this one keep it alive as long as they are needed.
            self._buffer = np.empty(self._used, np.uint8)
        copy = self._buffer[start : self._used].view(dtype).reshape(array.shape)
        np.copyto(copy, array, casting="unsafe")
        return copy
