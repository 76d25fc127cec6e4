"""Replays a bundle's schedule on any engine: cut windows, run programs, keep arrays.

Nothing here depends on the engine or forces a dtype: arrays stay as the engine returns them, so
that the same code replays in float64 when the exporter checks a bundle against PyTorch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tracenet_runtime.canvas import MASK_STRIDE
from tracenet_runtime.consistency import FEATURE_STRIDE
from tracenet_runtime.errors import BundleError
from tracenet_runtime.manifest import Call, Level, Manifest, Program, TableRow, Window
from tracenet_runtime.timing import Timings, timed

FloatArray = npt.NDArray[Any]


class Engine(Protocol):
    """Runs the programs of one bundle."""

    def run(self, program: str, inputs: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """All outputs of a program by name, for C-contiguous inputs of the shapes it declares."""
        ...


@dataclass(frozen=True)
class PlacedArray:
    """A window of a feature map: 1 x C x h x w, its first cell at (y0, x0) of that map."""

    values: FloatArray
    y0: int
    x0: int

    def cut(self, y0: int, x0: int, height: int, width: int) -> FloatArray:
        """The window that starts at (y0, x0) of the feature map, as a view."""
        y, x = y0 - self.y0, x0 - self.x0
        return self.values[:, :, y : y + height, x : x + width]


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
    def box(self) -> tuple[float, float, float, float]:
        """(x0, y0, x1, y1) in canvas pixels, not clipped."""
        x, y = self.cell_centre
        left, top, right, bottom = self.distances
        return x - left, y - top, x + right, y + bottom


@dataclass(frozen=True)
class QueryAnswer:
    """What every level says at the tap (x, y), a canvas pixel; ``arrays`` feed the mask part."""

    tap: tuple[int, int]
    levels: tuple[LevelAnswer, ...]
    arrays: Mapping[str, PlacedArray]

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
    """The schedule of one bundle on one engine.

    ``manifest`` and ``table`` must have passed ``check_consistency``, as those of an opened
    ``Bundle`` have.
    """

    def __init__(self, manifest: Manifest, table: npt.NDArray[np.int32], engine: Engine) -> None:
        self._manifest = manifest
        self._table = table
        self._engine = engine

    def answer_query(
        self,
        canvas: npt.NDArray[Any],
        tap: tuple[int, int],
        timings: Timings | None = None,
    ) -> QueryAnswer:
        """Score, box and filter of every level at a tap (x, y), a pixel of the canvas.

        ``canvas`` is uint8, height x width x 3, or floating point, 1 x 3 x height x width, which
        is cut without changing its dtype. ``timings`` gets the milliseconds of ``cut`` and
        ``engine/<program>`` added. Raises ``ValueError`` for a canvas or tap that does not fit
        the manifest, ``BundleError`` for a program that does not do what the manifest says.
        """
        manifest = self._manifest
        image = _image_array(canvas)
        if image.values.shape != (1, 3, manifest.canvas_height, manifest.canvas_width):
            raise ValueError(f"the canvas has shape {canvas.shape}, unlike the manifest's")
        if not (0 <= tap[0] < manifest.canvas_width and 0 <= tap[1] < manifest.canvas_height):
            raise ValueError(f"the tap {tap} is not on the canvas")
        timings = {} if timings is None else timings
        arrays = {"image": image}
        for call in manifest.schedule.query:
            self._run_call(call, tap, arrays, timings)
        levels = tuple(_level_answer(level, tap, arrays) for level in manifest.levels)
        return QueryAnswer(tap, levels, arrays)

    def choose_mask(self, query: QueryAnswer, level_index: int) -> int:
        """The index of the first mask alternative that reaches far enough for a level's box."""
        manifest = self._manifest
        x0, y0, x1, y1 = query.levels[level_index].box
        x, y = query.tap[0] + 0.5, query.tap[1] + 0.5
        extent = max(
            x - max(x0, 0.0),
            y - max(y0, 0.0),
            min(x1, manifest.canvas_width) - x,
            min(y1, manifest.canvas_height) - y,
        )
        masks = manifest.schedule.masks
        for index, mask in enumerate(masks):
            if mask.reach is None or mask.reach >= manifest.schedule.reach_slack * extent:
                return index
        return len(masks) - 1

    def compute_mask(
        self,
        query: QueryAnswer,
        level_index: int,
        mask_index: int,
        timings: Timings | None = None,
    ) -> MaskAnswer:
        """The mask that a level's filter gives, computed by one of the mask alternatives.

        ``timings`` and errors as in ``answer_query``; the stage ``mask`` is what the head takes
        besides its cut and its program.
        """
        mask = self._manifest.schedule.masks[mask_index]
        timings = {} if timings is None else timings
        arrays = dict(query.arrays)
        for call in mask.calls:
            self._run_call(call, query.tap, arrays, timings)

        head = mask.head
        program = self._manifest.programs[head.program]
        features = head.inputs[0]
        with timed(timings, "cut"):
            y0, x0 = self._window_start(head, features, query.tap)
            cut = self._cut(features, program, y0, x0, arrays)
        with timed(timings, "mask"):
            answer = query.levels[level_index]
            inputs = {"features": cut, **_head_inputs(answer, query.tap, y0, x0, cut, program)}
        outputs = self._run(head.program, inputs, timings)
        with timed(timings, "mask"):
            window = self._valid_window(mask.reach, query.tap)
            output = head.outputs[0]
            placed = PlacedArray(outputs[output.name], *self._window_start(head, output, query.tap))
            left, top, right, bottom = (side // MASK_STRIDE for side in window)
            probability = placed.cut(top, left, bottom - top, right - left)[0, 0]
        return MaskAnswer(probability, window)

    def _run_call(
        self, call: Call, tap: tuple[int, int], arrays: dict[str, PlacedArray], timings: Timings
    ) -> None:
        program = self._manifest.programs[call.program]
        with timed(timings, "cut"):
            inputs = {
                window.name: self._cut(
                    window, program, *self._window_start(call, window, tap), arrays
                )
                for window in call.inputs
            }
        outputs = self._run(call.program, inputs, timings)
        for window in call.outputs:
            start = self._window_start(call, window, tap)
            arrays[window.array] = PlacedArray(outputs[window.name], *start)

    def _cut(
        self,
        window: Window,
        program: Program,
        y0: int,
        x0: int,
        arrays: Mapping[str, PlacedArray],
    ) -> FloatArray:
        cut = arrays[window.array].cut(y0, x0, window.height, window.width)
        if cut.dtype == np.uint8:
            cut = cut.astype(program.inputs[window.name].dtype)
        return np.ascontiguousarray(cut)

    def _run(
        self, program: str, inputs: Mapping[str, FloatArray], timings: Timings
    ) -> dict[str, FloatArray]:
        with timed(timings, f"engine/{program}"):
            outputs = self._engine.run(program, inputs)
        for name, spec in self._manifest.programs[program].outputs.items():
            if name not in outputs or outputs[name].shape != spec.shape:
                raise BundleError(
                    f"The program {program!r} does not give {name!r} of shape {spec.shape} as the "
                    "manifest says; export the bundle again."
                )
        return outputs

    def _window_start(self, call: Call, window: Window, tap: tuple[int, int]) -> tuple[int, int]:
        """(y, x) of a window's first cell, in cells of its own feature map."""
        x, y = tap
        return (
            window.step * self._origin(call.origin_y, y),
            window.step * self._origin(call.origin_x, x),
        )

    def _origin(self, row: TableRow, tap_pixel: int) -> int:
        return int(self._table[row.offset + tap_pixel // self._manifest.key_stride])

    def _valid_window(self, reach: int | None, tap: tuple[int, int]) -> tuple[int, int, int, int]:
        width, height = self._manifest.canvas_width, self._manifest.canvas_height
        if reach is None:
            return 0, 0, width, height
        stride = self._manifest.key_stride
        left, top = (pixel // stride * stride for pixel in tap)
        return (
            max(0, left - reach),
            max(0, top - reach),
            min(width, left + stride + reach),
            min(height, top + stride + reach),
        )


def _image_array(canvas: npt.NDArray[Any]) -> PlacedArray:
    if canvas.dtype == np.uint8:
        canvas = canvas.transpose(2, 0, 1)[None]
    return PlacedArray(canvas, 0, 0)


def _level_answer(
    level: Level, tap: tuple[int, int], arrays: Mapping[str, PlacedArray]
) -> LevelAnswer:
    column, row = tap[0] // level.stride, tap[1] // level.stride
    score, box, controller = (
        arrays[name].cut(row, column, 1, 1) for name in (level.score, level.box, level.filter)
    )
    left, top, right, bottom = (float(v) * level.size_of_interest for v in box.ravel())
    return LevelAnswer(
        level=level,
        score=float(score.item()),
        distances=(left, top, right, bottom),
        cell_centre=((column + 0.5) * level.stride, (row + 0.5) * level.stride),
        filter=np.ascontiguousarray(controller),
    )


def _head_inputs(
    answer: LevelAnswer,
    tap: tuple[int, int],
    y0: int,
    x0: int,
    features: FloatArray,
    program: Program,
) -> dict[str, FloatArray]:
    """The three inputs of a mask head that are not cut from an array."""

    def vector(name: str, values: list[float]) -> FloatArray:
        # An engine that computes in another precision than declared (float64, for a check)
        # takes these in that precision too.
        as_declared = features.dtype == program.inputs["features"].dtype
        dtype = program.inputs[name].dtype if as_declared else features.dtype
        return np.array(values, dtype).reshape(1, -1, 1, 1)

    first_cell_centre = ((x0 + 0.5) * FEATURE_STRIDE, (y0 + 0.5) * FEATURE_STRIDE)
    return {
        "filter": answer.filter,
        "offset": vector(
            "offset", [c - (t + 0.5) for c, t in zip(first_cell_centre, tap, strict=True)]
        ),
        "inverse_size": vector("inverse_size", [1.0 / answer.level.size_of_interest]),
    }
