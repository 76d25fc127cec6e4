"""A tap that looks twice; what is looked at again, and when, is the matter of ``zoom_rule``."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tracenet_runtime.look import Look, look_at
from tracenet_runtime.replay import Replay
from tracenet_runtime.result import TapResult
from tracenet_runtime.timing import Timings
from tracenet_runtime.zoom_rule import Tile, ZoomRule

ZOOM = "zoom"
"""The name by which a bundle's zoom is asked for, and that its results have for a schedule."""


@dataclass(frozen=True)
class Closer:
    """What follows a first look at ``photo`` (uint8, H x W x 3): a closer one where the rule says.

    ``replay`` is that of the closer look.
    """

    rule: ZoomRule
    replay: Replay
    pad_value: tuple[int, int, int]
    photo: npt.NDArray[np.uint8]

    def answer(self, whole: Look, at: tuple[float, float], timings: Timings) -> "ZoomAnswer":
        """What is at the photo pixel ``at`` (x, y), after its first look, ``whole``."""
        canvas = self.replay.canvas_height, self.replay.canvas_width
        tile = self.rule.choose_tile(canvas, whole.placement, at, whole.box)
        if tile is None:
            return ZoomAnswer(whole, None, 0)
        near = look_at(self.replay, self.pad_value, self.photo, at, timings, tile)
        trusted = near.score >= self.rule.trust * whole.score
        look, other = (near, whole) if trusted else (whole, near)
        return ZoomAnswer(look, tile, other.query.macs)


@dataclass(frozen=True)
class ZoomAnswer:
    """The look that answers a zoom's tap.

    ``tile`` is what was looked at closely, if anything was; ``other_macs`` are the multiply-adds of
    the look that does not answer.
    """

    look: Look
    tile: Tile | None
    other_macs: int

    def result(self, timings: Timings, level: str | None = None) -> TapResult:
        """The mask, of the look's best level or of the one that is named.

        The result holds ``timings``, to which the stages are added. Raises ``BundleError`` as
        ``Look.result`` does.
        """
        result = self.look.result(timings, level)
        return replace(result, schedule=ZOOM, tile=self.tile, macs=result.macs + self.other_macs)
