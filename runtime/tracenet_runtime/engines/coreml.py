"""Core ML through coremltools, on macOS."""

import threading
import warnings
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tracenet_runtime.engines import COMPUTE_UNITS, EngineSettings
from tracenet_runtime.errors import BundleError, first_line, refuse_if_out_of_memory
from tracenet_runtime.graph.program import ProgramFiles

# What coremltools says, in a warning alone, of a package that Core ML refused.
_REFUSED = "You will not be able to run predict"


class CoreMLEngine:
    """One model per program, all loaded at once on the same compute units."""

    def __init__(self, models: Mapping[str, Any], version: str) -> None:
        units = sorted({model.compute_unit.name.lower() for model in models.values()})
        self.actual: Mapping[str, str | int] = {
            "version": version,
            "threads": "not reported",
            "compute_units": ", ".join(units),
        }
        self._models = models
        # A model runs one prediction at a time.
        self._locks = {name: threading.Lock() for name in models}

    def run(self, program: str, inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
        """All outputs of a program by name; ``BundleError`` when Core ML refuses to run."""
        given = {name: np.ascontiguousarray(value, np.float32) for name, value in inputs.items()}
        try:
            with self._locks[program]:
                outputs = self._models[program].predict(given)
            return {name: np.asarray(value) for name, value in outputs.items()}
        except Exception as error:  # its errors share no base class
            refuse_if_out_of_memory(error, f"run the program {program!r}")
            raise BundleError(
                f"Core ML cannot run the program {program!r}: {first_line(error)}; "
                "export the bundle again."
            ) from error


def open_engine(
    files: ProgramFiles, programs: Collection[str], settings: EngineSettings
) -> CoreMLEngine:
    """A model for each of these programs of a bundle; Core ML chooses its threads by itself.

    Raises ``BundleError`` when Core ML refuses a package.
    """
    # Not at the top, because it is slow, and because coremltools imports torch where that is
    # installed; where it is not, as with the extra `coreml`, it does without.
    import coremltools

    units = coremltools.ComputeUnit[(settings.compute_units or COMPUTE_UNITS[0]).upper()]
    models = {}
    for name in programs:
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("error", message=_REFUSED)
                models[name] = coremltools.models.MLModel(
                    str(files.path(name)), compute_units=units
                )
        except Exception as error:  # its errors share no base class
            refuse_if_out_of_memory(error, f"open the program {name!r}")
            raise BundleError(
                f"Core ML does not accept the program {name!r}: {first_line(error)}; "
                "export the bundle again."
            ) from error
    return CoreMLEngine(models, coremltools.__version__)
