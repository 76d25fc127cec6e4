"""The engines that can run a bundle's programs: one file each, one row each below."""

import importlib
import importlib.util
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from tracenet_runtime.bundle import Bundle
from tracenet_runtime.errors import EngineUnavailable
from tracenet_runtime.replay import Engine


@dataclass(frozen=True)
class EngineRow:
    """What an engine needs and runs.

    ``extra`` installs it, ``package`` is what that brings, ``module`` is ours around it with an
    ``open_engine(bundle, programs, threads)``, and ``target`` is the kind of bundle that it runs.
    """

    extra: str
    package: str
    module: str
    target: str


ENGINES: Mapping[str, EngineRow] = {
    "onnxruntime": EngineRow(
        "onnxruntime", "onnxruntime", "tracenet_runtime.engines.onnxruntime", "onnx"
    ),
}


def load_engine(
    name: str, bundle: Bundle, threads: int, programs: Collection[str] | None = None
) -> Engine:
    """An engine for these programs of a bundle (all by default), ``threads`` threads for each.

    Raises ``EngineUnavailable`` when the name is unknown, the engine is not installed or does not
    run the bundle's target, and ``BundleError`` when it does not accept a program.
    """
    row = ENGINES.get(name)
    if row is None:
        raise EngineUnavailable(
            f"There is no engine {name!r}; the engines are {', '.join(sorted(ENGINES))}."
        )
    if bundle.manifest.target != row.target:
        raise EngineUnavailable(
            f"The engine {name} runs {row.target} bundles and this one is for "
            f"{bundle.manifest.target}; choose another engine or export for {row.target}."
        )
    if importlib.util.find_spec(row.package) is None:
        raise EngineUnavailable(
            f"The engine {name} is not installed; run: pip install 'tracenet[{row.extra}]'"
        )
    wanted = bundle.manifest.programs if programs is None else programs
    engine: Engine = importlib.import_module(row.module).open_engine(bundle, wanted, threads)
    return engine
