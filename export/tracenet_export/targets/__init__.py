"""What a bundle's programs can be converted to: one file each, one row each below."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from tracenet_export.errors import ExportError
from tracenet_export.programs import Program


class Converter(Protocol):
    """What a target's module offers."""

    def convert(self, programs: Sequence[Program], folder: Path, precision: str) -> dict[str, str]:
        """Write the programs into ``folder`` and check that they load again.

        Returns:
            program name -> file (or folder), relative to ``folder``.
        """
        ...


@dataclass(frozen=True)
class Target:
    """A form of programs.

    Attributes:
        module: ours, a :class:`Converter`.
        packages: what converting needs, by import name.
        extra: what installs them.
        precisions: the first is the default.
        engine: the runtime's engine that runs such a bundle here, if there is one.
    """

    module: str
    packages: tuple[str, ...]
    extra: str
    precisions: tuple[str, ...]
    engine: str | None


TARGETS: Mapping[str, Target] = {
    "onnx": Target(
        "tracenet_export.targets.onnx",
        ("onnx", "onnxscript", "onnxruntime"),
        "export",
        ("fp32",),
        "onnxruntime",
    ),
    "coreml": Target(
        "tracenet_export.targets.coreml", ("coremltools",), "coreml", ("fp16", "fp32"), None
    ),
}


def open_target(name: str, precision: str | None) -> tuple[Target, str, Converter]:
    """A target, the precision to convert to (its default for None), and its converter.

    Raises:
        ExportError: the target or the precision does not exist, or a package is not installed.
    """
    if name not in TARGETS:
        raise ExportError(f"there is no target {name!r}; the targets are {', '.join(TARGETS)}")
    target = TARGETS[name]
    chosen = precision or target.precisions[0]
    if chosen not in target.precisions:
        raise ExportError(
            f"the target {name} has no precision {chosen!r}; it has {', '.join(target.precisions)}"
        )
    missing = [p for p in target.packages if importlib.util.find_spec(p) is None]
    if missing:
        raise ExportError(
            f"the target {name} needs {', '.join(missing)}; run: pip install "
            f"'tracenet[{target.extra}]'"
        )
    return target, chosen, cast(Converter, importlib.import_module(target.module))
