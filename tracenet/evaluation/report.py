"""The figures of an evaluation as Markdown tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tracenet.evaluation.click_summary import GOALS
from tracenet.evaluation.summary import BOUNDARY_IOU, MIOU, MTA, ORACLE

_HEADER = (
    "| | instances | taps | mIoU-T | mIoU-T, oracle level | boundary IoU-T "
    f"| {MTA.replace('_', ' at ').replace('mta', 'mTA')} | s. e. | mTA, oracle level | s. e. |"
)
_RULE = "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
_CLICK_GROUPS = {"sizes": "size", "categories": "category"}
_GROUPS = {"bands": "band", **_CLICK_GROUPS}
_BRACKETS = "In brackets: 95 % bootstrap interval over photos."


def markdown(results: Mapping[str, Any]) -> str:
    """The table of results as `summarise` gives them, with their conditions."""
    rows = [_HEADER, _RULE, *(_row(*group) for group in _groups(results, _GROUPS))]
    oracle = "Oracle: the best level's mask."
    return "\n".join([*rows, "", f"{_BRACKETS} {oracle}", "", *_conditions(results)]) + "\n"


def click_markdown(results: Mapping[str, Any], max_clicks: int) -> str:
    """The tables of results as `summarise_clicks` gives them, with their conditions."""
    goals = [f"noc@{goal}" for goal in GOALS]
    names = " | ".join(f"NoC at {goal} %" for goal in GOALS)
    lines = [
        f"| | instances | clicks | {names} | drops | obeyed |",
        f"| --- |{' ---: |' * (len(goals) + 4)}",
    ]
    for name, block in _groups(results, _CLICK_GROUPS):
        figures = [_value(block, column) for column in (*goals, "drops", "obeyed")]
        cells = [name, str(block["instances"]), str(block["clicks"]), *figures]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| goal | never reached | at the limit |", "| --- | ---: | ---: |"]
    for goal in GOALS:
        never, at_limit = (_value(results, f"{kind}@{goal}") for kind in ("never", "at_limit"))
        lines.append(f"| {goal} % | {never} | {at_limit} |")
    lines += ["", "| click | IoU |", "| ---: | ---: |"]
    lines += [f"| {n} | {_value(results, f'iou@{n}')} |" for n in range(1, max_clicks + 1)]
    noc = f"NoC: mean number of clicks until the IoU is reached, {max_clicks} where it never is."
    return "\n".join([*lines, "", f"{_BRACKETS} {noc}", "", *_conditions(results)]) + "\n"


def clip_markdown(results: Mapping[str, Any]) -> str:
    """The table of results as `summarise_clips` gives them, with their conditions."""
    figures = ("jf", "j", "f", "j_recall", "j_decay", "f_recall", "f_decay")
    names = "J&F | J | F | J recall | J decay | F recall | F decay"
    lines = [f"| | things | frames | {names} |", f"| --- |{' ---: |' * (len(figures) + 2)}"]
    for name, block in _groups(results, {"sets": "set", "clips": "clip"}):
        cells = [name, str(block["instances"]), str(block["frames"])]
        lines.append(f"| {' | '.join([*cells, *(_value(block, figure) for figure in figures)])} |")
    brackets = _BRACKETS.replace("photos", "clips")
    return "\n".join([*lines, "", brackets, "", *_conditions(results)]) + "\n"


def rounds_markdown(results: Mapping[str, Any], rounds: int) -> str:
    """The table of results as `summarise_rounds` gives them, with their conditions."""
    lines = ["| round | J&F | J | F |", "| ---: | ---: | ---: | ---: |"]
    for number in range(1, rounds + 1):
        figures = (_value(results, f"{figure}@{number}") for figure in ("jf", "j", "f"))
        lines.append(f"| {number} | {' | '.join(figures)} |")
    lines += [
        "",
        f"J&F from the first round to the last: {_value(results, 'gain')}. Frames that were right "
        f"lose {_value(results, 'spoilt')} of J in a round ({results['frames_right']} frames of "
        f"{results['instances']} things).",
        "",
        _BRACKETS.replace("photos", "clips"),
        "",
    ]
    return "\n".join([*lines, *_conditions(results)]) + "\n"


def presence_markdown(results: Mapping[str, Any]) -> str:
    """The table of results as `PresenceScoring` gives them, with their conditions."""
    lines = [
        "| things | gone, told so | seen, told so | found again |",
        "| ---: | ---: | ---: | ---: |",
        f"| {results['instances']} | {_value(results, 'gone_told')} "
        f"| {_value(results, 'seen_told')} | {_value(results, 'found')} |",
        "",
        _BRACKETS.replace("photos", "clips"),
        "",
    ]
    return "\n".join([*lines, *_conditions(results)]) + "\n"


def _groups(
    results: Mapping[str, Any], labels: Mapping[str, str]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The name of each row of a table, and its figures."""
    yield "**all**", results
    for group, label in labels.items():
        for name, block in (results[group] or {}).items():
            # A source may name a category with a line's end, or with what no encoding has.
            shown = name if name.isprintable() else repr(name)
            yield f"{label} {shown}".replace("|", "\\|"), block


def _conditions(results: Mapping[str, Any]) -> Iterator[str]:
    for name, value in _flat(results["conditions"]):
        yield f"- {name}: {value}"
    for kind, found in results["problems"].items():
        yield f"- annotations: {found['rule']} {found['count']} ({kind.replace('_', ' ')})"


def _row(name: str, block: Mapping[str, Any]) -> str:
    cells = [
        name,
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
