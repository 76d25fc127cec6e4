"""LiteRT on the CPU, with its XNNPACK delegate."""

import importlib.metadata
import threading
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from ai_edge_litert.interpreter import Interpreter

from tracenet_runtime.engines import EngineSettings
from tracenet_runtime.errors import BundleError, first_line, refuse_if_out_of_memory
from tracenet_runtime.graph.program import Program, ProgramFiles, TensorSpec


class LiteRtEngine:
    """A signature runner per program; those of one file share its interpreter.

    The memory that a program needs is set aside when it first runs.
    """

    def __init__(self, runners: Mapping[str, Any]) -> None:
        self.actual: Mapping[str, str | int] = {
            "version": importlib.metadata.version("ai-edge-litert"),
            "threads": "not reported",
        }
        self._runners = runners
        # An interpreter runs one signature at a time.
        self._lock = threading.Lock()

    def run(self, program: str, inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
        """All outputs of a program by name; ``BundleError`` when LiteRT refuses to run.

        Outputs are views 1 x C x H x W of arrays 1 x H x W x C, which are nobody else's.
        """
        runner = self._runners[program]
        channels_last = {name: value.transpose(0, 2, 3, 1) for name, value in inputs.items()}
        try:
            with self._lock:
                outputs = runner(**channels_last)
        except Exception as error:  # its errors share no base class
            refuse_if_out_of_memory(error, f"run the program {program!r}")
            raise BundleError(
                f"LiteRT cannot run the program {program!r}: {first_line(error)}; "
                "export the bundle again."
            ) from error
        return {name: value.transpose(0, 3, 1, 2) for name, value in outputs.items()}


def open_engine(
    files: ProgramFiles, programs: Collection[str], settings: EngineSettings
) -> LiteRtEngine:
    """An interpreter for each file of these programs of a bundle.

    Raises ``BundleError`` when LiteRT refuses a file, or when it does not hold the programs, with
    the inputs and outputs of the manifest.
    """
    interpreters: dict[str, Any] = {}
    runners = {}
    for name in programs:
        program, stored = files.programs[name], files.stored[name]
        try:
            if stored.file not in interpreters:
                interpreters[stored.file] = Interpreter(
                    model_path=str(files.path(name)), num_threads=settings.threads
                )
            runner = interpreters[stored.file].get_signature_runner(stored.signature)
            found = [runner.get_input_details(), runner.get_output_details()]
        except Exception as error:  # its errors share no base class
            refuse_if_out_of_memory(error, f"open the program {name!r}")
            raise BundleError(
                f"LiteRT does not accept the program {name!r}: {first_line(error)}; "
                "export the bundle again."
            ) from error
        _check_tensors(name, program, *found)
        runners[name] = runner
    return LiteRtEngine(runners)


def _check_tensors(
    name: str, program: Program, inputs: Mapping[str, Any], outputs: Mapping[str, Any]
) -> None:
    """A runner would fit the program to inputs of other shapes instead of refusing them."""
    for role, specs, details in (
        ("inputs", program.inputs, inputs),
        ("outputs", program.outputs, outputs),
    ):
        wanted = {spec.name: _tensor(spec) for spec in specs.values()}
        found = {
            key: (np.dtype(detail["dtype"]).name, tuple(detail["shape_signature"].tolist()))
            for key, detail in details.items()
        }
        if found != wanted:
            raise BundleError(
                f"The {role} of the program {name!r} are {found} in its file and {wanted} by the "
                "manifest; export the bundle again."
            )


def _tensor(spec: TensorSpec) -> tuple[str, tuple[int, ...]]:
    batch, channels, height, width = spec.shape
    return spec.dtype, (batch, height, width, channels)
