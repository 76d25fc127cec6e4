"""The figures of an evaluation as a Markdown table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tracenet.evaluation.summary import BOUNDARY_IOU, MIOU, MTA, ORACLE

_HEADER = (
    "| | instances | taps | mIoU-T | mIoU-T, oracle level | boundary IoU-T "
    f"| {MTA.replace('_', ' at ').replace('mta', 'mTA')} | s. e. | mTA, oracle level | s. e. |"
)
_RULE = "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
_GROUPS = {"bands": "band", "sizes": "size", "categories": "category"}


def markdown(results: Mapping[str, Any]) -> str:
    """The table of results as `summarise` gives them, with their conditions."""
    return "\n".join(_lines(results)) + "\n"


def _lines(results: Mapping[str, Any]) -> Iterator[str]:
    yield from [_HEADER, _RULE, _row("**all**", results)]
    for group, label in _GROUPS.items():
        for name, block in (results[group] or {}).items():
            # A source may name a category with a line's end, or with what no encoding has.
            yield _row(f"{label} {name if name.isprintable() else repr(name)}", block)
    yield ""
    yield "In brackets: 95 % bootstrap interval over photos. Oracle: the best level's mask."
    yield ""
    for name, value in _flat(results["conditions"]):
        yield f"- {name}: {value}"
    problems = results["problems"]
    for kind, found in problems.items():
        yield f"- annotations: {found['rule']} {found['count']} ({kind.replace('_', ' ')})"


def _row(name: str, block: Mapping[str, Any]) -> str:
    cells = [
        name.replace("|", "\\|"),
        str(block["instances"]),
        str(block["taps"]),
        _value(block, MIOU),
        _value(block, MIOU + ORACLE),
        _value(block, BOUNDARY_IOU),
        _value(block, MTA),
        _number(block[f"{MTA}_standard_error"]),
        _value(block, MTA + ORACLE),
        _number(block[f"{MTA}{ORACLE}_standard_error"]),
    ]
    return "| " + " | ".join(cells) + " |"


def _value(block: Mapping[str, Any], name: str) -> str:
    interval = block[f"{name}_interval"]
    between = f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else ""
    return _number(block[name]) + between


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}, ")
        else:
            yield f"{before}{name}".replace("_", " "), value
