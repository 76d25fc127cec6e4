"""Core ML: one ML Program package per program, for iOS 16 and macOS 13 or later."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tracenet_export.errors import ExportError
from tracenet_export.programs import Program, TensorShape


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """coremltools shows progress on stderr and warns, in its log too, of what is no concern here.

    That is: it cannot run models outside macOS, and knows no torch later than it was tested with.
    """
    logger = logging.getLogger("coremltools")
    level = logger.level
    logger.setLevel(logging.ERROR)
    silence = io.StringIO()
    try:
        with (
            contextlib.redirect_stdout(silence),
            contextlib.redirect_stderr(silence),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


with _quiet():
    import coremltools as ct
    from coremltools.converters.mil.frontend import milproto
    from coremltools.converters.mil.mil import types

_DEPLOYMENT_TARGET = ct.target.iOS16
_COMPUTE_PRECISION = {"fp16": ct.precision.FLOAT16, "fp32": ct.precision.FLOAT32}
_FLOATS = {"fp16": types.fp16, "fp32": types.fp32}


def convert(programs: Sequence[Program], folder: Path, precision: str) -> dict[str, str]:
    """See :class:`~tracenet_export.targets.Converter`.

    Inputs and outputs are float32 in either precision. Every package has its own weights.
    """
    assert precision in _COMPUTE_PRECISION
    folder.mkdir(parents=True, exist_ok=True)
    files = {program.name: f"{program.name}.mlpackage" for program in programs}
    for program in programs:
        path = folder / files[program.name]
        with _quiet():
            _write(program, path, precision)
            _check(program, path, precision)
    return files


def _write(program: Program, path: Path, precision: str) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        try:
            exported = torch.export.export(program.module, program.example_inputs())
            model = ct.convert(
                exported.run_decompositions({}),  # to the dialect that coremltools reads
                convert_to="mlprogram",
                inputs=[ct.TensorType(s.name, s.shape, np.float32) for s in program.inputs],
                outputs=[ct.TensorType(s.name, dtype=np.float32) for s in program.outputs],
                minimum_deployment_target=_DEPLOYMENT_TARGET,
                compute_precision=_COMPUTE_PRECISION[precision],
                package_dir=str(Path(scratch) / path.name),
                skip_model_load=True,
            )
        except Exception as error:  # torch's and coremltools' errors share no base class
            reason = str(error).strip().split("\n")[0] or type(error).__name__
            raise ExportError(
                f"{program.name} cannot be converted to Core ML: {reason.rstrip('.')}"
            ) from error
        model.short_description = (
            f"TraceNet program {program.name}; the bundle's manifest.json says what it is for."
        )
        for description, specs in (
            (model.input_description, program.inputs),
            (model.output_description, program.outputs),
        ):
            for spec in specs:
                description[spec.name] = f"float32, {_dimensions(spec.shape)} (N, C, H, W)"
        model.save(str(path))
    # coremltools adds a map for ExecuTorch's debugger, which is no part of the package, and gives
    # what comes out of its temporary folders to its owner alone.
    (path / "executorch_debug_handle_mapping.json").unlink(missing_ok=True)
    for part in path.rglob("*"):
        part.chmod(0o755 if part.is_dir() else 0o644)


def _check(program: Program, path: Path, precision: str) -> None:
    model = ct.models.MLModel(str(path), skip_model_load=True)
    spec = model.get_spec()
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
    # Reads every weight back, in the type that the weights' file itself states.
    function = milproto.load.load(spec, version, model.weights_dir).functions["main"]
    _check_precision(path.name, function, precision)


def _compare(what: str, specs: Sequence[TensorShape], features: Any) -> None:
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
                if result.dtype == _FLOATS[precision]:
                    continue
                raise ExportError(
                    f"{what}: {result.name} ({operation.op_type}) is stored as "
                    f"{types.builtin_to_string(result.dtype)} where {precision} was wanted"
                )


def _dimensions(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
