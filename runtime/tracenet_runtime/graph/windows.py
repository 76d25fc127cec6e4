"""Does every window of a schedule lie inside its array, for every tap of a canvas?

The start of each window is followed through the table for every key cell, both axes by themselves:
a window is a product of two intervals.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from tracenet_runtime.contract import IMAGE, PROBABILITY_STRIDE
from tracenet_runtime.errors import contradiction
from tracenet_runtime.graph.program import Program
from tracenet_runtime.graph.schedule import (
    Axis,
    Call,
    Choice,
    PlaceMask,
    PlaneInput,
    ProgramCall,
    VectorInput,
    Window,
)

_Starts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Extent:
    """An array as its call leaves it: where it starts for each key cell, and its size, in cells.

    ``cell`` is canvas pixels along y and x.
    """

    start_y: _Starts
    start_x: _Starts
    channels: int
    height: int
    width: int
    dtype: str
    cell: tuple[float, float]


Extents = dict[str, Extent]


class CheckedWindows:
    """What a schedule's phases leave on a canvas, followed for every key cell.

    Every program and array that it names must be there with the shape and dtype it is used with,
    and every window inside its array. The graph must have passed ``check_structure``, and the
    schedule serve the canvas.

    ``tap`` has the arrays after the tap phase, ``correction`` those after a correction. ``keys``
    are the key cells along y and x.
    """

    def __init__(self, programs: Mapping[str, Program], choice: Choice) -> None:
        """Raises ``BundleError`` unless the schedule can be replayed for every tap."""
        self.choice = choice
        self._programs, self._schedule = programs, choice.schedule
        self._row_starts = self._schedule.starts(choice.height, choice.width)
        stride, graph = self._schedule.key_stride, self._schedule.graph
        self.keys = np.arange(choice.height // stride), np.arange(choice.width // stride)
        self.tap: Extents = {IMAGE: self._image()}
        for call in graph.photo:
            self._run(call, self.tap)
            self._check_constant(call)
        if graph.photo:
            del self.tap[IMAGE]
        self.correction: Extents = self.tap | {n: self._plane(v) for n, v in graph.planes.items()}
        for call in graph.tap:
            self._run(call, self.tap)
        for role, names in graph.outputs.items():
            for name in names:
                if role in ("score", "box", "filter") and (name == IMAGE or name not in self.tap):
                    self.refuse(f"the array {name!r}, its {role}, is made by no call")
        for phase in graph.windows:
            arrays = dict(self.tap)
            for call in phase.calls:
                self._run(call, arrays)
        for call in graph.correction:
            self._run(call, self.correction)
            self._check_whole(call)

    def refuse(self, reason: str) -> NoReturn:
        """Raise ``BundleError``: in the schedule on this canvas, ``reason``."""
        choice = self.choice
        raise contradiction(
            f"in the schedule {choice.schedule.name!r} on {choice.height} x {choice.width}, "
            f"{reason}"
        )

    def _image(self) -> Extent:
        y, x = (np.zeros_like(keys) for keys in self.keys)
        return Extent(y, x, 3, self.choice.height, self.choice.width, "float32", (1, 1))

    def _plane(self, plane: PlaneInput) -> Extent:
        (height, rest_y), (width, rest_x) = (
            divmod(side, plane.stride) for side in (self.choice.height, self.choice.width)
        )
        if rest_y or rest_x:
            self.refuse(f"planes of stride {plane.stride} do not fill it")
        y, x = (np.zeros_like(keys) for keys in self.keys)
        cell = plane.stride, plane.stride
        return Extent(y, x, plane.channels, height, width, "float32", cell)

    def _check_constant(self, call: Call) -> None:
        """What runs once per photo must not depend on the tap."""
        if isinstance(call, ProgramCall):
            for starts in self._origin(call):
                if np.any(starts != starts[0]):
                    self.refuse(f"the call of {call.program!r} per photo depends on the tap")

    def _check_whole(self, call: Call) -> None:
        """What runs once per correction sees all of the canvas."""
        assert isinstance(call, ProgramCall)  # as check_structure has found
        sides = self.choice.height, self.choice.width
        for window in (*call.inputs, *call.outputs):
            for starts, size, cell, side in zip(
                self._origin(call),
                (window.height, window.width),
                self._schedule.cell(call, window),
                sides,
                strict=True,
            ):
                if np.any(starts != 0) or size * cell != side:
                    self.refuse(
                        f"the window {window.name!r} of {call.program!r}, per correction, is not "
                        "the whole canvas"
                    )

    def _run(self, call: Call, arrays: Extents) -> None:
        if isinstance(call, PlaceMask):
            self._place_mask(call, arrays)
        else:
            self._run_program(call, arrays)

    def _place_mask(self, call: PlaceMask, arrays: Extents) -> None:
        array = arrays.get(call.input)
        if array is None:
            self.refuse(f"place_mask needs the array {call.input!r} before it is made")
        if array.channels != 1:
            self.refuse(f"the array {call.input!r} of masks does not have one channel")
        if set(array.cell) != {PROBABILITY_STRIDE}:
            self.refuse(
                f"the array {call.input!r} of masks does not have {PROBABILITY_STRIDE} canvas "
                "pixels a cell"
            )
        stride = self._schedule.key_stride
        for key, starts, size, side in (
            (self.keys[0], array.start_y, array.height, self.choice.height),
            (self.keys[1], array.start_x, array.width, self.choice.width),
        ):
            reach = side if call.reach is None else call.reach
            first = np.maximum(key * stride - reach, 0)
            last = np.minimum((key + 1) * stride + reach, side)
            start, stop = starts * PROBABILITY_STRIDE, (starts + size) * PROBABILITY_STRIDE
            if np.any(first < start) or np.any(last > stop):
                self.refuse(f"the array {call.input!r} of masks is smaller than its reach")
        if call.output == IMAGE or call.output in arrays:
            self.refuse(f"the array {call.output!r} is made twice")

    def _run_program(self, call: ProgramCall, arrays: Extents) -> None:
        program = self._programs.get(call.program)
        if program is None:
            self.refuse(f"it runs {call.program!r}, which is not one of the programs")
        names = [*(window.name for window in call.inputs), *call.vectors]
        if sorted(names) != sorted(program.inputs):
            self.refuse(f"a call of {call.program!r} does not give each of its inputs once")
        for window in call.inputs:
            self._check_input(call, window, program, arrays)
        for tensor, vector in call.vectors.items():
            spec, kind = program.inputs[tensor], self._schedule.graph.inputs[vector]
            assert isinstance(kind, VectorInput)  # as check_structure has found
            same_dtype = spec.dtype == program.inputs[call.inputs[0].name].dtype
            if spec.shape != (1, kind.channels, 1, 1) or not same_dtype:
                self.refuse(f"the input {tensor!r} of {call.program!r} does not fit {vector!r}")
        starts_y, starts_x = self._origin(call)
        for window in call.outputs:
            spec_out = program.outputs.get(window.name)
            if spec_out is None:
                self.refuse(f"{call.program!r} has no output {window.name!r}")
            if spec_out.shape[2:] != (window.height, window.width):
                self.refuse(f"the output {window.name!r} of {call.program!r} has the wrong shape")
            if window.array == IMAGE or window.array in arrays:
                self.refuse(f"the array {window.array!r} is made twice")
            arrays[window.array] = Extent(
                window.step * starts_y,
                window.step * starts_x,
                spec_out.shape[1],
                window.height,
                window.width,
                spec_out.dtype,
                self._schedule.cell(call, window),
            )

    def _check_input(
        self, call: ProgramCall, window: Window, program: Program, arrays: Extents
    ) -> None:
        array = arrays.get(window.array)
        if array is None and window.array == IMAGE:
            self.refuse(f"{call.program!r} reads the image, which only the photo phase may")
        if array is None:
            self.refuse(f"{call.program!r} needs the array {window.array!r} before it is made")
        spec = program.inputs[window.name]
        if spec.shape != (1, array.channels, window.height, window.width):
            self.refuse(f"the input {window.name!r} of {call.program!r} has the wrong shape")
        # The canvas is converted to what the program takes.
        if spec.dtype != array.dtype and window.array != IMAGE:
            self.refuse(f"the input {window.name!r} of {call.program!r} has the wrong dtype")
        starts_y, starts_x = self._origin(call)
        for starts, array_start, size, array_size in (
            (starts_y, array.start_y, window.height, array.height),
            (starts_x, array.start_x, window.width, array.width),
        ):
            cut = window.step * starts - array_start
            if cut.min() < 0 or cut.max() + size > array_size:
                self.refuse(
                    f"the window {window.name!r} of {call.program!r} leaves the array "
                    f"{window.array!r}"
                )

    def _origin(self, call: ProgramCall) -> tuple[_Starts, _Starts]:
        return self._starts(call.origin_y, "y"), self._starts(call.origin_x, "x")

    def _starts(self, row: int, axis: Axis) -> _Starts:
        if row >= len(self._schedule.rows):
            self.refuse(f"it uses row {row} and has {len(self._schedule.rows)} rows")
        if self._schedule.rows[row].axis != axis:
            self.refuse(f"row {row} is used for the wrong axis, {axis}")
        return self._row_starts[row]
