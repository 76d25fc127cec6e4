"""What can be evaluated: something that answers taps, or clicks, on a photo with masks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from tracenet.evaluation.metrics import Mask

if TYPE_CHECKING:
    from tracenet.evaluation.protocol import Tap  # which imports torch

Photo = npt.NDArray[np.uint8]
"""H x W x 3, RGB."""


@dataclass(frozen=True)
class LevelMasks:
    """One tap's masks.

    Attributes:
        levels: names of the asked levels; empty for a model that has none, whose only mask answers.
        masks: one per asked level, bool H x W, in photo pixels.
        chosen: index of the mask that answers.
    """

    levels: tuple[str, ...]
    masks: tuple[Mask, ...]
    chosen: int


class PhotoAnswers(Protocol):
    """The answers to taps on one photo."""

    @property
    def computed(self) -> str:
        """What answers, and on which canvas."""
        ...

    @property
    def many(self) -> bool:
        """The photo is encoded once for all taps, so that each of an instance's pixels can be."""
        ...

    def every_level(self, taps: Sequence[Tap]) -> Iterator[LevelMasks]:
        """The masks of all asked levels, tap by tap."""
        ...

    def chosen_level(self, taps: Sequence[Tap]) -> Iterator[Mask]:
        """The mask that answers, tap by tap: the level is chosen before any mask is computed."""
        ...


class TapModel(Protocol):
    """What can be evaluated on taps."""

    def open(self, photo: Photo, name: str) -> PhotoAnswers:
        """Get a photo ready for taps; ``name`` is for messages."""
        ...


@dataclass(frozen=True)
class ClickAnswer:
    """What a click gave.

    Attributes:
        mask: bool H x W, in photo pixels.
        obeyed: the clicked pixel had the click's label before anything saw to it that it has; None
            where the model cannot say, so that the mask has to.
    """

    mask: Mask
    obeyed: bool | None


class ClickSession(Protocol):
    """A photo on which one thing after the other is clicked until its mask is right."""

    @property
    def computed(self) -> str:
        """What answers, and on which canvas."""
        ...

    def click(self, x: int, y: int, positive: bool) -> ClickAnswer:
        """One more click, at a photo pixel: it is of the thing that is meant, or it is not."""
        ...

    def clear(self) -> None:
        """Forget all clicks: the next one begins another thing."""
        ...


class ClickModel(Protocol):
    """What can be evaluated on clicks."""

    def open(self, photo: Photo, name: str) -> ClickSession:
        """Get a photo ready for clicks; ``name`` is for messages."""
        ...
