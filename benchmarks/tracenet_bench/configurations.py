"""One thing to measure: a bundle on an engine, with a schedule, canvas and threads, or its like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracenet_bench.schema import Photo, Subject
from tracenet_runtime.bundle import Bundle
from tracenet_runtime.choose import Choice, Loadable, choose, loadable
from tracenet_runtime.engines import engine_for
from tracenet_runtime.errors import TraceNetError
from tracenet_runtime.manifest import Manifest
from tracenet_runtime.zoom import ZOOM

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
    """

    subject: Subject
    model: Mapping[str, Any]
    compared_with: tuple[str, ...] = ()

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
    answers = loadable(manifest, schedule, canvas)
    chosen, size = ZOOM if answers.zoom else schedule, canvas
    if answers.zoom is None:
        choices = {_key(choose(answers.schedules, (v.height, v.width), canvas)) for v in photos}
        # Photos of several sizes may be answered by several schedules.
        if len(choices) == 1:
            chosen, size = choices.pop()
    engine_name = engine or engine_for(manifest.target)
    parts = (
        manifest.name,
        chosen or "by photo",
        _canvases(manifest, answers, size),
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
    return Configuration(subject, model)


def _canvases(manifest: Manifest, answers: Loadable, size: Size | None) -> str:
    if answers.zoom is not None:
        looks = (manifest.schedules[i].canvas for i in (answers.zoom.first, answers.zoom.tile))
        return "+".join(f"{height}x{width}" for height, width in looks)
    return f"{size[0]}x{size[1]}" if size else "any canvas"


def _key(choice: Choice) -> tuple[str, Size]:
    return choice.schedule.name, (choice.height, choice.width)


def counted_threads(count: int) -> str:
    """``1 thread``, ``2 threads``."""
    return f"{count} thread{'s' if count > 1 else ''}"
