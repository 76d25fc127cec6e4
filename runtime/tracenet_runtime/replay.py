"""Replays a schedule on any engine: cut windows, run programs, keep arrays.

Nothing here depends on the engine or forces a dtype: arrays stay as the engine returns them, so
that the same code replays in float64 when the exporter checks a bundle against PyTorch.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tracenet_runtime.canvas import CanvasImage
from tracenet_runtime.errors import BundleError
from tracenet_runtime.manifest import Level, Manifest, Program
from tracenet_runtime.mask import PROBABILITY_STRIDE
from tracenet_runtime.schedule import Call, Schedule, Window
from tracenet_runtime.scratch import Scratch
from tracenet_runtime.table import row_offsets
from tracenet_runtime.timing import Timings, timed
from tracenet_runtime.windows import IMAGE

FloatArray = npt.NDArray[Any]


class Engine(Protocol):
    """Runs the programs of one bundle."""

    def run(self, program: str, inputs: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """All outputs of a program by name, for inputs of the shapes it declares.

        All are 1 x C x H x W. Inputs are contiguous in the layout that the program declares, so
        for NHWC they are views of such an array, as the outputs may be. Their memory is used again
        after the call, so no output may be a view of an input.
        """
        ...


class Array(Protocol):
    """Something that windows are cut from."""

    def cut(self, y0: int, x0: int, height: int, width: int) -> FloatArray:
        """The window that starts at (y0, x0) of the feature map: 1 x C x height x width."""
        ...

    @property
    def nbytes(self) -> int:
        """How much memory it takes."""
        ...


@dataclass(frozen=True, eq=False)
class PlacedArray:
    """A window of a feature map: 1 x C x h x w, its first cell at (y0, x0) of that map."""

    values: FloatArray
    y0: int
    x0: int

    def cut(self, y0: int, x0: int, height: int, width: int) -> FloatArray:
        """The window that starts at (y0, x0) of the feature map, as a view."""
        y, x = y0 - self.y0, x0 - self.x0
        return self.values[:, :, y : y + height, x : x + width]

    @property
    def nbytes(self) -> int:
        """How much memory the values take."""
        return self.values.nbytes


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


@dataclass(frozen=True, eq=False)
class EncodedCanvas:
    """What a query begins with: ``arrays``, and the ``calls`` that it has still to run.

    ``macs`` are the multiply-adds that a tap counts for its query.
    """

    arrays: Mapping[str, Array]
    calls: "_Calls"
    macs: int


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
    """A schedule on one canvas and one engine.

    Between calls it keeps only the memory of a program's inputs, for the next one's. It may be used
    by several threads if its engine may.
    """

    def __init__(
        self,
        manifest: Manifest,
        schedule: Schedule,
        canvas_height: int,
        canvas_width: int,
        table: npt.NDArray[np.int32],
        engine: Engine,
    ) -> None:
        """A replay on a canvas of this size, in pixels; it may differ from the schedule's own.

        ``manifest`` must have passed ``check_consistency``, as that of an opened ``Bundle`` has,
        and ``table`` must be that of the canvas: ``checked_table`` makes it.
        """
        self.schedule = schedule
        self.canvas_height = canvas_height
        self.canvas_width = canvas_width
        self._programs = manifest.programs
        self._levels = tuple(v for v in manifest.levels if v.name in schedule.levels)
        offsets = row_offsets(schedule, canvas_height, canvas_width)
        if table.shape != offsets[-1:]:
            raise ValueError(f"the table has shape {table.shape} instead of {offsets[-1:]}")
        self._rows = np.split(table, offsets[1:-1])
        self._engine = engine
        self._scratch = Scratch()
        answers = [name for v in self._levels for name in (v.score, v.box, v.filter)]
        masks = [(*mask.calls, mask.head) for mask in schedule.masks]
        after_query = {*answers, *(name for calls in masks for name in _read_by(calls))}
        shared, own = _split_query(schedule, self._rows)
        self._encode_one = _Calls(schedule.encode, {*after_query, *_read_by(schedule.query)})
        self._query_one = _Calls(schedule.query, after_query)
        self._encode_many = _Calls((*schedule.encode, *shared), {*after_query, *_read_by(own)})
        self._query_many = _Calls(own, after_query)
        self._shared_macs = sum(self._programs[call.program].macs for call in shared)
        self._masks = [_Calls(mask.calls, _read_by([mask.head])) for mask in schedule.masks]

    def encode(
        self, image: npt.NDArray[Any] | CanvasImage, timings: Timings | None = None
    ) -> EncodedCanvas:
        """Run what is the same for every tap, for many taps on one photo.

        Besides the calls that the schedule encodes photos with, these are the calls of the query
        whose windows are the same for every tap: on a small canvas, one window often is all of it.

        ``image`` is the canvas: uint8, height x width x 3; floating point, 1 x 3 x height x width,
        which is cut without changing its dtype; or a ``CanvasImage``, of which only what is cut is
        resized. It is kept only if taps still read it. ``timings`` gets milliseconds added:
        ``canvas`` (windows of the image, resized), ``cut`` (windows of other arrays) and
        ``engine/<program>``. Raises ``ValueError`` for an image of another shape, ``BundleError``
        for a program that does not do what the manifest says.
        """
        arrays = self._encode(self._encode_many, image, timings)
        macs = self.schedule.macs.query - self._shared_macs
        return EncodedCanvas(arrays, self._query_many, macs)

    def encode_for_one_tap(
        self, image: npt.NDArray[Any] | CanvasImage, timings: Timings | None = None
    ) -> EncodedCanvas:
        """As ``encode``, but all of the query is left to the tap, to run in the schedule's order.

        That keeps no array longer than one tap needs it. The tap counts all multiply-adds.
        """
        arrays = self._encode(self._encode_one, image, timings)
        macs = self.schedule.macs.encode + self.schedule.macs.query
        return EncodedCanvas(arrays, self._query_one, macs)

    def answer_query(
        self,
        encoded: EncodedCanvas,
        tap: tuple[int, int],
        timings: Timings | None = None,
    ) -> QueryAnswer:
        """Score, box and filter of every asked level at a tap (x, y), a pixel of the canvas.

        ``encoded`` is what one of the two above returned, and stays as it is. ``timings`` as in
        ``encode``. Raises ``ValueError`` for a tap that is not on the canvas, ``BundleError`` as
        ``encode`` does.
        """
        if not (0 <= tap[0] < self.canvas_width and 0 <= tap[1] < self.canvas_height):
            raise ValueError(f"the tap {tap} is not on the canvas")
        timings = {} if timings is None else timings
        calls, arrays, macs = encoded.calls, dict(encoded.arrays), encoded.macs
        del encoded  # where nobody else has it, each array's memory is free once it was read
        self._run_calls(calls, tap, arrays, timings)
        levels = tuple(_level_answer(level, tap, arrays) for level in self._levels)
        return QueryAnswer(tap, levels, arrays, macs)

    def choose_mask(self, query: QueryAnswer, level_index: int) -> int:
        """The index of the first mask alternative that reaches far enough for a level's box."""
        x0, y0, x1, y1 = query.levels[level_index].box
        x, y = query.tap[0] + 0.5, query.tap[1] + 0.5
        extent = max(
            x - max(x0, 0.0),
            y - max(y0, 0.0),
            min(x1, self.canvas_width) - x,
            min(y1, self.canvas_height) - y,
        )
        masks = self.schedule.masks
        for index, mask in enumerate(masks):
            if mask.reach is None or mask.reach >= self.schedule.reach_slack * extent:
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
        mask = self.schedule.masks[mask_index]
        timings = {} if timings is None else timings
        arrays = dict(query.arrays)
        self._run_calls(self._masks[mask_index], query.tap, arrays, timings)

        head = mask.head
        program = self._programs[head.program]
        features = head.inputs[0]
        start = self._window_start(head, features, query.tap)
        self._scratch.clear()
        cut = self._cut(features, program, start, arrays, timings)
        with timed(timings, "mask"):
            answer = query.levels[level_index]
            stride = self.schedule.feature_stride(mask)
            centre = ((start[1] + 0.5) * stride, (start[0] + 0.5) * stride)
            inputs = {"features": cut, **_head_inputs(answer, query.tap, centre, cut, program)}
        outputs = self._run(head.program, inputs, timings)
        with timed(timings, "mask"):
            window = self._valid_window(mask.reach, query.tap)
            output = head.outputs[0]
            placed = PlacedArray(outputs[output.name], *self._window_start(head, output, query.tap))
            left, top, right, bottom = (side // PROBABILITY_STRIDE for side in window)
            probability = placed.cut(top, left, bottom - top, right - left)[0, 0]
        return MaskAnswer(probability, window)

    def _encode(
        self,
        calls: "_Calls",
        image: npt.NDArray[Any] | CanvasImage,
        timings: Timings | None,
    ) -> dict[str, Array]:
        arrays: dict[str, Array] = {IMAGE: self._image_array(image)}
        self._run_calls(calls, (0, 0), arrays, {} if timings is None else timings)
        return arrays

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

    def _run_calls(
        self, calls: "_Calls", tap: tuple[int, int], arrays: dict[str, Array], timings: Timings
    ) -> None:
        for call, unread in zip(calls.calls, calls.unread, strict=True):
            self._run_call(call, unread, tap, arrays, timings)

    def _run_call(
        self,
        call: Call,
        unread: Collection[str],
        tap: tuple[int, int],
        arrays: dict[str, Array],
        timings: Timings,
    ) -> None:
        program = self._programs[call.program]
        self._scratch.clear()
        inputs = {
            window.name: self._cut(
                window, program, self._window_start(call, window, tap), arrays, timings
            )
            for window in call.inputs
        }
        for name in unread:
            arrays.pop(name, None)
        outputs = self._run(call.program, inputs, timings)
        for window in call.outputs:
            if window.array not in unread:
                start = self._window_start(call, window, tap)
                arrays[window.array] = PlacedArray(outputs[window.name], *start)

    def _cut(
        self,
        window: Window,
        program: Program,
        start: tuple[int, int],
        arrays: Mapping[str, Array],
        timings: Timings,
    ) -> FloatArray:
        with timed(timings, "canvas" if window.array == IMAGE else "cut"):
            cut = arrays[window.array].cut(*start, window.height, window.width)
            dtype = program.inputs[window.name].dtype if cut.dtype == np.uint8 else None
            if program.layout == "NHWC":
                channels_last = self._scratch.contiguous(cut.transpose(0, 2, 3, 1), dtype)
                return channels_last.transpose(0, 3, 1, 2)
            return self._scratch.contiguous(cut, dtype)

    def _run(
        self, program: str, inputs: Mapping[str, FloatArray], timings: Timings
    ) -> dict[str, FloatArray]:
        with timed(timings, f"engine/{program}"):
            outputs = self._engine.run(program, inputs)
        for name, spec in self._programs[program].outputs.items():
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

    def _origin(self, row: int, tap_pixel: int) -> int:
        return int(self._rows[row][tap_pixel // self.schedule.key_stride])

    def _valid_window(self, reach: int | None, tap: tuple[int, int]) -> tuple[int, int, int, int]:
        width, height = self.canvas_width, self.canvas_height
        if reach is None:
            return 0, 0, width, height
        stride = self.schedule.key_stride
        left, top = (pixel // stride * stride for pixel in tap)
        return (
            max(0, left - reach),
            max(0, top - reach),
            min(width, left + stride + reach),
            min(height, top + stride + reach),
        )


class _Calls:
    """Calls in their order, and with each of them the arrays that nothing reads after its inputs.

    A tap on a large tile makes arrays of several hundred MB, of which few are needed at a time.
    """

    def __init__(self, calls: Sequence[Call], read_later: Collection[str]) -> None:
        last_use: dict[str, int] = {}
        for number, call in enumerate(calls):
            for window in (*call.inputs, *call.outputs):
                last_use[window.array] = number
        self.calls = calls
        self.unread: list[list[str]] = [[] for _ in calls]
        for name, number in last_use.items():
            if name not in read_later:
                self.unread[number].append(name)


def _split_query(
    schedule: Schedule, rows: Sequence[npt.NDArray[np.int32]]
) -> tuple[list[Call], list[Call]]:
    """The calls that cut the same windows of the same arrays for every tap, and the others."""
    constant = [bool((row == row[0]).all()) for row in rows]
    shared: list[Call] = []
    own: list[Call] = []
    for call in schedule.query:
        same_windows = constant[call.origin_y] and constant[call.origin_x]
        same_arrays = _read_by([call]).isdisjoint(w.array for v in own for w in v.outputs)
        (shared if same_windows and same_arrays else own).append(call)
    return shared, own


def _read_by(calls: Iterable[Call]) -> set[str]:
    return {window.array for call in calls for window in call.inputs}


def _level_answer(level: Level, tap: tuple[int, int], arrays: Mapping[str, Array]) -> LevelAnswer:
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
    first_cell_centre: tuple[float, float],
    features: FloatArray,
    program: Program,
) -> dict[str, FloatArray]:
    """The three inputs of a mask head that are not cut from an array.

    ``first_cell_centre`` is (x, y), canvas pixels, of the window of features.
    """

    def vector(name: str, values: list[float]) -> FloatArray:
        # An engine that computes in another precision than declared (float64, for a check)
        # takes these in that precision too.
        as_declared = features.dtype == program.inputs["features"].dtype
        dtype = program.inputs[name].dtype if as_declared else features.dtype
        return np.array(values, dtype).reshape(1, -1, 1, 1)

    return {
        "filter": answer.filter,
        "offset": vector(
            "offset", [c - (t + 0.5) for c, t in zip(first_cell_centre, tap, strict=True)]
        ),
        "inverse_size": vector("inverse_size", [1.0 / answer.level.size_of_interest]),
    }
