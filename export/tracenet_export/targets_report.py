"""What this machine can convert and check: `tracenet-export targets`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tracenet_export.targets import TARGETS, missing_packages
from tracenet_runtime.engines import engine_for, engines_for, why_unavailable


def list_targets() -> list[dict[str, Any]]:
    """By target: its precisions, what is missing to convert, and its engines here.

    ``missing`` of a target and of an engine is None where nothing is, else a sentence or two that
    say what to do.
    """
    return [
        {
            "target": name,
            "precisions": list(target.precisions),
            "calibrated": [name for name, v in target.precisions.items() if v.calibrated],
            "missing": _missing(missing_packages(target), target.extra),
            "engines": _engines(name),
        }
        for name, target in TARGETS.items()
    ]


def targets_table(targets: Sequence[Mapping[str, Any]]) -> str:
    """The same, readable."""
    lines = []
    for target in targets:
        precisions = [
            f"{precision} (calibrated)" if precision in target["calibrated"] else precision
            for precision in target["precisions"]
        ]
        lines += [
            f"{target['target']}: {', '.join(precisions)}",
            f"  converts here: {target['missing'] or 'yes'}",
        ]
        for engine in target["engines"]:
            kind = "runs here" if engine["own"] else "can be checked here"
            lines.append(f"  {kind}, with {engine['engine']}: {engine['missing'] or 'yes'}")
    return "\n".join(lines)


def _engines(target: str) -> list[dict[str, Any]]:
    own = engine_for(target)
    return [
        {"engine": name, "own": name == own, "missing": why_unavailable(name, row)}
        for name, row in engines_for(target).items()
    ]


def _missing(packages: Sequence[str], extra: str) -> str | None:
    if not packages:
        return None
    return f"it needs {', '.join(packages)}; run: pip install 'tracenet[{extra}]'"
