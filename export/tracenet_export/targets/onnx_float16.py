"""ONNX models in half precision; their inputs and outputs stay float32."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime.transformers.float16 import convert_float_to_float16

from tracenet_export.errors import ExportError

_LARGEST = float(np.finfo(np.float16).max)


def to_float16(name: str, model: onnx.ModelProto) -> onnx.ModelProto:
    """A program's weights and arithmetic in float16, between casts.

    Nothing is kept in float32. On photos no activation of the shipped network exceeds 128, or 510
    in the mask head; with every operator in half arithmetic, no tap of 72 was answered by another
    level and the masks' mean IoU with those in float was 0.998. In the mask head alone it moves
    0.05 % of a mask's cells at 640 x 640; beyond 2048 pixels from the tap the coordinates are
    rounded by up to a pixel, which only the levels that divide them by 512 or more can reach.

    Weights too small for a normal float16 become subnormal, at worst 6e-8 off.

    Raises:
        ExportError: a weight does not fit into float16.
    """
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            largest = float(np.max(np.abs(numpy_helper.to_array(tensor)), initial=0.0))
            if not largest <= _LARGEST:
                raise ExportError(
                    f"the program {name} has a weight of {largest:.1e}, more than fp16 can hold; "
                    "export it with --precision fp32"
                )
    # The converter takes a type noted for a Resize's scales, which stay float32, for theirs, casts
    # them, and does so twice by one name where two nodes share them. It infers the types it needs.
    model.graph.ClearField("value_info")
    model = convert_float_to_float16(model, keep_io_types=True)
    inputs = {value.name for value in model.graph.input}
    # The converter puts the casts of the inputs behind the nodes that read them.
    nodes = sorted(
        model.graph.node, key=lambda node: node.op_type != "Cast" or node.input[0] not in inputs
    )
    model.graph.ClearField("node")
    model.graph.node.extend(nodes)
    return model
