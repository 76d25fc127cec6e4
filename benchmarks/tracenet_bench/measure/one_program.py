"""One ONNX program put together from a bundle's own.

The same nodes and weights, with a Slice at every cut, whose starts are inputs. It serves every tap,
like the programs it is made of.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx.compose
import onnxruntime
from onnx import ModelProto, TensorProto, helper

from tracenet_runtime.bundle.files import Bundle
from tracenet_runtime.engines.onnxruntime import session_options
from tracenet_runtime.graph.arrays import Array
from tracenet_runtime.graph.schedule import (
    ProgramCall,
    Schedule,
    Window,
)


class OneProgram:
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
