"""What a graph's outputs mean: levels, and what each says at a tap."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tracenet_runtime.graph.arrays import Array, FloatArray
from tracenet_runtime.graph.schedule import Graph
from tracenet_runtime.image.geometry import Box


@dataclass(frozen=True)
class Level:
    """An answering level: stride in canvas pixels, and the names of its three arrays."""

    name: str
    stride: int
    size_of_interest: float
    score: str
    box: str
    filter: str

    def says(self, tap: tuple[int, int], arrays: Mapping[str, Array]) -> "LevelAnswer":
        """The answer at a tap (x, y), a canvas pixel."""
        column, row = tap[0] // self.stride, tap[1] // self.stride
        score, box, controller = (
            arrays[name].cut(row, column, 1, 1) for name in (self.score, self.box, self.filter)
        )
        left, top, right, bottom = (float(v) * self.size_of_interest for v in box.ravel())
        return LevelAnswer(
            level=self,
            score=float(score.item()),
            distances=(left, top, right, bottom),
            cell_centre=((column + 0.5) * self.stride, (row + 0.5) * self.stride),
            filter=np.ascontiguousarray(controller),
        )


@dataclass(frozen=True)
class FullNetIou:
    """How far masks agree with FullNet's, by IoU: the mean over taps and their 5th percentile."""

    mean: float
    p5: float


@dataclass(frozen=True)
class Meaning:
    """What the outputs of a bundle's schedules mean.

    ``levels`` are all of the network's, finest first. ``feature_stride`` is the canvas pixels per
    cell of what the mask head reads. A mask window must reach ``reach_slack`` times as far as the
    predicted box.
    """

    levels: tuple[Level, ...]
    feature_stride: int
    reach_slack: float

    def asked(self, graph: Graph) -> tuple[Level, ...]:
        """The levels whose arrays a graph gives, finest first."""
        return tuple(level for level in self.levels if level.score in graph.outputs["score"])


@dataclass(frozen=True)
class LevelAnswer:
    """What one level says at the tap.

    ``score`` is in [0, 1]. ``distances`` are canvas pixels (left, top, right, bottom) from
    ``cell_centre`` (x, y). ``filter`` is 1 x F x 1 x 1, in the engine's dtype.
    """

    level: Level
    score: float
    distances: tuple[float, float, float, float]
    cell_centre: tuple[float, float]
    filter: FloatArray

    @property
    def box(self) -> Box:
        """(x0, y0, x1, y1) in canvas pixels, not clipped."""
        x, y = self.cell_centre
        left, top, right, bottom = self.distances
        return x - left, y - top, x + right, y + bottom
