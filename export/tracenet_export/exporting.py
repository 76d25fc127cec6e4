"""An export in one call: what the command line does."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from tracenet.model import (
    CheckpointError,
    checkpoint_licence,
    load_checkpoint,
    shipped_checkpoint,
    untrained_network,
)
from tracenet.options import DEFAULT_NETWORK
from tracenet_export.assemble import assemble
from tracenet_export.bundle import export_bundle
from tracenet_export.calibration import calibration_photos
from tracenet_export.check import checking_engine
from tracenet_export.draft import Draft, Source
from tracenet_export.errors import ExportError
from tracenet_export.guided_report import guided_macs
from tracenet_export.replacing import check_replaceable
from tracenet_export.requests import Size, parse_requests
from tracenet_export.schedule import SchedulePlan, captured, plan_schedule, tap_macs
from tracenet_export.targets import Target, open_target
from tracenet_export.tracing import lean_tracing
from tracenet_export.tracking import with_tracking
from tracenet_export.write import write_strategy
from tracenet_runtime.cores import default_threads, warn_of_threads
from tracenet_runtime.strategies.rules import GuidedRule
from tracenet_runtime.strategies.step import GUIDED
from tracenet_runtime.strategies.zoom import ZOOM

PathLike = str | os.PathLike[str]


@lean_tracing()
def export(
    out: PathLike,
    *,
    model: str | None = None,
    checkpoint: PathLike | None = None,
    untrained: bool = False,
    target: str = "onnx",
    precision: str | None = None,
    schedules: Sequence[str] = (),
    canvas: Size | None = None,
    windows: str | None = None,
    halo: float = 1.0,
    calibration: PathLike | None = None,
    threads: int | None = None,
) -> dict[str, Any]:
    """Plan, convert, check and write a bundle; ``out`` appears when everything has passed.

    Args:
        out: a folder; a bundle that is there already is replaced.
        model: a configuration; the checkpoint's, or the default one.
        checkpoint: weights; by default those shipped for the model.
        untrained: random weights, to measure costs with.
        target, precision: one of ``TARGETS`` and its precisions, by default its first.
        schedules: such as ``zoom``, ``all``, ``P3-P5@640x640``; by default ``zoom``, or ``all`` on
            a canvas that is named.
        canvas: height and width of schedules that name none, multiples of 128.
        windows: mask windows, ``64,128,all``; by default those that the levels can need.
        halo: the share of the halo that windows keep; 1 is exact.
        calibration: a folder of photos of the kind that users tap, where the precision needs them.
        threads: of PyTorch and of the engine that checks.

    Returns:
        JSON-ready: ``bundle``, ``target``, ``precision``, ``schedules``, ``strategy``, ``guided``
        (its multiply-adds, see ``guided_macs``; None without), ``parity``.

    Raises:
        TraceNetError: an argument is wrong, or the export failed; nothing was written.
    """
    out = Path(out)
    row, precision, _ = open_target(target, precision)
    checking_engine(target)
    photos = _calibration(calibration, row, f"{target} in {precision}", precision)
    check_replaceable(out)
    source = open_source(model, checkpoint, untrained)
    default = ZOOM if source.network.guided_look is None else GUIDED
    requests, strategy = parse_requests(schedules, canvas, windows, halo, default)
    threads = threads or default_threads()
    warn_of_threads(threads)
    torch.set_num_threads(threads)
    kinds = {request.recipe.corrects for request in requests}
    graphs = {corrects: captured(source.network, corrects) for corrects in kinds}
    plans = [plan_schedule(graphs[v.recipe.corrects], v, row.cost) for v in requests]
    assembly = with_tracking(assemble(plans, source.network.guided_look), source.network)
    draft = Draft(source, assembly, strategy, target, precision)
    parity = export_bundle(draft, out, calibration=photos, threads=threads)
    return {
        "bundle": str(out),
        "target": target,
        "precision": precision,
        "schedules": [_described(plan) for plan in plans],
        "strategy": write_strategy(strategy),
        "guided": guided_macs(assembly, strategy) if isinstance(strategy, GuidedRule) else None,
        "parity": parity,
    }


def open_source(
    model: str | None = None, checkpoint: PathLike | None = None, untrained: bool = False
) -> Source:
    """The network of a configuration, or of a checkpoint.

    Raises:
        TraceNetError: there is no such network or checkpoint.
    """
    if untrained:
        network = untrained_network(model or DEFAULT_NETWORK)
        digest = hashlib.sha256(b"untrained").hexdigest()
        return Source(network, digest, "untrained: no licence", trained=False)
    path = Path(checkpoint) if checkpoint else shipped_checkpoint(model or DEFAULT_NETWORK)
    network = load_checkpoint(path)
    if checkpoint and model not in (None, network.config.name):
        raise CheckpointError(f"{path} holds {network.config.name}, not {model}; leave --model out")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Source(network, digest, checkpoint_licence(path))


def _calibration(
    folder: PathLike | None, target: Target, described: str, precision: str
) -> list[Path]:
    if not target.precisions[precision].calibrated:
        if folder:
            raise ExportError(f"{described} is not calibrated; leave --calibration out")
        return []
    if not folder:
        raise ExportError(
            f"{described} is calibrated on photos; give --calibration DIR, a folder with some of "
            "the kind that users will tap"
        )
    return calibration_photos(Path(folder))


def _described(plan: SchedulePlan) -> dict[str, Any]:
    macs = tap_macs(plan)
    return {
        "schedule": plan.name,
        "canvas": list(plan.canvas),
        "serves": {"height": list(plan.serves[0]), "width": list(plan.serves[1])},
        "halo": plan.plan.halo,
        "macs_share": macs.tap_shares(),
        "encode_share": macs.encode / macs.full,
    }
