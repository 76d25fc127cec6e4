"""Core ML: one ML Program package per program, for iOS 16 and macOS 13 or later."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tracenet_export.errors import ExportError
from tracenet_export.programs import Program
from tracenet_export.targets import Calibration, Converted
from tracenet_export.targets.coreml_compact import MODEL, WEIGHTS, compact, operator_counts
from tracenet_export.targets.quiet import quiet
from tracenet_export.tracing import lean_tracing
from tracenet_runtime.errors import first_line, refuse_if_out_of_memory
from tracenet_runtime.graph.program import TensorSpec

with quiet():
    import coremltools as ct
    from coremltools.converters.mil.frontend import milproto
    from coremltools.converters.mil.mil import types
    from coremltools.optimize import coreml as optimize

_DEPLOYMENT_TARGET = ct.target.iOS16
# int8 is of the weights: activations, biases and small weights stay fp16.
_COMPUTE_PRECISION = {
    "fp16": ct.precision.FLOAT16,
    "fp32": ct.precision.FLOAT32,
    "int8": ct.precision.FLOAT16,
}
_FLOATS = {"fp16": types.fp16, "fp32": types.fp32, "int8": types.fp16}

LARGE_WEIGHT = 2048
"""Numbers; weights with more become int8.

The others are few, and most of them in the first layers, whose rounding errors reach everything.
"""

_HEAD_TENSORS = {
    "features": "mask features, no unit",
    "filter": "parameters of the mask head, no unit",
    "offset": "canvas pixels (x, y) from the tap to the centre of the first cell",
    "inverse_size": "1 / the level's size of interest in canvas pixels",
    "mask": "probability 0 to 1, a cell is 2 canvas pixels",
}
_PICTURE = "picture levels 0 to 255, channels R, G, B"
_CELLS = "feature map cells, no unit"

# Of coremltools' own entries these say when and from what dialect, which is no property of a model.
_DROPPED_METADATA = ("conversion_date", "source_dialect")


@lean_tracing()
def convert(
    programs: Sequence[Program],
    folder: Path,
    precision: str,
    calibration: Calibration | None,
) -> dict[str, Converted]:
    """See :class:`~tracenet_export.targets.Converter`; no precision needs to be calibrated.

    Inputs and outputs are float32 in every precision. Every package has its own weights.
    """
    assert precision in _COMPUTE_PRECISION
    folder.mkdir(parents=True, exist_ok=True)
    converted = {}
    for program in programs:
        path = folder / f"{program.name}.mlpackage"
        with quiet():
            _write(program, path, precision)
            spec = _check(program, path, precision)
        converted[program.name] = Converted(path.name, operator_counts(spec))
    return converted


def label(folder: Path, labels: Mapping[str, str]) -> None:
    """See :class:`~tracenet_export.targets.Converter`: as user-defined metadata."""
    for package in sorted(folder.glob("*.mlpackage")):
        path = package / MODEL
        spec = _specification(path)
        spec.description.metadata.userDefined.update(labels)
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_bytes(spec.SerializeToString(deterministic=True))
        unfinished.chmod(path.stat().st_mode)
        unfinished.replace(path)


def load_package(path: Path) -> tuple[Any, Any]:
    """A package's specification, and its program as coremltools reads it back.

    Every weight is read, in the type that the weights' file itself states, and every declared type
    is compared with what the operator gives.
    """
    spec = _specification(path / MODEL)
    weights = str((path / WEIGHTS).parent)
    program = milproto.load.load(spec, spec.specificationVersion, weights)
    return spec, program.functions["main"]


def _specification(path: Path) -> Any:
    # Not by MLModel, which writes to the package that it reads.
    return ct.proto.Model_pb2.Model.FromString(path.read_bytes())


def _write(program: Program, path: Path, precision: str) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        try:
            model = _converted(program, str(Path(scratch) / path.name), precision)
        except Exception as error:  # torch's and coremltools' errors share no base class
            refuse_if_out_of_memory(error, f"convert the program {program.name}")
            raise ExportError(
                f"{program.name} cannot be converted to Core ML: {first_line(error)}"
            ) from error
        model.save(str(path))
        spec = model.get_spec()
    _describe_program(program, spec.description)
    compact(path, spec)


def _converted(program: Program, scratch: str, precision: str) -> Any:
    exported = torch.export.export(program.module, program.example_inputs())
    model = ct.convert(
        exported.run_decompositions({}),  # to the dialect that coremltools reads
        convert_to="mlprogram",
        inputs=[ct.TensorType(s.name, s.shape, np.float32) for s in program.inputs],
        outputs=[ct.TensorType(s.name, dtype=np.float32) for s in program.outputs],
        minimum_deployment_target=_DEPLOYMENT_TARGET,
        compute_precision=_COMPUTE_PRECISION[precision],
        package_dir=scratch,
        skip_model_load=True,
    )
    if precision != "int8":
        return model
    per_channel = optimize.OpLinearQuantizerConfig(
        mode="linear_symmetric", granularity="per_channel", weight_threshold=LARGE_WEIGHT
    )
    return optimize.linear_quantize_weights(model, optimize.OptimizationConfig(per_channel))


def _describe_program(program: Program, description: Any) -> None:
    description.metadata.shortDescription = (
        f"TraceNet program {program.name}; the bundle's manifest.json says what it is for."
    )
    user_defined = description.metadata.userDefined
    for key in [key for key in user_defined if key.endswith(_DROPPED_METADATA)]:
        del user_defined[key]
    user_defined["org.tracenet.program"] = program.name
    for feature in (*description.input, *description.output):
        shape = tuple(feature.type.multiArrayType.shape)
        meaning = _meaning(program, feature.name)
        feature.shortDescription = f"{_dimensions(shape)} (N, C, H, W), float32: {meaning}"


def _meaning(program: Program, name: str) -> str:
    """What is known of a tensor; the manifest knows which array a numbered one is."""
    if program.inputs[0].name == "features":
        return _HEAD_TENSORS[name]
    first = program.inputs[0]
    return _PICTURE if name == first.name and first.shape[1] == 3 else _CELLS


def _check(program: Program, path: Path, precision: str) -> Any:
    """Compare a package with what it was to be; its specification."""
    spec, function = load_package(path)
    kind, version = spec.WhichOneof("Type"), spec.specificationVersion
    if (kind, version) != ("mlProgram", _DEPLOYMENT_TARGET):
        raise ExportError(
            f"{path.name} is of type {kind}, specification {version}, where an mlProgram, "
            f"specification {int(_DEPLOYMENT_TARGET)}, was wanted"
        )
    description = spec.description
    for role, specs, features in (
        ("inputs", program.inputs, description.input),
        ("outputs", program.outputs, description.output),
    ):
        _compare(f"{path.name}: its {role}", specs, features)
    _check_precision(path.name, function, precision)
    return spec


def _compare(what: str, specs: Sequence[TensorSpec], features: Any) -> None:
    wanted = {spec.name: f"FLOAT32 {_dimensions(spec.shape)}" for spec in specs}
    found = {feature.name: _tensor(feature.type) for feature in features}
    if found != wanted:
        raise ExportError(f"{what} are {found} where {wanted} was wanted")


def _tensor(feature: Any) -> str:
    kind = feature.WhichOneof("Type")
    if kind != "multiArrayType":
        return str(kind)
    array = feature.multiArrayType
    dtype = array.ArrayDataType.Name(array.dataType)
    flexible = "" if array.WhichOneof("ShapeFlexibility") is None else ", flexible"
    return f"{dtype} {_dimensions(array.shape)}{flexible}"


def _check_precision(what: str, function: Any, precision: str) -> None:
    """Every weight and every result is of the precision, but for the program's outputs."""
    outputs = {output.name for output in function.outputs}
    for operation in function.operations:
        for result in operation.outputs:
            # Scalars are settings such as a scale factor, whose type the operator prescribes.
            settled = result.name in outputs or not result.shape
            if not settled and result.dtype in _FLOATS.values():
                stored = types.builtin_to_string(result.dtype)
                large_weight = result.op.op_type == "const" and result.val.size > LARGE_WEIGHT
                matrix = large_weight and len(result.shape) > 1
                if result.dtype != _FLOATS[precision] or (precision == "int8" and matrix):
                    raise ExportError(
                        f"{what}: {result.name} ({operation.op_type}) is stored as {stored} where "
                        f"{precision} was wanted"
                    )


def _dimensions(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
