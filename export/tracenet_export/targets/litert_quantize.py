"""Weights in half precision, and everything in 8 bits, in a .tflite file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer import calibrator, quantizer, recipe_manager
from ai_edge_quantizer.algorithm_manager import AlgorithmName
from ai_edge_quantizer.qtyping import TFLOperationName
from ai_edge_quantizer.utils import qsv_utils

from tracenet_export.targets import Calibration, litert_file

FloatArray = npt.NDArray[np.float32]
_LARGEST = 127
"""Of an 8-bit weight; they are symmetric."""

_LEAST_WEIGHT = 1e-4
"""Of a channel, relative to its bias."""

_FLOAT_OPERATORS = (
    TFLOperationName.INPUT,
    TFLOperationName.OUTPUT,
    TFLOperationName.SUB,  # the normalisation of the image
    TFLOperationName.MUL,
    TFLOperationName.LOGISTIC,  # the scores
    # The delegate does not take these in 8 bits, ReLU where it stands alone.
    TFLOperationName.RELU,
    TFLOperationName.AVERAGE_POOL_2D,
)
_FLOAT_PROGRAMS = "^mask_head_"
"""Their weights are computed, and so without a range that would hold for all objects."""


def to_half(content: bytes) -> bytes:
    """Weights of convolutions stored as float16; everything is computed in float32."""
    recipe = recipe_manager.RecipeManager()
    recipe.add_weight_only_config(
        ".*",
        TFLOperationName.ALL_SUPPORTED,
        num_bits=16,
        algorithm_key=AlgorithmName.FLOAT_CASTING,
    )
    worker = quantizer.Quantizer(bytearray(content), recipe.get_quantization_recipe())
    return bytes(worker.quantize(enable_progress_report=False).quantized_model)


def to_int8(content: bytes, calibration: Calibration) -> bytes:
    """Weights per channel and activations in 8 bits; inputs and outputs stay float32.

    Ranges are the least and the largest value seen: rare values matter to this network, and to
    clip them costs more than finer steps for the others gain.

    Args:
        content: a tidied file.
        calibration: for its programs and no others.
    """
    runs = {name: _ChannelsLast(inputs) for name, inputs in calibration.items()}
    content = _with_representable_biases(content)
    recipe = _recipe()
    ranges = calibrator.Calibrator(content, num_threads=1, qsv_update_func=qsv_utils.min_max_update)
    ranges.calibrate(runs, recipe)
    corrected = _with_corrected_biases(content, _mean_inputs(content, runs))
    worker = quantizer.Quantizer(bytearray(corrected), recipe.get_quantization_recipe())
    result = worker.quantize(ranges.get_model_qsvs(), enable_progress_report=False)
    return litert_file.with_inputs_before_casts(bytes(result.quantized_model))


class _ChannelsLast:
    """A program's runs as the file takes them, 1 x H x W x C, one in memory at a time."""

    def __init__(self, runs: Sequence[Mapping[str, FloatArray]]) -> None:
        self._runs = runs

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[dict[str, FloatArray]]:
        for run in self._runs:
            yield {
                name: np.ascontiguousarray(value.transpose(0, 2, 3, 1))
                for name, value in run.items()
            }


def _recipe() -> recipe_manager.RecipeManager:
    recipe = recipe_manager.RecipeManager()
    recipe.add_static_config(
        ".*", TFLOperationName.ALL_SUPPORTED, activation_num_bits=8, weight_num_bits=8
    )
    for kind in _FLOAT_OPERATORS:
        recipe.add_quantization_config(".*", kind, algorithm_key=AlgorithmName.NO_QUANTIZE)
    recipe.add_quantization_config(
        _FLOAT_PROGRAMS, TFLOperationName.ALL_SUPPORTED, algorithm_key=AlgorithmName.NO_QUANTIZE
    )
    return recipe


def _with_representable_biases(content: bytes) -> bytes:
    """Give channels without weights, whose value is their bias, a weight beside it.

    An 8-bit channel counts its bias in units of its weights' scale: with none to speak of, the
    bias would be beyond 32 bits.
    """
    model = litert_file.read(content)
    for _, _, convolution in litert_file.convolutions(model):
        weights, bias = convolution.weights, convolution.bias
        least = _LEAST_WEIGHT * np.abs(bias)
        small = np.abs(weights).max(axis=(1, 2, 3)) < least
        weights[small, 0, 0, 0] = least[small]
        convolution.store(weights, bias)
    return litert_file.write(model)


def _mean_inputs(
    content: bytes, runs: Mapping[str, _ChannelsLast]
) -> dict[tuple[str, int], npt.NDArray[np.float64]]:
    """The mean of every channel that goes into a convolution, by program and tensor."""
    interpreter = Interpreter(
        model_content=content, num_threads=1, experimental_preserve_all_tensors=True
    )
    model = litert_file.read(content)
    wanted = defaultdict(set)
    for name, _, convolution in litert_file.convolutions(model):
        wanted[name].add(convolution.input)
    means: dict[tuple[str, int], npt.NDArray[np.float64]] = {}
    for name, signature, _ in litert_file.signatures(model):
        runner = interpreter.get_signature_runner(name)
        for run in runs[name]:
            runner(**run)
            for tensor in wanted[name]:
                value = interpreter.get_tensor(tensor, signature.subgraphIndex)
                share = value.mean(axis=(0, 1, 2), dtype=np.float64) / len(runs[name])
                means[name, tensor] = means.get((name, tensor), 0.0) + share
    return means


def _with_corrected_biases(
    content: bytes, means: Mapping[tuple[str, int], npt.NDArray[np.float64]]
) -> bytes:
    """Take from every bias what rounding the weights adds to the channel's mean.

    (arXiv 1906.04721, section 4.2, with means from photos.) Behind rectifiers means are large, so
    that this is most of what rounding the weights does.
    """
    model = litert_file.read(content)
    for name, _, convolution in litert_file.convolutions(model):
        weights, mean = convolution.weights, means[name, convolution.input]
        scale = np.abs(weights).max(axis=(1, 2, 3), keepdims=True) / _LARGEST
        rounded = scale * np.rint(weights / np.where(scale, scale, 1.0))
        error = (rounded - weights).sum(axis=(1, 2))
        added = error[:, 0] * mean if convolution.depthwise else error @ mean
        convolution.store(weights, convolution.bias - added)
    return litert_file.write(model)
