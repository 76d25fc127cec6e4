"""Works Core ML programs through on any machine, operator by operator, without Core ML.

coremltools' own loader reads the packages back, so graph and weights are what Core ML will be
given. Every operator is computed in float32 by PyTorch, and its result rounded to float16 where the
program says so. That is not Apple's arithmetic: here a sum is accumulated in float32 and rounded
once, while a GPU or a Neural Engine may accumulate in float16, in another order, and merge
operators. Hence "checked by our reference executor, not run on Core ML".
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from tracenet_export.errors import ExportError
from tracenet_export.targets.coreml import load_package
from tracenet_export.targets.quiet import quiet
from tracenet_runtime.engines import EngineSettings
from tracenet_runtime.errors import first_line, refuse_if_out_of_memory
from tracenet_runtime.graph.program import ProgramFiles

with quiet():
    import coremltools as ct
    from coremltools.converters.mil.mil import types

Handler = Callable[..., Tensor | Sequence[Tensor]]
"""An operator: its inputs by their MIL names, tensors as float32, settings as numpy values."""


class UnknownOperator(ExportError):  # noqa: N818 - reads as what happened
    """A package has an operator that the reference executor does not know."""


class CoreMLReferenceEngine:
    """Programs of Core ML packages, read once and worked through in PyTorch."""

    def __init__(self, programs: Mapping[str, ReferenceProgram], settings: EngineSettings) -> None:
        with _threads(settings.threads):
            threads = torch.get_num_threads()
        self.actual: Mapping[str, str | int] = {
            "version": ct.__version__,
            "threads": threads,
            "compute_units": "reference executor",
        }
        self._programs = programs
        self._threads = threads

    def run(
        self, program: str, inputs: Mapping[str, npt.NDArray[Any]]
    ) -> dict[str, npt.NDArray[Any]]:
        """All outputs of a program by name, float32, for float32 inputs, all 1 x C x H x W.

        Raises:
            ExportError: an input, or the result of an operator, is not what the program declares.
        """
        with _threads(self._threads):
            return self._programs[program].run(inputs)


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    """PyTorch's threads for a while: the number is the whole process's, and others use it too."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def open_engine(
    files: ProgramFiles, programs: Collection[str], settings: EngineSettings
) -> CoreMLReferenceEngine:
    """The reference executor with these programs of a bundle open.

    Raises:
        ExportError: a package cannot be read, or has an operator that is not known here.
    """
    paths = {name: files.path(name) for name in programs}
    return CoreMLReferenceEngine(
        {name: ReferenceProgram.open(path) for name, path in paths.items()}, settings
    )


@dataclass(frozen=True)
class _Declared:
    """What a program says of a value."""

    name: str
    shape: tuple[int, ...]
    is_half: bool

    @classmethod
    def of(cls, variable: Any) -> _Declared:
        if variable.dtype not in (types.fp16, types.fp32):
            kind = types.builtin_to_string(variable.dtype)
            raise ExportError(f"{variable.name} is of the type {kind}, which is not known here")
        return cls(variable.name, tuple(variable.shape), variable.dtype == types.fp16)

    def checked(self, value: Tensor, operator: str) -> Tensor:
        """The value as the program declares it: of that shape, and rounded if it is of float16."""
        if tuple(value.shape) != self.shape or value.dtype != torch.float32:
            raise ExportError(
                f"{self.name} ({operator}) is {_described(value)} where the program declares "
                f"float32 or float16 of shape {self.shape}"
            )
        return value.half().float() if self.is_half else value


@dataclass(frozen=True)
class _Step:
    """An operator of a program.

    Attributes:
        operator: its MIL name.
        handler: computes it from ``settings`` and from values.
        arguments: its inputs that are values -> their names; several for a list of values.
        results: what it gives.
    """

    operator: str
    handler: Handler
    arguments: Mapping[str, str | tuple[str, ...]]
    settings: Mapping[str, Any]
    results: tuple[_Declared, ...]


@dataclass(frozen=True)
class ReferenceProgram:
    """A package's program: its constants as tensors, its operators in order.

    Attributes:
        name: of the package.
        inputs: what it takes.
        outputs: names of what it gives.
        constants: what is known before it runs; float32.
        steps: what remains to be run.
    """

    name: str
    inputs: tuple[_Declared, ...]
    outputs: tuple[str, ...]
    constants: Mapping[str, Tensor]
    steps: tuple[_Step, ...]

    @classmethod
    def open(cls, path: Path) -> ReferenceProgram:
        """Read a package.

        Raises:
            ExportError: it cannot be read, or has an operator that is not known here.
        """
        try:
            with quiet():
                spec, function = load_package(path)
        except Exception as error:  # coremltools' errors share no base class
            refuse_if_out_of_memory(error, f"read {path.name}")
            raise ExportError(
                f"{path.name} cannot be read as a Core ML program: {first_line(error)}; "
                "export the bundle again."
            ) from error
        constants: dict[str, Tensor] = {}
        steps = []
        for operation in function.operations:
            if operation.op_type == "const":
                constants |= _constant(operation)
                continue
            step = _step(path.name, operation, constants)
            if step.arguments:
                steps.append(step)
            else:  # of constants alone, such as the dequantisation of weights
                constants |= _outcome(step, {})
        return cls(
            path.stem,
            tuple(_Declared.of(variable) for variable in function.inputs.values()),
            tuple(feature.name for feature in spec.description.output),
            constants,
            tuple(steps),
        )

    @torch.inference_mode()
    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """See :meth:`CoreMLReferenceEngine.run`."""
        if set(inputs) != {declared.name for declared in self.inputs}:
            wanted = ", ".join(declared.name for declared in self.inputs)
            raise ExportError(f"{self.name} takes {wanted} and was given {', '.join(inputs)}")
        values = dict(self.constants)
        for declared in self.inputs:
            value = torch.from_numpy(np.ascontiguousarray(inputs[declared.name]))
            values[declared.name] = declared.checked(value, f"input of {self.name}")
        for step in self.steps:
            values |= _outcome(step, values)
        return {name: values[name].numpy() for name in self.outputs}


def _constant(operation: Any) -> dict[str, Tensor]:
    (variable,) = operation.outputs
    value = variable.val
    is_tensor = isinstance(value, np.ndarray | np.generic) and value.dtype.kind == "f"
    return {variable.name: torch.tensor(value).float()} if is_tensor else {}


def _step(package: str, operation: Any, constants: Mapping[str, Tensor]) -> _Step:
    handler = HANDLERS.get(operation.op_type)
    if handler is None:
        raise UnknownOperator(
            f"{package} has the operator {operation.op_type}, which the reference executor does "
            "not know; add it to HANDLERS in tracenet_export.targets.coreml_reference."
        )
    arguments: dict[str, str | tuple[str, ...]] = {}
    settings: dict[str, Any] = {}
    for name, given in operation.inputs.items():
        if given is None:
            settings[name] = None
        elif isinstance(given, list | tuple):
            arguments[name] = tuple(variable.name for variable in given)
        elif given.name in constants:
            settings[name] = constants[given.name]
        elif given.val is not None:
            settings[name] = given.val
        else:
            arguments[name] = given.name
    results = tuple(_Declared.of(variable) for variable in operation.outputs)
    return _Step(operation.op_type, handler, arguments, settings, results)


def _outcome(step: _Step, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    arguments = {
        name: values[given] if isinstance(given, str) else [values[part] for part in given]
        for name, given in step.arguments.items()
    }
    given = step.handler(**arguments, **step.settings)
    results = [given] if isinstance(given, Tensor) else given
    return {
        declared.name: declared.checked(result, step.operator)
        for declared, result in zip(step.results, results, strict=True)
    }


def _described(value: Tensor) -> str:
    return f"{str(value.dtype).removeprefix('torch.')} of shape {tuple(value.shape)}"


def _integers(values: Any) -> tuple[int, ...]:
    return tuple(int(value) for value in values)


def _cast(x: Tensor, dtype: str) -> Tensor:
    """The rounding itself is of the declared type, like every result's."""
    if dtype not in ("fp16", "fp32"):
        raise ExportError(f"a cast to {dtype} is not known to the reference executor")
    return x


def _conv(
    x: Tensor,
    weight: Tensor,
    strides: Any,
    pad_type: str,
    pad: Any,
    dilations: Any,
    groups: Any,
    bias: Tensor | None = None,
) -> Tensor:
    if pad_type not in ("valid", "custom"):
        raise ExportError(
            f"a conv with padding {pad_type!r} is not known to the reference executor"
        )
    top, bottom, left, right = _integers(pad) if pad_type == "custom" else (0, 0, 0, 0)
    if (top, left) != (bottom, right):
        x = F.pad(x, (left, right, top, bottom))
        top = left = 0
    return F.conv2d(
        x, weight, bias, _integers(strides), (top, left), _integers(dilations), int(groups)
    )


def _max_pool(
    x: Tensor, kernel_sizes: Any, strides: Any, pad_type: str, pad: Any, ceil_mode: Any
) -> Tensor:
    if pad_type not in ("valid", "custom"):
        raise ExportError(
            f"a max_pool with padding {pad_type!r} is not known to the reference executor"
        )
    margins = _integers(pad) if pad_type == "custom" else (0, 0, 0, 0)
    kernel, steps = _integers(kernel_sizes), _integers(strides)
    behind = []
    for axis in (0, 1):
        size, step = kernel[axis], steps[axis]
        before, after = margins[2 * axis : 2 * axis + 2]
        side = x.shape[2 + axis] + before
        room = side + after - size
        windows = 1 + (-(-room // step) if ceil_mode else room // step)
        # PyTorch's rule. MIL's, without padding, keeps a window beyond the edge; what Core ML has
        # in it is not documented, and such a program is refused for its declared shape.
        if ceil_mode and (windows - 1) * step >= side:
            windows -= 1
        behind.append((windows - 1) * step + size - side)  # negative where rows are not read
    top, _, left, _ = margins
    padded = F.pad(x, (left, behind[1], top, behind[0]), value=-math.inf)
    return F.max_pool2d(padded, kernel, steps)


def _avg_pool(
    x: Tensor,
    kernel_sizes: Any,
    strides: Any,
    pad_type: str,
    pad: Any,
    ceil_mode: Any,
    exclude_padding_from_average: Any,
) -> Tensor:
    padded = pad_type != "valid" and (pad_type != "custom" or any(_integers(pad)))
    if padded or ceil_mode:
        raise ExportError("an avg_pool with padding is not known to the reference executor")
    return F.avg_pool2d(x, _integers(kernel_sizes), _integers(strides))


@functools.cache
def _interpolation(size: int, scale: float) -> Tensor:
    """Rows of weights of the inputs, size * scale x size, from the formula in MIL's reference."""
    count = int(size * scale)
    matrix = torch.zeros(count, size)
    spacing = size / count
    for i in range(count):
        point = min(size - 1.0, max(0.0, i * spacing + 0.5 * spacing - 0.5))
        low = int(point)
        matrix[i, low] += 1 - (point - low)
        matrix[i, min(low + 1, size - 1)] += point - low
    return matrix


def _upsample_bilinear(
    x: Tensor,
    scale_factor_height: Any,
    scale_factor_width: Any,
    align_corners: Any,
    half_pixel_centers: Any = None,
) -> Tensor:
    if align_corners or half_pixel_centers is False:
        raise ExportError(
            "upsample_bilinear is known to the reference executor for half pixels only"
        )
    rows = _interpolation(x.shape[2], float(scale_factor_height))
    return rows @ x @ _interpolation(x.shape[3], float(scale_factor_width)).T


def _upsample_nearest(x: Tensor, scale_factor_height: Any, scale_factor_width: Any) -> Tensor:
    tall = x.repeat_interleave(int(scale_factor_height), 2)
    return tall.repeat_interleave(int(scale_factor_width), 3)


def _slice(x: Tensor, begin: Any, end: Any, end_mask: Any = None, **others: Any) -> Tensor:
    if any(value is not None for value in others.values()):
        raise ExportError(f"slice_by_index with {', '.join(others)} is not known here")
    open_ended = [False] * x.ndim if end_mask is None else end_mask
    ends = [None if is_open else int(e) for e, is_open in zip(end, open_ended, strict=True)]
    return x[tuple(slice(int(b), e) for b, e in zip(begin, ends, strict=True))]


def _matmul(x: Tensor, y: Tensor, transpose_x: Any, transpose_y: Any) -> Tensor:
    return (x.mT if transpose_x else x) @ (y.mT if transpose_y else y)


def _split(x: Tensor, split_sizes: Any, axis: Any, num_splits: Any = None) -> Sequence[Tensor]:
    return x.split_with_sizes(_integers(split_sizes), int(axis))


def _affine_dequantize(quantized_data: Any, zero_point: Any, scale: Any, axis: Any) -> Tensor:
    """scale * (quantized_data - zero_point), the vectors along the axis."""
    along = [1] * quantized_data.ndim
    along[int(axis)] = -1
    zero = torch.as_tensor(np.asarray(zero_point)).float()
    scales = torch.as_tensor(np.asarray(scale)).float()
    numbers = torch.as_tensor(quantized_data).float()
    zero, scales = (v.reshape(along) if v.ndim else v for v in (zero, scales))
    return scales * (numbers - zero)


HANDLERS: Mapping[str, Handler] = {
    "add": lambda x, y: x + y,
    "avg_pool": _avg_pool,
    "cast": _cast,
    "clip": lambda x, alpha, beta: x.clamp(float(alpha), float(beta)),
    "concat": lambda values, axis, interleave: torch.cat(values, int(axis)),
    "constexpr_affine_dequantize": _affine_dequantize,
    "conv": _conv,
    "matmul": _matmul,
    "max_pool": _max_pool,
    "mul": lambda x, y: x * y,
    "relu": lambda x: F.relu(x),
    "reshape": lambda x, shape: x.reshape(_integers(shape)),
    "sigmoid": lambda x: torch.sigmoid(x),
    "slice_by_index": _slice,
    "split": _split,
    "sub": lambda x, y: x - y,
    "tile": lambda x, reps: x.tile(_integers(reps)),
    "upsample_bilinear": _upsample_bilinear,
    "upsample_nearest_neighbor": _upsample_nearest,
}
