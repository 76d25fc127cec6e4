"""Projections for a report: each bundle's roofline calibrated in a process of its own.

``python -m tracenet_bench.device.projection REQUEST`` is that process; it prints JSON.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from tracenet_bench.measure.children import ChildFailedError, result_of
from tracenet_bench.report.schema import Calibration, NotProjected, Projection, Subject
from tracenet_runtime.errors import TraceNetError
from tracenet_runtime.strategies.zoom import ZOOM


@dataclass(frozen=True)
class Projections:
    """What a report says of projections; ``calibration`` is that which fits worst."""

    projections: tuple[Projection, ...] = ()
    not_projected: tuple[NotProjected, ...] = ()
    calibration: Calibration | None = None


def project_subjects(subjects: Sequence[Subject], profile: str) -> Projections:
    """What taps of bundles would take on a device, and why not, of each where that cannot be said.

    ``profile`` is a device's name or file.
    """
    projections: list[Projection] = []
    calibrations: list[Calibration] = []
    reasons = {v.name: reason for v in subjects if (reason := _why_not(v))}
    projectable = [v for v in subjects if v.name not in reasons]
    groups = dict.fromkeys((v.source, v.threads) for v in projectable)
    for bundle, threads in tqdm(groups, unit="bundle", desc="projecting"):
        of_bundle = [v for v in projectable if (v.source, v.threads) == (bundle, threads)]
        wanted = [(v.name, v.schedule, v.canvas) for v in of_bundle]
        request = {"bundle": bundle, "threads": threads, "profile": profile, "subjects": wanted}
        command = [sys.executable, "-m", "tracenet_bench.device.projection", json.dumps(request)]
        try:
            found = result_of(command, threads)
        except ChildFailedError as failed:
            reasons |= {v.name: str(failed) for v in of_bundle}
            continue
        projections += [Projection(**one) for one in found["projections"]]
        calibrations.append(Calibration(**found["calibration"]))
    return Projections(
        projections=tuple(projections),
        not_projected=tuple(
            NotProjected(v.name, reasons[v.name]) for v in subjects if v.name in reasons
        ),
        calibration=max(calibrations, key=lambda calibration: calibration.error, default=None),
    )


def _why_not(subject: Subject) -> str | None:
    if subject.kind != "bundle":
        return "Only the programs of bundles are projected."
    if subject.schedule == ZOOM:
        return "A zoom runs one schedule or two; project them by --schedule and --canvas."
    if subject.schedule is None or subject.canvas is None:
        return "Each photo chooses its schedule and canvas; name one by --schedule and --canvas."
    return None


def project(request: dict[str, Any]) -> dict[str, Any]:
    """Calibrate on a bundle, and project its subjects: (name, schedule, canvas) each.

    Raises:
        TraceNetError: the bundle or the device cannot be projected.
    """
    from tracenet_bench.device.profile import load_profile
    from tracenet_bench.device.roofline import calibrate
    from tracenet_runtime.bundle.choice import choose_strategy
    from tracenet_runtime.bundle.files import Bundle

    profile = load_profile(request["profile"])
    bundle = Bundle.open(Path(request["bundle"]))
    schedules = {
        name: choose_strategy(bundle.manifest, schedule, tuple(canvas)).schedules[0]
        for name, schedule, canvas in request["subjects"]
    }
    programs = sorted(frozenset[str]().union(*(v.graph.programs() for v in schedules.values())))
    roofline = calibrate(bundle, programs, request["threads"])
    projected = [roofline.project(name, v, profile) for name, v in schedules.items()]
    return {
        "projections": [dataclasses.asdict(one) for one in projected],
        "calibration": dataclasses.asdict(roofline.calibration),
    }


def main() -> int:
    """Print what ``project`` gives, or one sentence on standard error."""
    try:
        print(json.dumps(project(json.loads(sys.argv[1]))))
    except TraceNetError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
