"""A tap that looks twice; what is looked at again, and when, is the matter of ``zoom_rule``."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tracenet_runtime.look import look_at
from tracenet_runtime.replay import Replay
from tracenet_runtime.result import TapResult
from tracenet_runtime.timing import Timings
from tracenet_runtime.zoom_rule import ZoomRule

ZOOM = "zoom"
"""The name by which a bundle's zoom is asked for, and that its results have for a schedule."""


def zoomed_tap(
    rule: ZoomRule,
    first: Replay,
    closer: Replay,
    pad_value: tuple[int, int, int],
    photo: npt.NDArray[np.uint8],
    at: tuple[float, float],
    timings: Timings,
    level: str | None = None,
) -> TapResult:
    """The mask of the thing at the photo pixel ``at`` (x, y), after a first and a closer look.

    ``photo`` is uint8, H x W x 3. Only the look that answers computes a mask: that of its best
    level, or of the one that is named. The result holds ``timings``, to which both looks add.
    Raises ``TapOutsidePhoto`` as ``look_at`` does, ``BundleError`` as ``Look.result`` does.
    """
    whole = look_at(first, pad_value, photo, at, timings)
    canvas = closer.canvas_height, closer.canvas_width
    tile = rule.choose_tile(canvas, whole.placement, at, whole.box)
    if tile is None:
        return replace(whole.result(timings, level), schedule=ZOOM)
    near = look_at(closer, pad_value, photo, at, timings, tile)
    answering, other = (near, whole) if near.score >= rule.trust * whole.score else (whole, near)
    result = answering.result(timings, level)
    macs = result.macs + other.replay.schedule.macs.query
    return replace(result, schedule=ZOOM, tile=tile, macs=macs)
