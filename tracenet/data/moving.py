"""Moving scenes: what training on clips shows of a photo that moves, or of a clip."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt

from tracenet_runtime.image.geometry import Box, Size

BACKGROUND, THING, OTHER, UNKNOWN = 0, 1, 2, 255
"""Values of a scene's labels: the thing that is followed, any other thing, what nobody knows."""

Rgb = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class SquareTile:
    """A square part of a frame, by its corner and side in frame pixels.

    On a canvas it is scaled to the canvas's side; what of it lies beyond the frame is padding.
    """

    x: float
    y: float
    side: float


class MovingScene(Protocol):
    """Frames by number, of which any part can be looked at."""

    @property
    def size(self) -> Size:
        """Height and width of a frame, pixels."""
        ...

    @property
    def box(self) -> Box:
        """About the thing in frame 0, frame pixels."""
        ...

    def show(self, frame: int, tile: SquareTile, side: int) -> tuple[Rgb, Labels]:
        """A tile of a frame on a canvas of ``side`` pixels: RGB, and the labels of its pixels.

        Nobody knows what lies beyond a frame.
        """
        ...


@dataclass(frozen=True)
class _Changed:
    """A scene of which some frames, not the first, show something else."""

    scene: MovingScene
    frames: Set[int]

    @property
    def size(self) -> Size:
        """See :class:`MovingScene`."""
        return self.scene.size

    @property
    def box(self) -> Box:
        """See :class:`MovingScene`."""
        return self.scene.box


@dataclass(frozen=True)
class Interrupted(_Changed):
    """A scene of which some frames are cut to another, where the thing is not seen.

    Attributes:
        scene: the scene.
        frames: which frames are cut; not the first.
        other: the other; its frame 0 is shown.
    """

    other: MovingScene

    def show(self, frame: int, tile: SquareTile, side: int) -> tuple[Rgb, Labels]:
        """See :class:`MovingScene`."""
        if frame not in self.frames:
            return self.scene.show(frame, tile, side)
        # The same part of the other scene's frame, as far as that reaches.
        height, width = self.other.size
        factor = max(height, width) / max(self.size)
        length = tile.side * factor
        there = SquareTile(
            min(tile.x * factor, max(0.0, width - length)),
            min(tile.y * factor, max(0.0, height - length)),
            length,
        )
        rgb, labels = self.other.show(0, there, side)
        return rgb, np.where(labels == THING, np.uint8(OTHER), labels)


@dataclass(frozen=True)
class Removed(_Changed):
    """A scene of some of whose frames the thing is taken out: what lies about it is in its place.

    Attributes:
        scene: the scene.
        frames: of which frames; not the first.
        rim: of the thing, which is taken out with it, as a share of a tile's side.
        shift: by which what is put there was moved down and to the right, as shares of a tile's
            side.
    """

    rim: float
    shift: tuple[float, float]

    def show(self, frame: int, tile: SquareTile, side: int) -> tuple[Rgb, Labels]:
        """See :class:`MovingScene`."""
        rgb, labels = self.scene.show(frame, tile, side)
        if frame not in self.frames or THING not in labels:
            return rgb, labels
        distance = distance_transform_edt(labels != THING)
        wide = distance <= self.rim * side
        if wide.all():
            return np.full_like(rgb, rgb.mean((0, 1)).astype(np.uint8)), np.where(
                labels == THING, np.uint8(BACKGROUND), labels
            )
        # The nearest pixel that stays, so that where the shifted tile shows the thing, too, there
        # is none of it.
        rows, columns = distance_transform_edt(wide, return_distances=False, return_indices=True)
        down, right = (round(share * side) for share in self.shift)
        moved = np.roll(rgb[rows, columns], (down, right), (0, 1))
        shown: Rgb = np.where(wide[..., None], moved, rgb)
        return shown, np.where(labels == THING, np.uint8(BACKGROUND), labels)
