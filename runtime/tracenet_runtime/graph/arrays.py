"""What windows are cut from."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt

FloatArray = npt.NDArray[Any]


class Array(Protocol):
    """Something that windows are cut from."""

    def cut(self, y0: int, x0: int, height: int, width: int) -> FloatArray:
        """The window that starts at (y0, x0) of the feature map: 1 x C x height x width."""
        ...

    @property
    def nbytes(self) -> int:
        """How much memory it takes."""
        ...


@dataclass(frozen=True, eq=False)
class PlacedArray:
    """A window of a feature map: 1 x C x h x w, its first cell at (y0, x0) of that map."""

    values: FloatArray
    y0: int
    x0: int

    def cut(self, y0: int, x0: int, height: int, width: int) -> FloatArray:
        """The window that starts at (y0, x0) of the feature map, as a view."""
        y, x = y0 - self.y0, x0 - self.x0
        return self.values[:, :, y : y + height, x : x + width]

    @property
    def nbytes(self) -> int:
        """How much memory the values take."""
        return self.values.nbytes
