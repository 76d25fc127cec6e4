"""Runs a schedule on any engine: cut windows, run programs, keep arrays.

Nothing here depends on the engine or forces a dtype: arrays stay as the engine returns them, so
that the same code runs in float64 when the exporter checks a bundle against PyTorch.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tracenet_runtime.contract import IMAGE
from tracenet_runtime.errors import BundleError
from tracenet_runtime.graph.arrays import Array, FloatArray, PlacedArray
from tracenet_runtime.graph.operations import place_mask
from tracenet_runtime.graph.program import Program
from tracenet_runtime.graph.schedule import Call, Choice, PlaceMask, ProgramCall, Window
from tracenet_runtime.graph.scratch import Scratch
from tracenet_runtime.timing import Timings, timed

Arrays = dict[str, Array]
Vectors = Mapping[str, FloatArray]
"""1 x C x 1 x 1 by name, in any floating dtype."""


class Engine(Protocol):
    """Runs the programs of one bundle."""

    def run(self, program: str, inputs: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """All outputs of a program by name, for inputs of the shapes it declares.

        All are 1 x C x H x W. Inputs are contiguous in the layout that the program declares, so
        for NHWC they are views of such an array, as the outputs may be. Their memory is used again
        after the call, so no output may be a view of an input.
        """
        ...


@dataclass(frozen=True, eq=False)
class Encoded:
    """What a tap begins with: ``arrays``, and the ``steps`` that it has still to run.

    ``macs`` are the multiply-adds that a tap counts for its tap phase, ``spent`` those that were
    spent before.
    """

    arrays: Mapping[str, Array]
    steps: Sequence["_Step"]
    macs: int
    spent: int

    @property
    def nbytes(self) -> int:
        """How much memory the arrays take."""
        return sum(array.nbytes for array in self.arrays.values())


class Executor:
    """A schedule on one canvas and one engine.

    Between calls it keeps only the memory of a program's inputs, for the next one's. It may be used
    by several threads if its engine may.
    """

    def __init__(self, programs: Mapping[str, Program], choice: Choice, engine: Engine) -> None:
        """``choice`` must have passed ``CheckedWindows``."""
        schedule = choice.schedule
        graph = schedule.graph
        self.canvas = choice.height, choice.width
        self._key_stride = schedule.key_stride
        self._rows = [row.tolist() for row in schedule.starts(*self.canvas)]
        self._programs = programs
        self._engine = engine
        self._scratch = Scratch()
        masks, states = (set(graph.outputs.get(role, ())) for role in ("mask", "mask_state"))
        after_tap = set[str]().union(*graph.outputs.values()) - masks - states
        after_tap |= _read_by(call for phase in graph.windows for call in phase.calls)
        shared, own = self._split(graph.tap)
        self._photo_one = self._steps(graph.photo, after_tap | _read_by(graph.tap))
        self._tap_one = self._steps(graph.tap, after_tap)
        after_photo = after_tap | _read_by(own) | _read_by(graph.correction)
        self._photo_many = self._steps((*graph.photo, *shared), after_photo)
        self._tap_many = self._steps(own, after_tap)
        self._macs_one = self.macs((*graph.photo, *graph.tap))
        self._macs_many = self.macs(own)
        self._macs_shared = self.macs((*graph.photo, *shared))
        self._correction = self._steps(graph.correction, states)
        self._windows = [self._steps(phase.calls, masks) for phase in graph.windows]

    def encode(self, image: Array, timings: Timings, one_tap: bool = False) -> Encoded:
        """Run what is the same for every tap, for many taps on one photo.

        Besides the photo phase these are the calls of the tap phase whose windows are the same for
        every tap: on a small canvas, one window often is all of it. For ``one_tap`` these are left
        to the tap, to run in the schedule's order: that keeps no array longer than a tap needs it,
        and the tap counts all multiply-adds.

        ``image`` is the array ``image`` of the canvas, 1 x 3 x height x width: uint8, or floating
        point, which is cut without changing its dtype. It is kept only if taps still read it.
        ``timings`` gets milliseconds added: ``canvas`` (windows of the image), ``cut`` (windows of
        other arrays) and ``engine/<program>``. Raises ``BundleError`` for a program that does not
        do what the manifest says.
        """
        arrays: Arrays = {IMAGE: image}
        del image  # where nobody else has it, its memory is free once it was read
        self._run(self._photo_one if one_tap else self._photo_many, (0, 0), arrays, {}, timings)
        if one_tap:
            return Encoded(arrays, self._tap_one, self._macs_one, 0)
        return Encoded(arrays, self._tap_many, self._macs_many, self._macs_shared)

    def run_tap(self, encoded: Encoded, tap: tuple[int, int], timings: Timings) -> Arrays:
        """The arrays after the tap phase, at a tap (x, y), a pixel of the canvas.

        ``encoded`` stays as it is. ``timings`` and errors as in ``encode``.
        """
        steps, arrays = encoded.steps, dict(encoded.arrays)
        del encoded  # as above
        self._run(steps, tap, arrays, {}, timings)
        return arrays

    def run_window(
        self,
        index: int,
        tap: tuple[int, int],
        arrays: Mapping[str, Array],
        vectors: Vectors,
        timings: Timings,
    ) -> Arrays:
        """The arrays after one of the window phases, on those of the tap phase."""
        arrays = dict(arrays)
        self._run(self._windows[index], tap, arrays, vectors, timings)
        return arrays

    def run_correction(
        self, encoded: Encoded, planes: Mapping[str, FloatArray], timings: Timings
    ) -> Arrays:
        """The arrays after the phase per correction, with these planes, each 1 x C x h x w.

        ``encoded`` is not for one tap, and stays as it is.
        """
        arrays = {**encoded.arrays, **{n: PlacedArray(v, 0, 0) for n, v in planes.items()}}
        self._run(self._correction, (0, 0), arrays, {}, timings)
        return arrays

    def origin(self, call: ProgramCall, tap: tuple[int, int]) -> tuple[int, int]:
        """(y, x) of where the windows of a call start, in units of its rows."""
        x, y = (pixel // self._key_stride for pixel in tap)
        return self._rows[call.origin_y][y], self._rows[call.origin_x][x]

    def macs(self, calls: Iterable[Call]) -> int:
        """Multiply-adds of calls."""
        return sum(self._programs[v.program].macs for v in calls if isinstance(v, ProgramCall))

    def _run(
        self,
        steps: Sequence["_Step"],
        tap: tuple[int, int],
        arrays: Arrays,
        vectors: Vectors,
        timings: Timings,
    ) -> None:
        x, y = tap[0] // self._key_stride, tap[1] // self._key_stride
        for step in steps:
            if isinstance(step, _ProgramStep):
                origin = step.origin_y[y], step.origin_x[x]
                self._run_program(step, origin, arrays, vectors, timings)
            else:
                with timed(timings, "mask"):
                    arrays[step.output] = place_mask(
                        step, arrays, (x, y), self._key_stride, self.canvas
                    )

    def _run_program(
        self,
        step: "_ProgramStep",
        origin: tuple[int, int],
        arrays: Arrays,
        vectors: Vectors,
        timings: Timings,
    ) -> None:
        call, program, (y, x) = step.call, step.program, origin
        self._scratch.clear()
        inputs = {}
        for window in call.inputs:
            with timed(timings, "canvas" if window.array == IMAGE else "cut"):
                start = window.step * y, window.step * x
                inputs[window.name] = self._cut(window, start, program, arrays)
        # An engine that computes in another precision than declared (float64, for a check) takes
        # these in that precision too: in that of the window.
        for tensor, vector in call.vectors.items():
            inputs[tensor] = vectors[vector].astype(inputs[window.name].dtype, copy=False)
        for name in step.unread:
            arrays.pop(name, None)
        with timed(timings, f"engine/{call.program}"):
            outputs = self._engine.run(call.program, inputs)
        for name, spec in program.outputs.items():
            if name not in outputs or outputs[name].shape != spec.shape:
                raise BundleError(
                    f"The program {call.program!r} does not give {name!r} of shape {spec.shape} as "
                    "the manifest says; export the bundle again."
                )
        for window in step.kept:
            arrays[window.array] = PlacedArray(
                outputs[window.name], window.step * y, window.step * x
            )

    def _cut(
        self,
        window: Window,
        start: tuple[int, int],
        program: Program,
        arrays: Mapping[str, Array],
    ) -> FloatArray:
        cut = arrays[window.array].cut(*start, window.height, window.width)
        dtype = program.inputs[window.name].dtype if cut.dtype == np.uint8 else None
        if program.layout == "NHWC":
            channels_last = self._scratch.contiguous(cut.transpose(0, 2, 3, 1), dtype)
            return channels_last.transpose(0, 3, 1, 2)
        return self._scratch.contiguous(cut, dtype)

    def _split(self, calls: Iterable[Call]) -> tuple[list[Call], list[Call]]:
        """Calls that cut the same windows of the same arrays for every tap, and the others."""
        constant = [len(set(row)) == 1 for row in self._rows]
        shared: list[Call] = []
        own: list[Call] = []
        for call in calls:
            same = (
                isinstance(call, ProgramCall)
                and constant[call.origin_y]
                and constant[call.origin_x]
                and set(call.reads).isdisjoint(name for other in own for name in other.makes)
            )
            (shared if same else own).append(call)
        return shared, own

    def _steps(self, calls: Sequence[Call], read_later: Collection[str]) -> list["_Step"]:
        """Calls in their order, and with each of them the arrays that nothing reads any more.

        A tap on a large tile makes arrays of several hundred MB, few of which are needed at a time.
        """
        last_use = {
            name: number
            for number, call in enumerate(calls)
            for name in (*call.reads, *call.makes)
            if name not in read_later
        }
        steps: list[_Step] = []
        for number, call in enumerate(calls):
            unread = [name for name, last in last_use.items() if last == number]
            if isinstance(call, PlaceMask):
                steps.append(call)
            else:
                rows = self._rows[call.origin_y], self._rows[call.origin_x]
                kept = [window for window in call.outputs if window.array not in unread]
                steps.append(_ProgramStep(call, self._programs[call.program], *rows, unread, kept))
        return steps


@dataclass(frozen=True, eq=False)
class _ProgramStep:
    """A program call with all looked up that does not depend on the tap."""

    call: ProgramCall
    program: Program
    origin_y: Sequence[int]
    origin_x: Sequence[int]
    unread: Sequence[str]
    kept: Sequence[Window]


_Step = _ProgramStep | PlaceMask


def _read_by(calls: Iterable[Call]) -> set[str]:
    return {name for call in calls for name in call.reads}
