"""What a bundle's programs can be converted to: one file each, one row each below."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, cast

import numpy as np
import numpy.typing as npt
from packaging.version import Version

from tracenet_export import limits
from tracenet_export.errors import ExportError
from tracenet_export.limits import Limits
from tracenet_export.plan import ONNX_RUNTIME, CostModel
from tracenet_export.programs import Program

Calibration = Mapping[str, Sequence[Mapping[str, npt.NDArray[np.float32]]]]
"""Program -> what it was given, run by run: input name -> 1 x C x H x W."""


@dataclass(frozen=True)
class Converted:
    """A program as a target's file holds it.

    Attributes:
        file: or folder, relative to the folder of the programs.
        operators: type -> how often it occurs.
        signature: the program's name within the file, where that holds several.
        layout: the order of the axes of its inputs and outputs.
        partitions: into how many pieces the target's delegate takes it; None where there is no
            delegate. One is the whole graph.
    """

    file: str
    operators: Mapping[str, int]
    signature: str | None = None
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    partitions: int | None = None


class Converter(Protocol):
    """What a target's module offers."""

    def convert(
        self,
        programs: Sequence[Program],
        folder: Path,
        precision: str,
        calibration: Calibration | None,
    ) -> dict[str, Converted]:
        """Write the programs into ``folder`` and check that they load again.

        Args:
            programs: what to convert.
            folder: where to.
            precision: one of the target's.
            calibration: what the programs see, where the precision needs to know.

        Raises:
            ExportError: a program cannot be converted.
        """
        ...

    def label(self, folder: Path, labels: Mapping[str, str]) -> None:
        """Write into the model files that lie in ``folder`` what bundle they belong to.

        Args:
            folder: that of ``convert``.
            labels: key -> value, for the place that the format has for such.
        """
        ...


@dataclass(frozen=True)
class Precision:
    """What a target's programs compute in.

    Attributes:
        limits: what an export must reach.
        calibrated: it needs photos to calibrate with.
    """

    limits: Limits
    calibrated: bool = False


@dataclass(frozen=True)
class Target:
    """A form of programs.

    Attributes:
        module: ours, a :class:`Converter`.
        packages: what converting needs -> its least version.
        extra: what installs them.
        precisions: by name; the first is the default.
        cost: what cuts cost, by which plans are made. It was measured with ONNX Runtime only; so
            far every target has its figures.
    """

    module: str
    packages: Mapping[str, str]
    extra: str
    precisions: Mapping[str, Precision]
    cost: CostModel = ONNX_RUNTIME


TARGETS: Mapping[str, Target] = {
    "onnx": Target(
        "tracenet_export.targets.onnx",
        {"onnx": "1.18", "onnxscript": "0.5", "onnxruntime": "1.22"},
        "export",
        {
            "fp32": Precision(limits.FP32),
            "fp16": Precision(limits.FP16),
            "int8": Precision(limits.INT8, calibrated=True),
        },
    ),
    "coreml": Target(
        "tracenet_export.targets.coreml",
        {"coremltools": "9.0"},
        "coreml",
        {
            "fp16": Precision(limits.FP16),
            "fp32": Precision(limits.FP32),
            "int8": Precision(limits.INT8_WEIGHTS),
        },
    ),
    "litert": Target(
        "tracenet_export.targets.litert",
        {"litert-torch": "0.10", "ai-edge-quantizer": "0.10", "ai-edge-litert": "2.3"},
        "litert-export",
        {
            "fp32": Precision(limits.FP32),
            "fp16": Precision(limits.FP16),
            "int8": Precision(limits.INT8, calibrated=True),
        },
    ),
}


def missing_packages(target: Target) -> list[str]:
    """What converting needs and is not installed, or is too old, such as ``onnx>=1.18``."""
    return [f"{n}>={v}" for n, v in target.packages.items() if not _is_installed(n, v)]


def _is_installed(name: str, least: str) -> bool:
    if importlib.util.find_spec(name.replace("-", "_")) is None:
        return False
    try:
        return Version(importlib.metadata.version(name)) >= Version(least)
    except importlib.metadata.PackageNotFoundError:
        return True  # from a distribution of another name, whose versions say nothing here


def open_target(name: str, precision: str | None) -> tuple[Target, str, Converter]:
    """A target, the precision to convert to (its default for None), and its converter.

    Raises:
        ExportError: the target or the precision does not exist, or a package is not installed.
    """
    if name not in TARGETS:
        raise ExportError(f"there is no target {name!r}; the targets are {', '.join(TARGETS)}")
    target = TARGETS[name]
    chosen = precision or next(iter(target.precisions))
    if chosen not in target.precisions:
        raise ExportError(
            f"the target {name} has no precision {chosen!r}; it has {', '.join(target.precisions)}"
        )
    missing = missing_packages(target)
    if missing:
        raise ExportError(
            f"the target {name} needs {', '.join(missing)}; run: pip install "
            f"'tracenet[{target.extra}]'"
        )
    return target, chosen, cast(Converter, importlib.import_module(target.module))
