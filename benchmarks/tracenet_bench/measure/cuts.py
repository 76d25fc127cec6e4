"""What the cuts between programs cost, against one ONNX program that holds the same work.

The one program is put together from the bundle's own: the same nodes and weights, with a Slice at
every cut, whose starts are inputs. It serves every tap, like the programs it is made of.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx.compose
import onnxruntime
from onnx import ModelProto, TensorProto, helper
from tqdm.auto import tqdm

from tracenet_runtime.bundle.files import Bundle
from tracenet_runtime.engines import EngineSettings, load_engine
from tracenet_runtime.engines.onnxruntime import session_options
from tracenet_runtime.errors import TraceNetError
from tracenet_runtime.graph.arrays import Array, PlacedArray
from tracenet_runtime.graph.executor import Executor
from tracenet_runtime.graph.schedule import (
    Choice,
    Graph,
    Phase,
    ProgramCall,
    Role,
    Schedule,
    Window,
)

_TOLERANCE = 1e-4


class BenchError(TraceNetError):
    """There is nothing to measure, or what was measured was not the same work."""


@dataclass(frozen=True)
class CutCost:
    """What a schedule's cuts cost with one mask window.

    Attributes:
        mask: name of the mask window.
        calls: programs that run, without the mask head.
        cut_ms, one_ms: median milliseconds of the calls, and of one program with the same work.
        cost: median over taps of the one over the other, minus 1.
    """

    mask: str
    calls: int
    cut_ms: float
    one_ms: float
    cost: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "mask_window": self.mask,
            "calls": self.calls,
            "cut_ms": round(self.cut_ms, 2),
            "one_program_ms": round(self.one_ms, 2),
            "cost_of_cuts": round(self.cost, 4),
        }


def measure_cuts(
    bundle: Bundle,
    schedule: Schedule,
    canvas: npt.NDArray[np.uint8],
    taps: Sequence[tuple[int, int]],
    threads: int,
    warm_up: int = 2,
) -> list[CutCost]:
    """Time every mask window of a schedule, both forms in turn for each tap.

    Args:
        bundle: an ONNX bundle.
        schedule: one of its schedules.
        canvas: uint8, height x width x 3, of a size that the schedule serves.
        taps: (x, y) canvas pixels.
        threads: of ONNX Runtime.
        warm_up: taps before the first that counts.

    Raises:
        BundleError, EngineUnavailable: the bundle does not run here.
        BenchError: the schedule has no cuts, or the two forms give different answers.
    """
    graph = schedule.graph
    if not any(_cut_calls(graph).values()):
        raise BenchError(
            f"a tap of {schedule.name} runs no program besides the mask head, so it has no cuts; "
            "name another --schedule"
        )
    size = canvas.shape[0], canvas.shape[1]
    engine, _ = load_engine("onnxruntime", bundle.program_files, EngineSettings(threads))
    image = PlacedArray(np.moveaxis(canvas, -1, 0)[None], 0, 0)
    costs = []
    for name, calls in _cut_calls(graph).items():
        left = _left(graph, calls)
        executor = Executor(
            bundle.manifest.programs, Choice(_of_taps(schedule, calls, left), *size), engine
        )
        # Nothing of the tap phase ahead of the tap: the one program has all of it.
        encoded = executor.encode(image, {}, one_tap=True)
        one = _OneProgram(bundle, schedule, calls, left, size, threads)
        pairs = []
        rounds = [*(taps[i % len(taps)] for i in range(warm_up)), *taps]
        for tap in tqdm(rounds, unit="tap", desc=f"cuts, {name}"):
            began = time.perf_counter()
            arrays = executor.run_tap(encoded, tap, {})
            between = time.perf_counter()
            outputs = one.run(encoded.arrays, tap)
            pairs.append((between - began, time.perf_counter() - between))
            _compare(outputs, arrays)
        counted = pairs[warm_up:]
        costs.append(
            CutCost(
                name,
                len(calls),
                1000 * statistics.median(cut for cut, _ in counted),
                1000 * statistics.median(one for _, one in counted),
                statistics.median(cut / one for cut, one in counted) - 1,
            )
        )
    return costs


def _cut_calls(graph: Graph) -> dict[str, list[ProgramCall]]:
    """By mask window, the calls of a tap without the head: that needs the answer of a level."""
    before = [call for phase in graph.phases if phase.when == "tap" for call in phase.program_calls]
    return {
        phase.name: [*before, *(call for call in phase.program_calls if not call.vectors)]
        for phase in graph.windows
    }


def _left(graph: Graph, calls: Sequence[ProgramCall]) -> list[str]:
    """What calls make and do not use up themselves."""
    asked = {name for names in graph.outputs.values() for name in names}
    read = {name for call in calls for name in call.reads}
    made = [name for call in calls for name in call.makes]
    return [name for name in made if name in asked or name not in read]


def _of_taps(schedule: Schedule, calls: Sequence[ProgramCall], left: Sequence[str]) -> Schedule:
    """A schedule that runs these calls for a tap, and no window."""
    photo = (phase for phase in schedule.graph.phases if phase.when == "photo")
    phases = (*photo, Phase("tap", "tap", tuple(calls)))
    outputs: dict[Role, tuple[str, ...]] = {"score": tuple(left), "mask": ()}
    return replace(schedule, graph=replace(schedule.graph, phases=phases, outputs=outputs))


def _compare(outputs: Mapping[str, npt.NDArray[Any]], arrays: Mapping[str, Array]) -> None:
    for name, value in outputs.items():
        expected = arrays[name]
        assert isinstance(expected, PlacedArray)
        scale = max(float(np.abs(expected.values).max()), 1e-30)
        if not float(np.abs(value - expected.values).max()) <= _TOLERANCE * scale:
            raise BenchError(
                f"the one program gives another {name}, so their times cannot be compared; export "
                "the bundle again"
            )


class _OneProgram:
    """The calls of a schedule as one ONNX model, on ONNX Runtime."""

    def __init__(
        self,
        bundle: Bundle,
        schedule: Schedule,
        calls: Sequence[ProgramCall],
        outputs: Sequence[str],
        size: tuple[int, int],
        threads: int,
    ) -> None:
        self._calls = calls
        self._key_stride = schedule.key_stride
        self._rows = schedule.starts(*size)
        self._made = {window.array: call for call in calls for window in call.outputs}
        self._outputs = outputs
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "one.onnx")
            onnx.save_model(self._build(bundle), path, save_as_external_data=True)
            self._session = onnxruntime.InferenceSession(
                path, session_options(threads), providers=["CPUExecutionProvider"]
            )

    def run(self, arrays: Mapping[str, Array], tap: tuple[int, int]) -> dict[str, npt.NDArray[Any]]:
        """The arrays that are left at the end, for a tap (x, y) on the canvas."""
        feeds: dict[str, npt.NDArray[Any]] = {}
        for number, call in enumerate(self._calls):
            for window in call.inputs:
                start = self._start(call, window, tap)
                maker = self._made.get(window.array)
                if maker is None:
                    cut = arrays[window.array].cut(*start, window.height, window.width)
                    feeds[_value(number, window)] = np.ascontiguousarray(cut, np.float32)
                else:
                    made = next(w for w in maker.outputs if w.array == window.array)
                    array_start = self._start(maker, made, tap)
                    feeds[f"{_value(number, window)}_start"] = np.subtract(
                        start, array_start, dtype=np.int64
                    )
        values = self._session.run(None, feeds)
        return dict(zip(self._outputs, values, strict=True))

    def _start(self, call: ProgramCall, window: Window, tap: tuple[int, int]) -> tuple[int, int]:
        x, y = (pixel // self._key_stride for pixel in tap)
        return (
            window.step * int(self._rows[call.origin_y][y]),
            window.step * int(self._rows[call.origin_x][x]),
        )

    def _build(self, bundle: Bundle) -> ModelProto:
        nodes: list[onnx.NodeProto] = []
        initializers = [helper.make_tensor("axes", TensorProto.INT64, [2], [2, 3])]
        inputs: list[onnx.ValueInfoProto] = []
        values: dict[str, str] = {}
        opsets: dict[str, int] = {}
        ir_version = 0
        for number, call in enumerate(self._calls):
            part = onnx.load_model(bundle.program_files.path(call.program))
            part = onnx.compose.add_prefix(part, _prefix(number))
            ir_version = part.ir_version
            opsets |= {opset.domain: opset.version for opset in part.opset_import}
            known = {value.name: value for value in part.graph.input}
            for window in call.inputs:
                value = _value(number, window)
                if window.array not in values:
                    inputs.append(known[value])
                    continue
                start, end, size = (f"{value}_{what}" for what in ("start", "end", "size"))
                inputs.append(helper.make_tensor_value_info(start, TensorProto.INT64, [2]))
                initializers.append(
                    helper.make_tensor(size, TensorProto.INT64, [2], [window.height, window.width])
                )
                nodes.append(helper.make_node("Add", [start, size], [end]))
                nodes.append(
                    helper.make_node("Slice", [values[window.array], start, end, "axes"], [value])
                )
            nodes += part.graph.node
            initializers += part.graph.initializer
            values |= {window.array: _value(number, window) for window in call.outputs}
        outputs = [
            helper.make_tensor_value_info(values[name], TensorProto.FLOAT, None)
            for name in self._outputs
        ]
        graph = helper.make_graph(nodes, "one_program", inputs, outputs, initializers)
        opset_imports = [helper.make_opsetid(*opset) for opset in opsets.items()]
        return helper.make_model(graph, opset_imports=opset_imports, ir_version=ir_version)


def _prefix(number: int) -> str:
    return f"call{number}_"


def _value(number: int, window: Window) -> str:
    return f"{_prefix(number)}{window.name}"
