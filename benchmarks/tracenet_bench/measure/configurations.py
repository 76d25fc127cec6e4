"""One thing to measure: a bundle on an engine, with a schedule, canvas and threads, or its like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracenet_bench.report.schema import Photo, Subject
from tracenet_runtime.bundle.choice import choose_strategy, own_strategy
from tracenet_runtime.bundle.files import Bundle
from tracenet_runtime.engines import engine_for
from tracenet_runtime.errors import TraceNetError
from tracenet_runtime.strategies.guided import Guided

Size = tuple[int, int]
"""Height and width."""


class SubjectError(TraceNetError):
    """There is no such thing to measure."""


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for; an empty tuple stands for the default.

    Attributes:
        bundles: folders.
        engines, schedules: names; each bundle is measured with each that it can have.
        canvases: height and width.
        threads: numbers of them.
        baselines: each one of these or several with commas between them: ``fullnet``, ``cropped``,
            a schedule, a network of ``sam.COST_ONLY``, or ``FILE.py:NAME``.
        baseline_bundle: has the schedules that ``baselines`` name; None: the bundles themselves.
        baseline_canvas: for those schedules.
    """

    bundles: tuple[Path, ...]
    engines: tuple[str, ...] = ()
    schedules: tuple[str, ...] = ()
    canvases: tuple[Size, ...] = ()
    threads: tuple[int, ...] = (1,)
    baselines: tuple[str, ...] = ()
    baseline_bundle: Path | None = None
    baseline_canvas: Size | None = None


@dataclass(frozen=True)
class Configuration:
    """One thing to measure.

    Attributes:
        subject: as the report has it.
        model: what ``models.open_model`` opens, JSON-ready.
        compared_with: names of the configurations that it is a baseline of.
        corrects: whether gestures after a tap correct its mask.
        tracks: whether it carries things through clips; of the schedules of a bundle its own
            strategy alone, as it makes no difference.
    """

    subject: Subject
    model: Mapping[str, Any]
    compared_with: tuple[str, ...] = ()
    corrects: bool = False
    tracks: bool = False

    @property
    def name(self) -> str:
        """Of the subject."""
        return self.subject.name


def of_bundle(
    bundle: Bundle,
    engine: str | None,
    schedule: str | None,
    canvas: Size | None,
    threads: int,
    photos: Sequence[Photo],
) -> Configuration:
    """A bundle with a schedule on a canvas; what is None is chosen by each photo.

    Raises:
        BundleError: the bundle has no such schedule, or it does not serve the canvas.
    """
    manifest = bundle.manifest
    strategy = choose_strategy(manifest, schedule, canvas)
    chosen, size = strategy.name or schedule, canvas
    canvases = _canvas(size) if size else "any canvas"
    looks = [strategy.choices((photo.height, photo.width)) for photo in photos]
    # Photos of several sizes may be answered by several schedules.
    if all(choices == looks[0] for choices in looks):
        canvases = "+".join(_canvas((v.height, v.width)) for v in looks[0])
        if strategy.name is None:
            (only,) = looks[0]
            chosen, size = only.schedule.name, (only.height, only.width)
    engine_name = engine or engine_for(manifest.target)
    parts = (
        manifest.name,
        chosen or "by photo",
        canvases,
        engine_name,
        manifest.precision,
        counted_threads(threads),
    )
    subject = Subject(
        name=" ".join(parts),
        kind="bundle",
        source=str(bundle.folder),
        network=manifest.name,
        target=manifest.target,
        precision=manifest.precision,
        engine=engine_name,
        engine_says={},
        schedule=chosen,
        canvas=size,
        threads=threads,
    )
    model = {
        "kind": "bundle",
        "bundle": str(bundle.folder),
        "engine": engine,
        "schedule": schedule,
        "canvas": canvas,
        "threads": threads,
    }
    own = strategy == own_strategy(manifest.schedules, manifest.strategy)
    return Configuration(
        subject,
        model,
        corrects=isinstance(strategy, Guided),
        tracks=own and manifest.tracking is not None,
    )


def _canvas(size: Size) -> str:
    return f"{size[0]}x{size[1]}"


def counted_threads(count: int) -> str:
    """``1 thread``, ``2 threads``."""
    return f"{count} thread{'s' if count > 1 else ''}"
