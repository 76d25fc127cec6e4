"""What a thing is after some gestures."""

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from tracenet_runtime.answer.marks import FloatArray, Mark
from tracenet_runtime.answer.mask_state import MaskState
from tracenet_runtime.answer.prompt import Gesture
from tracenet_runtime.answer.result import Candidate, TapResult
from tracenet_runtime.image.geometry import Box, PlacedTile, Size
from tracenet_runtime.timing import Timings

GUIDED = "guided"
"""The name by which a bundle's guided look is asked for, and that its results have."""


@dataclass(frozen=True, eq=False)
class Step:
    """A thing after some gestures; it never changes.

    ``given`` is the mask that it began with, if it did not begin with a gesture. ``view`` is the
    tile that was corrected last, ``marks`` are the gestures there, and ``own`` is what TraceNet's
    own masks say of them, 2 x h x w: of the positive ones, with what was given, and of the negative
    ones. A mask that was given has no tile. The rest is as in ``TapResult``.
    """

    gestures: tuple[Gesture, ...]
    given: MaskState | None
    mask: MaskState
    view: PlacedTile | None
    marks: tuple[Mark, ...]
    own: FloatArray
    score: float
    level: str
    candidates: tuple[Candidate, ...]
    box: Box
    window: str
    canvas: Size
    macs: int
    obeyed: bool | None
    timings: Timings

    @property
    def arrays(self) -> tuple[npt.NDArray[Any], ...]:
        """What it keeps, and other steps may share."""
        given = () if self.given is None else self.given.arrays
        return (*given, *self.mask.arrays, self.own)

    def result(self) -> TapResult:
        """What the app gets, with a mask that is not written yet."""
        height, width = self.mask.photo
        tile = None if self.view is None else self.view.tile
        return TapResult(
            probability=self.mask,
            score=self.score,
            level=self.level,
            box=self.box,
            candidates=self.candidates,
            schedule=GUIDED,
            mask_window=self.window,
            canvas=self.canvas,
            macs=self.macs,
            tile=None if tile == (0, 0, width, height) else tile,
            timings_ms=self.timings,
            obeyed=self.obeyed,
        )
