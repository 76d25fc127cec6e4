"""LiteRT: one .tflite file with a signature per program and the weights of them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tracenet_export.errors import ExportError
from tracenet_export.programs import Program
from tracenet_export.targets import Calibration, Converted
from tracenet_export.targets.quiet import quiet
from tracenet_export.tracing import lean_tracing
from tracenet_runtime.errors import first_line, refuse_if_out_of_memory

with quiet():
    import litert_torch
    from ai_edge_litert.interpreter import Interpreter

    from tracenet_export.targets import litert_file, litert_graph, litert_quantize

FILE = "programs.tflite"


def convert(
    programs: Sequence[Program], folder: Path, precision: str, calibration: Calibration | None
) -> dict[str, Converted]:
    """See :class:`~tracenet_export.targets.Converter`.

    Inputs and outputs are float32 in every precision, 1 x H x W x C. What several programs use of
    the weights is stored once.
    """
    assert precision in ("fp32", "fp16", "int8")
    if precision == "int8":
        _check_calibration(programs, calibration)
    folder.mkdir(parents=True, exist_ok=True)
    with quiet():
        content = litert_file.tidied(_to_tflite(programs), programs)
        if precision == "fp16":
            content = litert_quantize.to_half(content)
        if precision == "int8":
            assert calibration is not None
            seen = {program.name: calibration[program.name] for program in programs}
            content = litert_quantize.to_int8(content, seen)
        content = litert_file.stripped(content)
        (folder / FILE).write_bytes(content)
        _check(programs, content)
        return _describe(content)


def label(folder: Path, labels: Mapping[str, str]) -> None:
    """See :class:`~tracenet_export.targets.Converter`: as the file's metadata."""
    path = folder / FILE
    path.write_bytes(litert_file.labelled(path.read_bytes(), labels))


def _check_calibration(programs: Sequence[Program], calibration: Calibration | None) -> None:
    if calibration is None:
        raise ExportError("int8 needs photos to calibrate with; give some by --calibration DIR")
    missing = [program.name for program in programs if not calibration.get(program.name)]
    if missing:
        raise ExportError(
            f"the calibration never ran the program {missing[0]}; calibrate with more photos"
        )


def _to_tflite(programs: Sequence[Program]) -> bytes:
    try:
        return _lowered(programs)
    except Exception as error:  # torch's and the converter's errors share no base class
        refuse_if_out_of_memory(error, "convert the programs to LiteRT")
        name = _first_refused(programs)
        raise ExportError(f"{name} cannot be converted to LiteRT: {first_line(error)}") from error


@lean_tracing()
def _lowered(programs: Sequence[Program]) -> bytes:
    converter = litert_torch.Converter()
    for program in programs:
        converter.signature(
            program.name,
            litert_graph.channels_last(program),
            sample_kwargs=litert_graph.example_inputs(program),
        )
    content: bytes = converter.convert().model_content()
    return content


def _first_refused(programs: Sequence[Program]) -> str:
    """Converting them together does not tell which of them cannot be converted."""
    for program in programs:
        try:
            _lowered([program])
        except Exception:  # whatever it was, it was reported for them all
            return program.name
    return "the set of programs"


def _check(programs: Sequence[Program], content: bytes) -> None:
    """The file loads, and every signature has the program's names and shapes, all float32."""
    interpreter = Interpreter(model_content=content, num_threads=1)
    for program in programs:
        runner = interpreter.get_signature_runner(program.name)
        for role, specs, details in (
            ("inputs", program.inputs, runner.get_input_details()),
            ("outputs", program.outputs, runner.get_output_details()),
        ):
            wanted = {spec.name: f"float32 {_channels_last(spec.shape)}" for spec in specs}
            found = {name: _described(detail) for name, detail in details.items()}
            if found != wanted:
                raise ExportError(
                    f"{FILE}: the {role} of {program.name} are {found} where {wanted} was wanted"
                )


def _channels_last(shape: tuple[int, int, int, int]) -> list[int]:
    return [shape[axis] for axis in (0, 2, 3, 1)]


def _described(detail: dict[str, Any]) -> str:
    return f"{np.dtype(detail['dtype']).name} {detail['shape_signature'].tolist()}"


def _describe(content: bytes) -> dict[str, Converted]:
    model = litert_file.read(content)
    return {
        name: Converted(
            file=FILE,
            operators=litert_file.count_operators(model, subgraph),
            signature=name,
            layout="NHWC",
            partitions=len(litert_file.pieces(model, signature)),
        )
        for name, signature, subgraph in litert_file.signatures(model)
    }
