"""The engines that can run a bundle's programs: one file each, one row each below."""

import importlib
import importlib.util
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tracenet_runtime.errors import BundleError, EngineUnavailable
from tracenet_runtime.graph.executor import Engine
from tracenet_runtime.graph.program import ProgramFiles

COMPUTE_UNITS = ("all", "cpu_and_ne", "cpu_and_gpu", "cpu_only")
"""What Core ML may be asked to run on; the first is its default."""


@dataclass(frozen=True)
class EngineSettings:
    """What an engine is asked for: ``threads`` for each program, and ``compute_units``.

    Compute units are one of ``COMPUTE_UNITS`` for Core ML and None for every other engine.
    """

    threads: int = 2
    compute_units: str | None = None


class LoadedEngine(Engine, Protocol):
    """An engine with its programs open.

    ``actual`` is what the engine itself says: its ``version``, and of the settings those that it
    reports (``threads``, ``compute_units``); "not reported" for what it keeps to itself.
    """

    @property
    def actual(self) -> Mapping[str, str | int]:
        """See above."""
        ...


@dataclass(frozen=True)
class EngineReport:
    """Which engine answers, what was asked of it, and what it says (see ``LoadedEngine``)."""

    name: str
    requested: EngineSettings
    actual: Mapping[str, str | int]


@dataclass(frozen=True)
class EngineRow:
    """What an engine needs and runs.

    ``extra`` installs it, ``packages`` is what that brings, ``module`` has the
    ``open_engine(files, programs, settings)``, ``target`` is the kind of bundle that it runs, and
    ``platform`` the only ``sys.platform`` on which it can.
    """

    extra: str
    packages: tuple[str, ...]
    module: str
    target: str
    platform: str | None = None


ENGINES: Mapping[str, EngineRow] = {
    "onnxruntime": EngineRow(
        "onnxruntime", ("onnxruntime",), "tracenet_runtime.engines.onnxruntime", "onnx"
    ),
    "litert": EngineRow("litert", ("ai_edge_litert",), "tracenet_runtime.engines.litert", "litert"),
    "coreml": EngineRow(
        "coreml", ("coremltools",), "tracenet_runtime.engines.coreml", "coreml", "darwin"
    ),
}


PLUGINS = "tracenet_runtime.engines"
"""Group of the entry points by which other packages add engines: each an ``EngineRow``."""


def all_engines() -> dict[str, EngineRow]:
    """By name: the engines of this package, then those that installed packages add."""
    # Only looked for where an engine is not ours: the module takes 4 MB of an app's memory.
    from importlib.metadata import entry_points

    added = {entry.name: entry.load() for entry in entry_points(group=PLUGINS)}
    return {**ENGINES, **added, **ENGINES}  # in this order, and none of this package replaced


def engines_for(target: str) -> dict[str, EngineRow]:
    """By name: what runs a kind of bundle, this package's engine first."""
    return {name: row for name, row in all_engines().items() if row.target == target}


def why_unavailable(name: str, row: EngineRow) -> str | None:
    """A sentence that says why an engine cannot run on this machine; None if it can."""
    if row.platform not in (None, sys.platform):
        others = [other for other in engines_for(row.target) if other != name]
        remedy = f"; choose {' or '.join(others)} to work the programs through" if others else ""
        return f"The engine {name} does not run on this system{remedy}."
    if any(importlib.util.find_spec(package) is None for package in row.packages):
        return f"The engine {name} is not installed; run: pip install 'tracenet[{row.extra}]'"
    return None


def engine_for(target: str) -> str:
    """The name of this package's engine for a kind of bundle; ``EngineUnavailable`` for none."""
    for name, row in ENGINES.items():
        if row.target == target:
            return name
    raise EngineUnavailable(f"No engine runs bundles for {target!r}; export for another target.")


def load_engine(
    name: str | None,
    files: ProgramFiles,
    settings: EngineSettings,
    programs: Collection[str] | None = None,
) -> tuple[LoadedEngine, EngineReport]:
    """An engine, by default that of the bundle's target, for these programs (all by default).

    Raises ``EngineUnavailable`` when the name is unknown, the engine does not run here or not the
    bundle's target, or has no such setting, and ``BundleError`` when it does not accept a program,
    or could not: engines take paths in UTF-8 only.
    """
    name = name or engine_for(files.target)
    row = ENGINES.get(name) or all_engines().get(name)
    if row is None:
        raise EngineUnavailable(
            f"There is no engine {name!r}; the engines are {', '.join(sorted(all_engines()))}."
        )
    if files.target != row.target:
        raise EngineUnavailable(
            f"The engine {name} runs {row.target} bundles and this one is for "
            f"{files.target}; choose another engine or export for {row.target}."
        )
    if settings.compute_units is not None and row.target != "coreml":
        raise EngineUnavailable(
            f"The engine {name} has no compute units to choose from; leave them out."
        )
    reason = why_unavailable(name, row)
    if reason is not None:
        raise EngineUnavailable(reason)
    wanted = files.programs if programs is None else programs
    for program in wanted:
        _check_path(files.path(program))
    engine: LoadedEngine = importlib.import_module(row.module).open_engine(files, wanted, settings)
    return engine, EngineReport(name, settings, engine.actual)


def _check_path(path: Path) -> None:
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise BundleError(
            f"The path of the bundle is not UTF-8, which engines need ({str(path)!a}); move the "
            "bundle, or rename what is not."
        ) from error
