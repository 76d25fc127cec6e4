"""Passes of a guided look over a tile, and what they keep to."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from tracenet_runtime.answer.marks import FloatArray, Mark, Stroke, as_shown, guide_planes
from tracenet_runtime.answer.mask_state import coarser
from tracenet_runtime.answer.promises import force, hold, obeys, spare
from tracenet_runtime.answer.replay import Replay
from tracenet_runtime.contract import GUIDE_STRIDE, PROBABILITY_STRIDE
from tracenet_runtime.errors import not_finite
from tracenet_runtime.graph.executor import Encoded
from tracenet_runtime.image.geometry import PlacedTile, Size
from tracenet_runtime.image.mask import ProbabilityMap
from tracenet_runtime.timing import Timings, timed


@dataclass
class Run:
    """The time that answering takes, by stage, and its multiply-adds."""

    timings: Timings
    macs: int = 0

    @contextmanager
    def stage(self, name: str) -> Iterator[Timings]:
        """Within it, collect times by what runs: ``canvas`` is a stage, all else is this one."""
        inner: Timings = {}
        yield inner
        for kind, ms in inner.items():
            stage = "canvas" if kind == "canvas" else name
            self.timings[stage] = self.timings.get(stage, 0.0) + ms


@dataclass(frozen=True)
class Passes:
    """How a mask is corrected.

    A pass is repeated with the same gestures at most ``passes`` times, until no more than
    ``settled`` photo pixels change, as the cells count them. Farther than ``near`` canvas pixels
    from the newest gesture nothing changes against its sense.
    """

    passes: int
    settled: float
    near: float

    def run(
        self,
        replay: Replay,
        encoded: Encoded,
        view: PlacedTile,
        marks: Sequence[Mark],
        prior: FloatArray,
        before: FloatArray | None,
        own: FloatArray,
        run: Run,
    ) -> tuple[FloatArray, bool]:
        """The cells of a tile's mask, and whether the network obeyed the newest mark.

        ``encoded`` is the tile. ``prior`` is the mask so far, ``before`` the one before the newest
        of ``marks``, if there was any, and ``own`` what TraceNet's own masks say, 2 x h x w.
        """
        strokes = [mark for mark in marks if isinstance(mark, Stroke)]
        shown = [as_shown(mark) for mark in marks]
        newest, obeyed = marks[-1], True
        for number in range(self.passes + 1):
            with timed(run.timings, "mask"):
                planes = guide_planes(shown, prior, own[0], own[1])
            with run.stage("correction") as inner:
                cells = replay.correct(encoded, planes, inner)
            run.macs += replay.correction_macs
            if not np.isfinite(cells).all():
                raise not_finite()
            with timed(run.timings, "mask"):
                if number == 0 and isinstance(newest, Stroke):
                    obeyed = obeys(cells, newest)
                cells = force(cells, strokes, view)
                if before is not None and isinstance(newest, Stroke):
                    held = force(before, strokes[:-1], view)
                    cells = spare(hold(cells, held, newest, self.near, view), held, newest)
                    cells = force(cells, strokes, view)
                changed = np.count_nonzero((cells > 0.5) != (prior > 0.5))
                prior = cells
            if changed * GUIDE_STRIDE**2 <= self.settled * view.scale[0] * view.scale[1]:
                break
        return prior, obeyed


def guide_cells(mask: ProbabilityMap, canvas: Size) -> FloatArray:
    """A look's mask on all of its canvas, one cell per ``GUIDE_STRIDE`` canvas pixels."""
    x0, y0, x1, y1 = (side // PROBABILITY_STRIDE for side in mask.window)
    height, width = (side // PROBABILITY_STRIDE for side in canvas)
    cells = np.zeros((height, width), np.float32)
    cells[y0:y1, x0:x1] = mask.probability
    return coarser(cells, GUIDE_STRIDE // PROBABILITY_STRIDE)
