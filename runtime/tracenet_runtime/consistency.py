"""Does a manifest fit together with itself and its table?

What passes here can be replayed for every tap of the canvas without reading outside an array: the
start of every window is followed through the table for every key cell.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from tracenet_runtime.errors import BundleError
from tracenet_runtime.manifest import Call, Manifest, MaskSchedule, Program, TableRow, Window

FEATURE_STRIDE = 8
"""Canvas pixels per cell of the mask head's features; its mask has 4 x 4 cells for each."""

MASK_CELLS_PER_FEATURE = 4

_IMAGE = "image"
_COMPUTED_HEAD_INPUTS: dict[str, int | None] = {"filter": None, "offset": 2, "inverse_size": 1}


@dataclass(frozen=True)
class _ArrayExtent:
    """An array as a program leaves it: y and x starts for each key cell, shape, dtype."""

    start_y: npt.NDArray[np.int64]
    start_x: npt.NDArray[np.int64]
    channels: int
    height: int
    width: int
    dtype: str


def check_files_listed(manifest: Manifest) -> None:
    """Raise ``BundleError`` unless every file that the manifest uses is listed in ``files``."""
    for path in (
        manifest.table_file,
        manifest.golden_file,
        manifest.golden_photo,
        manifest.parity_file,
    ):
        if path not in manifest.files:
            _refuse(f"{path} is used but not listed in files")
    for program in manifest.programs.values():
        # A Core ML program is a folder.
        folder = program.file + "/"
        if program.file not in manifest.files and not any(
            path.startswith(folder) for path in manifest.files
        ):
            _refuse(f"{program.file} is used but not listed in files")


def check_consistency(manifest: Manifest, table: npt.NDArray[np.int32]) -> None:
    """Raise ``BundleError`` unless every reference resolves and every window lies in its array."""
    if table.shape != (manifest.table_count,):
        _refuse(f"the table has {table.size} numbers, not {manifest.table_count}")
    _check_levels(manifest)
    _check_masks(manifest)
    checker = _ScheduleChecker(manifest, table)
    arrays = checker.run_query()
    checker.check_answers(arrays)
    for mask in manifest.schedule.masks:
        checker.check_mask(mask, dict(arrays))


def _check_levels(manifest: Manifest) -> None:
    names = [level.name for level in manifest.levels]
    strides = [level.stride for level in manifest.levels]
    if len(set(names)) != len(names):
        _refuse("two levels have the same name")
    if strides != sorted(set(strides)):
        _refuse("the levels are not ordered from the finest to the coarsest")
    if manifest.schedule.key_level not in names:
        _refuse(f"the key level {manifest.schedule.key_level!r} is not one of the levels")
    if manifest.canvas_height % FEATURE_STRIDE or manifest.canvas_width % FEATURE_STRIDE:
        _refuse(f"the canvas is not a multiple of {FEATURE_STRIDE} pixels")
    if manifest.key_stride % 2:
        _refuse("the key level has an odd stride")


def _check_masks(manifest: Manifest) -> None:
    masks = manifest.schedule.masks
    mask_names = [mask.name for mask in masks]
    if len(set(mask_names)) != len(mask_names):
        _refuse("two mask alternatives have the same name")
    if set(manifest.macs.masks) != set(mask_names):
        _refuse("macs.masks does not have the names of the mask alternatives")
    reaches = [float("inf") if mask.reach is None else mask.reach for mask in masks]
    if reaches != sorted(set(reaches)):
        _refuse("the mask alternatives are not ordered from the smallest reach to the largest")
    for mask in masks:
        if mask.reach is not None and mask.reach % manifest.key_stride:
            _refuse(f"the reach of mask {mask.name!r} is not a multiple of the key stride")


class _ScheduleChecker:
    def __init__(self, manifest: Manifest, table: npt.NDArray[np.int32]) -> None:
        self.manifest = manifest
        self.table = table.astype(np.int64)
        stride = manifest.key_stride
        self.key_rows = np.arange(-(-manifest.canvas_height // stride))
        self.key_columns = np.arange(-(-manifest.canvas_width // stride))

    def run_query(self) -> dict[str, _ArrayExtent]:
        arrays = {
            _IMAGE: _ArrayExtent(
                np.zeros_like(self.key_rows),
                np.zeros_like(self.key_columns),
                3,
                self.manifest.canvas_height,
                self.manifest.canvas_width,
                "float32",
            )
        }
        for call in self.manifest.schedule.query:
            self._run_call(call, arrays)
        return arrays

    def check_answers(self, arrays: Mapping[str, _ArrayExtent]) -> None:
        """The tap's cell of every level must lie in the three arrays of that level."""
        manifest = self.manifest
        for level in manifest.levels:
            for name, channels in ((level.score, 1), (level.box, 4), (level.filter, None)):
                array = arrays.get(name)
                if array is None or name == _IMAGE:
                    _refuse(f"the array {name!r} of level {level.name!r} is made by no call")
                if channels is not None and array.channels != channels:
                    _refuse(f"the array {name!r} does not have {channels} channel(s)")
                for key, start, size, extent in (
                    (self.key_rows, array.start_y, array.height, manifest.canvas_height),
                    (self.key_columns, array.start_x, array.width, manifest.canvas_width),
                ):
                    first_pixel = key * manifest.key_stride
                    last_pixel = np.minimum(first_pixel + manifest.key_stride, extent) - 1
                    if np.any(first_pixel // level.stride < start) or np.any(
                        last_pixel // level.stride >= start + size
                    ):
                        _refuse(f"the array {name!r} misses the cell of some taps")

    def check_mask(self, mask: MaskSchedule, arrays: dict[str, _ArrayExtent]) -> None:
        for call in mask.calls:
            self._run_call(call, arrays)
        head = mask.head
        program = self._program(head)
        if len(head.inputs) != 1 or head.inputs[0].name != "features":
            _refuse(f"the head of mask {mask.name!r} must take one window named 'features'")
        if len(head.outputs) != 1 or head.outputs[0].name != "mask":
            _refuse(f"the head of mask {mask.name!r} must give one window named 'mask'")
        if set(program.inputs) != {"features", *_COMPUTED_HEAD_INPUTS}:
            _refuse(f"the program {head.program!r} does not take the inputs of a mask head")
        features, output = head.inputs[0], head.outputs[0]
        self._check_input(head, features, program, arrays)
        self._check_output_spec(head, output, program)
        if program.outputs["mask"].shape[1] != 1:
            _refuse(f"the output of {head.program!r} does not have one channel")
        if (output.height, output.width, output.step) != (
            features.height * MASK_CELLS_PER_FEATURE,
            features.width * MASK_CELLS_PER_FEATURE,
            features.step * MASK_CELLS_PER_FEATURE,
        ):
            _refuse(f"the mask of {head.program!r} is not 4 times as fine as its features")
        self._check_computed_inputs(head, program, arrays)
        self._check_valid_part(mask, features)

    def _check_computed_inputs(
        self, head: Call, program: Program, arrays: Mapping[str, _ArrayExtent]
    ) -> None:
        for name, channels in _COMPUTED_HEAD_INPUTS.items():
            shape = program.inputs[name].shape
            if shape[2:] != (1, 1) or (channels is not None and shape[1] != channels):
                _refuse(f"the input {name!r} of {head.program!r} has the wrong shape")
        expected = program.inputs["filter"]
        for level in self.manifest.levels:
            array = arrays[level.filter]
            if (array.channels, array.dtype) != (expected.shape[1], expected.dtype):
                _refuse(f"the array {level.filter!r} does not fit the program {head.program!r}")

    def _check_valid_part(self, mask: MaskSchedule, features: Window) -> None:
        """The features must cover all of the canvas for which the mask is said to be valid."""
        manifest = self.manifest
        for key, row, size, extent in (
            (self.key_rows, mask.head.origin_y, features.height, manifest.canvas_height),
            (self.key_columns, mask.head.origin_x, features.width, manifest.canvas_width),
        ):
            start = FEATURE_STRIDE * features.step * self._starts(row, key)
            reach = extent if mask.reach is None else mask.reach
            first = np.maximum(key * manifest.key_stride - reach, 0)
            last = np.minimum((key + 1) * manifest.key_stride + reach, extent)
            if np.any(first < start) or np.any(last > start + FEATURE_STRIDE * size):
                _refuse(f"the window of mask {mask.name!r} is smaller than its reach")

    def _run_call(self, call: Call, arrays: dict[str, _ArrayExtent]) -> None:
        program = self._program(call)
        names = [window.name for window in call.inputs]
        if sorted(names) != sorted(program.inputs):
            _refuse(f"a call of {call.program!r} does not give each of its inputs once")
        for window in call.inputs:
            self._check_input(call, window, program, arrays)
        start_y = self._starts(call.origin_y, self.key_rows)
        start_x = self._starts(call.origin_x, self.key_columns)
        for window in call.outputs:
            self._check_output_spec(call, window, program)
            if window.array in arrays:
                _refuse(f"the array {window.array!r} is made twice")
            spec = program.outputs[window.name]
            arrays[window.array] = _ArrayExtent(
                window.step * start_y,
                window.step * start_x,
                spec.shape[1],
                window.height,
                window.width,
                spec.dtype,
            )

    def _check_input(
        self, call: Call, window: Window, program: Program, arrays: Mapping[str, _ArrayExtent]
    ) -> None:
        array = arrays.get(window.array)
        if array is None:
            _refuse(f"{call.program!r} needs the array {window.array!r} before it is made")
        spec = program.inputs[window.name]
        if spec.shape != (1, array.channels, window.height, window.width):
            _refuse(f"the input {window.name!r} of {call.program!r} has the wrong shape")
        # The canvas is converted to what the program takes.
        if spec.dtype != array.dtype and window.array != _IMAGE:
            _refuse(f"the input {window.name!r} of {call.program!r} has the wrong dtype")
        for row, key, start, size, extent in (
            (call.origin_y, self.key_rows, array.start_y, window.height, array.height),
            (call.origin_x, self.key_columns, array.start_x, window.width, array.width),
        ):
            cut = window.step * self._starts(row, key) - start
            if np.any(cut < 0) or np.any(cut + size > extent):
                _refuse(
                    f"the window {window.name!r} of {call.program!r} leaves the array "
                    f"{window.array!r}"
                )

    def _check_output_spec(self, call: Call, window: Window, program: Program) -> None:
        spec = program.outputs.get(window.name)
        if spec is None:
            _refuse(f"{call.program!r} has no output {window.name!r}")
        if spec.shape[2:] != (window.height, window.width):
            _refuse(f"the output {window.name!r} of {call.program!r} has the wrong shape")

    def _program(self, call: Call) -> Program:
        program = self.manifest.programs.get(call.program)
        if program is None:
            _refuse(f"the schedule runs {call.program!r}, which is not one of the programs")
        return program

    def _starts(self, row: TableRow, key: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        if row.length != len(key):
            _refuse(f"a table row has {row.length} starts for {len(key)} key cells")
        if row.offset + row.length > len(self.table):
            _refuse("a table row ends beyond the table")
        return self.table[row.offset : row.offset + row.length]


def _refuse(reason: str) -> NoReturn:
    raise BundleError(f"The bundle contradicts itself: {reason}; export it again.")
