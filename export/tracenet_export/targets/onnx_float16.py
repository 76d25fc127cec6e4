"""ONNX models whose weights are stored in half precision."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tracenet_export.errors import ExportError

_LARGEST = float(np.finfo(np.float16).max)

_SMALLEST_STORED_IN_HALF = 32
"""Values; what is smaller gains nothing, the scales of a Resize and limits of a Clip among it."""


def to_float16(name: str, model: onnx.ModelProto) -> onnx.ModelProto:
    """A program's weights in float16, each with a cast to float32, in which it is computed.

    ONNX Runtime casts them once, when it opens the model. It has no arithmetic in float16 on a CPU:
    a model that asks for it gets casts, and convolutions that are not joined with what follows
    them, and a tap then takes a fifth longer than in float32, in WebAssembly a third.

    Weights too small for a normal float16 become subnormal, at worst 6e-8 off.

    Raises:
        ExportError: a weight does not fit into float16.
    """
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        if values.size < _SMALLEST_STORED_IN_HALF:
            continue
        largest = float(np.max(np.abs(values)))
        if not largest <= _LARGEST:
            raise ExportError(
                f"the program {name} has a weight of {largest:.1e}, more than fp16 can hold; "
                "export it with --precision fp32"
            )
        wide = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{wide}_float16"))
        casts.append(helper.make_node("Cast", [tensor.name], [wide], to=onnx.TensorProto.FLOAT))
    nodes = list(model.graph.node)
    model.graph.ClearField("node")
    model.graph.node.extend([*casts, *nodes])
    return model
