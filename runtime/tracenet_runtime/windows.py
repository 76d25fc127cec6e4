"""Does every window of a schedule lie inside its array, for every tap of a canvas?

The start of each window is followed through the table for every key cell, both axes by themselves:
a window is a product of two intervals.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from tracenet_runtime.errors import BundleError
from tracenet_runtime.manifest import Manifest, Program
from tracenet_runtime.mask import PROBABILITY_STRIDE
from tracenet_runtime.schedule import Axis, Call, MaskSchedule, Schedule, Window
from tracenet_runtime.table import row_offsets

IMAGE = "image"
"""The name of the array that is the canvas."""

_COMPUTED_HEAD_INPUTS: dict[str, int | None] = {"filter": None, "offset": 2, "inverse_size": 1}

_Starts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _ArrayExtent:
    """An array as a program leaves it: y and x starts for each key cell, shape, dtype."""

    start_y: _Starts
    start_x: _Starts
    channels: int
    height: int
    width: int
    dtype: str


def check_windows(
    manifest: Manifest,
    schedule: Schedule,
    height: int,
    width: int,
    table: npt.NDArray[np.int32],
) -> None:
    """Raise ``BundleError`` unless a schedule can be replayed for every tap of a canvas.

    Every program and array that it names must be there with the shape and dtype it is used with,
    and every window inside its array. ``table`` is that of the canvas of ``height`` x ``width``
    pixels, which the schedule must serve.
    """
    checker = _WindowChecker(manifest, schedule, height, width, table)
    arrays = checker.run_encode()
    checker.run_query(arrays)
    checker.check_answers(arrays)
    for mask in schedule.masks:
        checker.check_mask(mask, dict(arrays))


class _WindowChecker:
    def __init__(
        self,
        manifest: Manifest,
        schedule: Schedule,
        height: int,
        width: int,
        table: npt.NDArray[np.int32],
    ) -> None:
        self.manifest = manifest
        self.schedule = schedule
        self.height, self.width = height, width
        self.key_rows = np.arange(height // schedule.key_stride)
        self.key_columns = np.arange(width // schedule.key_stride)
        offsets = row_offsets(schedule, height, width)
        if table.shape != offsets[-1:]:
            raise ValueError(f"the table has shape {table.shape} instead of {offsets[-1:]}")
        self.row_starts = np.split(table.astype(np.int64), offsets[1:-1])

    def run_encode(self) -> dict[str, _ArrayExtent]:
        """The arrays that are there when the query begins."""
        image = _ArrayExtent(
            np.zeros_like(self.key_rows),
            np.zeros_like(self.key_columns),
            3,
            self.height,
            self.width,
            "float32",
        )
        arrays = {IMAGE: image}
        for call in self.schedule.encode:
            self._run_call(call, arrays)
            for starts in self._origin(call):
                if np.any(starts != starts[0]):
                    self._refuse(f"the call of {call.program!r} in encode depends on the tap")
        if self.schedule.encode:
            del arrays[IMAGE]
        return arrays

    def run_query(self, arrays: dict[str, _ArrayExtent]) -> None:
        for call in self.schedule.query:
            self._run_call(call, arrays)

    def check_answers(self, arrays: Mapping[str, _ArrayExtent]) -> None:
        """The tap's cell of every asked level must lie in the three arrays of that level."""
        key_stride = self.schedule.key_stride
        for level in self.manifest.levels:
            if level.name not in self.schedule.levels:
                continue
            for name, channels in ((level.score, 1), (level.box, 4), (level.filter, None)):
                array = arrays.get(name)
                if array is None or name == IMAGE:
                    self._refuse(f"the array {name!r} of level {level.name!r} is made by no call")
                if channels is not None and array.channels != channels:
                    self._refuse(f"the array {name!r} does not have {channels} channel(s)")
                for key, start, size in (
                    (self.key_rows, array.start_y, array.height),
                    (self.key_columns, array.start_x, array.width),
                ):
                    first = key * key_stride // level.stride
                    last = ((key + 1) * key_stride - 1) // level.stride
                    if np.any(first < start) or np.any(last >= start + size):
                        self._refuse(f"the array {name!r} misses the cell of some taps")

    def check_mask(self, mask: MaskSchedule, arrays: dict[str, _ArrayExtent]) -> None:
        for call in mask.calls:
            self._run_call(call, arrays)
        head = mask.head
        program = self._program(head)
        if len(head.inputs) != 1 or head.inputs[0].name != "features":
            self._refuse(f"the head of mask {mask.name!r} must take one window named 'features'")
        if len(head.outputs) != 1 or head.outputs[0].name != "mask":
            self._refuse(f"the head of mask {mask.name!r} must give one window named 'mask'")
        if set(program.inputs) != {"features", *_COMPUTED_HEAD_INPUTS}:
            self._refuse(f"the program {head.program!r} does not take the inputs of a mask head")
        features, output = head.inputs[0], head.outputs[0]
        self._check_input(head, features, program, arrays)
        self._check_output_spec(head, output, program)
        if program.outputs["mask"].shape[1] != 1:
            self._refuse(f"the output of {head.program!r} does not have one channel")
        units = {self.schedule.rows[row].unit for row in (head.origin_y, head.origin_x)}
        if units != {PROBABILITY_STRIDE * output.step}:
            self._refuse(
                f"the mask of {head.program!r} does not have {PROBABILITY_STRIDE} canvas pixels a "
                "cell"
            )
        finer, rest = divmod(output.step, features.step)
        if rest or (output.height, output.width) != (
            finer * features.height,
            finer * features.width,
        ):
            self._refuse(
                f"the mask of {head.program!r} is not a whole number of times as fine as its "
                "features"
            )
        self._check_computed_inputs(head, program, arrays)
        self._check_valid_part(mask, features)

    def _check_computed_inputs(
        self, head: Call, program: Program, arrays: Mapping[str, _ArrayExtent]
    ) -> None:
        for name, channels in _COMPUTED_HEAD_INPUTS.items():
            shape = program.inputs[name].shape
            if shape[2:] != (1, 1) or (channels is not None and shape[1] != channels):
                self._refuse(f"the input {name!r} of {head.program!r} has the wrong shape")
        expected = program.inputs["filter"]
        for level in self.manifest.levels:
            if level.name not in self.schedule.levels:
                continue
            array = arrays[level.filter]
            if (array.channels, array.dtype) != (expected.shape[1], expected.dtype):
                self._refuse(
                    f"the array {level.filter!r} does not fit the program {head.program!r}"
                )

    def _check_valid_part(self, mask: MaskSchedule, features: Window) -> None:
        """The features must cover all of the canvas for which the mask is said to be valid."""
        stride, cell = self.schedule.key_stride, self.schedule.feature_stride(mask)
        starts_y, starts_x = self._origin(mask.head)
        for key, starts, size, side in (
            (self.key_rows, starts_y, features.height, self.height),
            (self.key_columns, starts_x, features.width, self.width),
        ):
            reach = side if mask.reach is None else mask.reach
            start = cell * features.step * starts
            first = np.maximum(key * stride - reach, 0)
            last = np.minimum((key + 1) * stride + reach, side)
            if np.any(first < start) or np.any(last > start + cell * size):
                self._refuse(f"the window of mask {mask.name!r} is smaller than its reach")

    def _run_call(self, call: Call, arrays: dict[str, _ArrayExtent]) -> None:
        program = self._program(call)
        names = [window.name for window in call.inputs]
        if sorted(names) != sorted(program.inputs):
            self._refuse(f"a call of {call.program!r} does not give each of its inputs once")
        for window in call.inputs:
            self._check_input(call, window, program, arrays)
        starts_y, starts_x = self._origin(call)
        for window in call.outputs:
            self._check_output_spec(call, window, program)
            if window.array == IMAGE or window.array in arrays:
                self._refuse(f"the array {window.array!r} is made twice")
            spec = program.outputs[window.name]
            arrays[window.array] = _ArrayExtent(
                window.step * starts_y,
                window.step * starts_x,
                spec.shape[1],
                window.height,
                window.width,
                spec.dtype,
            )

    def _check_input(
        self, call: Call, window: Window, program: Program, arrays: Mapping[str, _ArrayExtent]
    ) -> None:
        array = arrays.get(window.array)
        if array is None and window.array == IMAGE:
            self._refuse(f"{call.program!r} reads the image, which only encode may")
        if array is None:
            self._refuse(f"{call.program!r} needs the array {window.array!r} before it is made")
        spec = program.inputs[window.name]
        if spec.shape != (1, array.channels, window.height, window.width):
            self._refuse(f"the input {window.name!r} of {call.program!r} has the wrong shape")
        # The canvas is converted to what the program takes.
        if spec.dtype != array.dtype and window.array != IMAGE:
            self._refuse(f"the input {window.name!r} of {call.program!r} has the wrong dtype")
        starts_y, starts_x = self._origin(call)
        for starts, array_start, size, array_size in (
            (starts_y, array.start_y, window.height, array.height),
            (starts_x, array.start_x, window.width, array.width),
        ):
            cut = window.step * starts - array_start
            if cut.min() < 0 or cut.max() + size > array_size:
                self._refuse(
                    f"the window {window.name!r} of {call.program!r} leaves the array "
                    f"{window.array!r}"
                )

    def _check_output_spec(self, call: Call, window: Window, program: Program) -> None:
        spec = program.outputs.get(window.name)
        if spec is None:
            self._refuse(f"{call.program!r} has no output {window.name!r}")
        if spec.shape[2:] != (window.height, window.width):
            self._refuse(f"the output {window.name!r} of {call.program!r} has the wrong shape")

    def _program(self, call: Call) -> Program:
        program = self.manifest.programs.get(call.program)
        if program is None:
            self._refuse(f"it runs {call.program!r}, which is not one of the programs")
        return program

    def _origin(self, call: Call) -> tuple[_Starts, _Starts]:
        return self._starts(call.origin_y, "y"), self._starts(call.origin_x, "x")

    def _starts(self, row: int, axis: Axis) -> _Starts:
        if row >= len(self.schedule.rows):
            self._refuse(f"it uses row {row} and has {len(self.schedule.rows)} rows")
        if self.schedule.rows[row].axis != axis:
            self._refuse(f"row {row} is used for the wrong axis, {axis}")
        return self.row_starts[row]

    def _refuse(self, reason: str) -> NoReturn:
        raise BundleError(
            f"The bundle contradicts itself: in the schedule {self.schedule.name!r} on "
            f"{self.height} x {self.width}, {reason}; export it again."
        )
