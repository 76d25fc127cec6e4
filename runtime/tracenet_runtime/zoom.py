"""A tap that looks twice; what is looked at again, and when, is the matter of ``zoom_rule``."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tracenet_runtime.look import look_at
from tracenet_runtime.replay import Replay
from tracenet_runtime.result import Box, Candidate, TapResult
from tracenet_runtime.timing import Timings, timed
from tracenet_runtime.zoom_rule import Tile, ZoomRule

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
) -> TapResult:
    """The mask of the thing at the photo pixel ``at`` (x, y), after a first and a closer look.

    ``photo`` is uint8, H x W x 3. Only the look that answers computes a mask. The result holds
    ``timings``, to which both looks add. Raises ``TapOutsidePhoto`` as ``look_at`` does.
    """
    whole = look_at(first, pad_value, photo, at, timings)
    canvas = closer.canvas_height, closer.canvas_width
    tile = rule.choose_tile(canvas, whole.placement, at, whole.box)
    if tile is None:
        return replace(whole.result(timings), schedule=ZOOM)
    x0, y0, x1, y1 = tile
    near = look_at(closer, pad_value, photo[y0:y1, x0:x1], (at[0] - x0, at[1] - y0), timings)
    if near.score < rule.trust * whole.score:
        result, other = whole.result(timings), closer
    else:
        result, other = near.result(timings), first
        with timed(timings, "paste"):
            result = _moved(result, tile, (photo.shape[0], photo.shape[1]))
    macs = result.macs + other.schedule.macs.query
    return replace(result, schedule=ZOOM, tile=tile, macs=macs)


def _moved(result: TapResult, tile: Tile, photo: tuple[int, int]) -> TapResult:
    """What was answered in the pixels of a tile, in those of the photo (height, width)."""
    x0, y0, x1, y1 = tile
    mask = np.zeros(photo, np.bool_)
    mask[y0:y1, x0:x1] = result.mask

    def moved(box: Box) -> Box:
        return box[0] + x0, box[1] + y0, box[2] + x0, box[3] + y0

    candidates = tuple(Candidate(v.level, v.score, moved(v.box)) for v in result.candidates)
    return replace(result, mask=mask, box=moved(result.box), candidates=candidates)
