"""Accuracy by ``tracenet-eval``, in a process of its own: it needs torch, which no worker has."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tracenet_bench.measure.children import ChildFailedError, result_of
from tracenet_bench.report.schema import Accuracy, Interval
from tracenet_runtime.errors import TraceNetError

_MODULE = "tracenet.evaluation"
_TOOL = "tracenet-eval: "
_MIOU, _MTA = "miou_t", "mta_0.7"


class AccuracyError(TraceNetError):
    """Accuracy cannot be measured here, or not of a model."""


def check_accuracy() -> None:
    """Can it be measured at all? Asked before hours are spent on the rest.

    Raises:
        AccuracyError: ``tracenet-eval`` or what it needs is not installed, or does not work.
    """
    loads = f"import {_MODULE}.run; print('null')"
    try:
        result_of([sys.executable, "-c", loads], threads=1)
    except ChildFailedError as failed:
        raise AccuracyError(
            f"the photos are annotated but tracenet-eval does not work ({failed}); run: pip "
            "install 'tracenet[train]', or name --photos without index.jsonl"
        ) from failed


def measure_accuracy(model: Mapping[str, Any], photos: Path, taps: int, seed: int) -> Accuracy:
    """Score a model on a folder of annotated photos.

    Args:
        model: ``configurations.Configuration.model``, of what gives masks.
        photos: the folder.
        taps: per instance.
        seed: of the taps and the intervals.

    Raises:
        AccuracyError: it could not be scored.
    """
    command = [
        sys.executable, "-m", f"{_MODULE}.cli", "--data", str(photos),
        "--taps", str(taps), "--seed", str(seed), "--json", *_what(model),
    ]  # fmt: skip
    try:
        results = result_of(command, model["threads"])
    except ChildFailedError as failed:
        # Behind its progress, which may stand on the same line.
        raise AccuracyError(str(failed).rpartition(_TOOL)[2]) from failed
    return Accuracy(
        miou_t=results[_MIOU],
        miou_t_interval=_interval(results, _MIOU),
        mta=results[_MTA],
        mta_interval=_interval(results, _MTA),
        instances=results["instances"],
        taps=results["taps"],
    )


def _what(model: Mapping[str, Any]) -> list[str]:
    if model["kind"] == "outside":
        return ["--model", model["where"]]
    asked = ["--bundle", model["bundle"], "--threads", str(model["threads"])]
    for option in ("engine", "schedule"):
        if model[option]:
            asked += [f"--{option}", model[option]]
    if model["canvas"]:
        height, width = model["canvas"]
        asked += ["--canvas", f"{height}x{width}"]
    return asked


def _interval(results: Mapping[str, Any], name: str) -> Interval | None:
    """None over one photo, of which nothing is known but that it is a share."""
    interval = results[f"{name}_interval"]
    return None if interval is None else (interval[0], interval[1])
