"""Replays a schedule on one canvas as TraceNet means it: ask the levels, choose a window, mask."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tracenet_runtime.answer.levels import LevelAnswer, Meaning
from tracenet_runtime.answer.mask_head import head_vectors, mask_head
from tracenet_runtime.contract import GUIDE, PROBABILITY_STRIDE
from tracenet_runtime.graph.arrays import Array, FloatArray, PlacedArray
from tracenet_runtime.graph.executor import Encoded, Engine, Executor
from tracenet_runtime.graph.program import Program
from tracenet_runtime.graph.schedule import Choice
from tracenet_runtime.image.canvas import CanvasImage
from tracenet_runtime.timing import Timings, timed


@dataclass(frozen=True, eq=False)
class ImageArray:
    """A canvas as the array ``image``; only what is cut of it is ever resized."""

    image: CanvasImage

    def cut(self, y0: int, x0: int, height: int, width: int) -> FloatArray:
        """Canvas pixels, uint8."""
        return self.image.cut(y0, x0, height, width).transpose(2, 0, 1)[None]

    @property
    def nbytes(self) -> int:
        """How much memory the canvas takes, without the photo."""
        return self.image.nbytes


@dataclass(frozen=True)
class QueryAnswer:
    """What every level says at the tap (x, y), a canvas pixel; ``arrays`` feed the mask part.

    ``macs`` are the multiply-adds that were run for this tap so far.
    """

    tap: tuple[int, int]
    levels: tuple[LevelAnswer, ...]
    arrays: Mapping[str, Array]
    macs: int

    @property
    def best_level(self) -> int:
        """The index of the level with the highest score: the one that answers."""
        return max(range(len(self.levels)), key=lambda i: self.levels[i].score)


@dataclass(frozen=True)
class MaskAnswer:
    """The valid part of a mask: probabilities h x w, at 2 canvas pixels a cell.

    ``window`` is the (x0, y0, x1, y1) in canvas pixels that they fill; outside, the mask is empty.
    """

    probability: FloatArray
    window: tuple[int, int, int, int]


class Replay:
    """A schedule on one canvas and one engine; several threads may use it if its engine may."""

    def __init__(
        self, programs: Mapping[str, Program], meaning: Meaning, choice: Choice, engine: Engine
    ) -> None:
        """``choice`` must have passed ``check_choice``."""
        self.schedule = choice.schedule
        self.canvas_height, self.canvas_width = choice.height, choice.width
        graph = choice.schedule.graph
        self.levels = meaning.asked(graph)
        self._meaning = meaning
        self._executor = Executor(programs, choice, engine)
        self._heads = [mask_head(phase) for phase in graph.windows]
        self._window_macs = [self._executor.macs(phase.calls) for phase in graph.windows]

    def encode(
        self,
        image: npt.NDArray[Any] | CanvasImage,
        timings: Timings | None = None,
        one_tap: bool = False,
    ) -> Encoded:
        """Run what is the same for every tap, see ``Executor.encode``.

        ``image`` is the canvas: uint8, height x width x 3; floating point, 1 x 3 x height x width;
        or a ``CanvasImage``, of which only what is cut is resized. Raises ``ValueError`` for an
        image of another shape, ``BundleError`` as the executor does.
        """
        arrays = [self._image_array(image)]
        del image  # given away, so that its memory is free once it was cut
        return self._executor.encode(arrays.pop(), {} if timings is None else timings, one_tap)

    def answer_query(
        self, encoded: Encoded, tap: tuple[int, int], timings: Timings | None = None
    ) -> QueryAnswer:
        """Score, box and filter of every asked level at a tap (x, y), a pixel of the canvas.

        ``encoded`` stays as it is. Raises ``ValueError`` for a tap that is not on the canvas,
        ``BundleError`` as ``encode`` does.
        """
        if not (0 <= tap[0] < self.canvas_width and 0 <= tap[1] < self.canvas_height):
            raise ValueError(f"the tap {tap} is not on the canvas")
        macs, given = encoded.macs, [encoded]
        del encoded  # likewise
        arrays = self._executor.run_tap(given.pop(), tap, {} if timings is None else timings)
        return QueryAnswer(tap, tuple(v.says(tap, arrays) for v in self.levels), arrays, macs)

    def choose_mask(self, query: QueryAnswer, level_index: int) -> int:
        """The index of the first mask window that reaches far enough for a level's box."""
        x0, y0, x1, y1 = query.levels[level_index].box
        x, y = query.tap[0] + 0.5, query.tap[1] + 0.5
        extent = max(
            x - max(x0, 0.0),
            y - max(y0, 0.0),
            min(x1, self.canvas_width) - x,
            min(y1, self.canvas_height) - y,
        )
        windows = self.schedule.graph.windows
        for index, window in enumerate(windows):
            if window.reach is None or window.reach >= self._meaning.reach_slack * extent:
                return index
        return len(windows) - 1

    def compute_mask(
        self,
        query: QueryAnswer,
        level_index: int,
        mask_index: int,
        timings: Timings | None = None,
    ) -> MaskAnswer:
        """The mask that a level's filter gives, computed in one of the mask windows.

        ``timings`` and errors as in ``answer_query``; the stage ``mask`` is what the head takes
        besides its cut and its program.
        """
        timings = {} if timings is None else timings
        head = self._heads[mask_index]
        with timed(timings, "mask"):
            answer, stride = query.levels[level_index], self._meaning.feature_stride
            origin = self._executor.origin(head, query.tap)
            start = [head.inputs[0].step * v for v in origin]
            vectors = head_vectors(answer, query.tap, start, stride)
        arrays = self._executor.run_window(mask_index, query.tap, query.arrays, vectors, timings)
        mask = arrays[self.schedule.graph.outputs["mask"][mask_index]]
        assert isinstance(mask, PlacedArray)  # as place_mask makes it
        rows, columns = mask.values.shape[2:]
        x0, y0, x1, y1 = (
            v * PROBABILITY_STRIDE for v in (mask.x0, mask.y0, mask.x0 + columns, mask.y0 + rows)
        )
        return MaskAnswer(mask.values[0, 0], (x0, y0, x1, y1))

    def correct(
        self, encoded: Encoded, planes: FloatArray, timings: Timings | None = None
    ) -> FloatArray:
        """What a guided look makes of its planes: probabilities h x w, ``GUIDE_STRIDE`` a cell.

        ``planes`` are those of ``guide_planes``; ``encoded`` is not for one tap. ``timings`` and
        errors as in ``answer_query``.
        """
        timings = {} if timings is None else timings
        arrays = self._executor.run_correction(encoded, {GUIDE: planes[None]}, timings)
        (name,) = self.schedule.graph.outputs["mask_state"]
        state = arrays[name]
        assert isinstance(state, PlacedArray)  # as a program makes it
        cells: FloatArray = state.values[0, 0]
        return cells

    @property
    def correction_macs(self) -> int:
        """Multiply-adds of a correction."""
        return self._executor.macs(self.schedule.graph.correction)

    def mask_macs(self, mask_index: int) -> int:
        """Multiply-adds of a mask in one of the windows."""
        return self._window_macs[mask_index]

    def _image_array(self, image: npt.NDArray[Any] | CanvasImage) -> Array:
        if isinstance(image, CanvasImage):
            array: Array = ImageArray(image)
            shape: tuple[int, ...] = (1, 3, image.height, image.width)
        else:
            values = np.moveaxis(image, -1, 0)[None] if image.dtype == np.uint8 else image
            array, shape = PlacedArray(values, 0, 0), values.shape
        if shape != (1, 3, self.canvas_height, self.canvas_width):
            raise ValueError(
                f"the image is no canvas of {self.canvas_height} x {self.canvas_width} pixels"
            )
        return array
