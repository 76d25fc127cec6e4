"""What the names of baselines stand for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from tracenet_bench.measure.configurations import (
    Configuration,
    Size,
    SubjectError,
    Wanted,
    counted_threads,
    of_bundle,
)
from tracenet_bench.measure.sam import COST_ONLY
from tracenet_bench.report.schema import Photo, Subject
from tracenet_runtime.bundle.files import Bundle

FULLNET = "fullnet"
CROPPED = "cropped"

_FULL = "full"
_UNCUT = (_FULL, "warm")
_INPUT_ONLY = "/input"


def baseline_names(texts: Sequence[str], bundles: Sequence[Bundle]) -> list[str]:
    """The names in texts such as ``fullnet,P3``, each once.

    A text that is the name of a bundle's schedule, such as ``P3,P5``, is that name.
    """
    schedules = {v.name for bundle in bundles for v in bundle.manifest.schedules}
    names: list[str] = []
    for text in texts:
        names += [text] if text in schedules else [v for v in text.split(",") if v]
    return list(dict.fromkeys(names))


def baselines_of(
    name: str,
    wanted: Wanted,
    bundles: Sequence[Bundle],
    other: Bundle | None,
    own: Sequence[Configuration],
    threads: int,
    photos: Sequence[Photo],
) -> Iterator[Configuration]:
    """The configurations that a baseline's name stands for, with what they are compared with.

    Each is on the canvas of what it is compared with, where its schedule serves that.

    Args:
        name: one of ``baseline_names``.
        wanted: may name a canvas for baselines.
        bundles: those of ``own``.
        other: has the baseline's schedule; None: the bundle of what it is compared with has.
        own: what it is compared with.
        threads: for all of them.
        photos: decide where no canvas is named.
    """
    if ":" in name or name in COST_ONLY:
        yield replace(_without_bundle(name, threads), compared_with=tuple(v.name for v in own))
        return
    compared = [v for v in own if name != CROPPED or v.subject.schedule not in (None, *_UNCUT)]
    if not compared:
        raise SubjectError(
            f"{CROPPED} is for schedules of levels; name one with --schedule, such as all"
        )
    for one in compared:
        bundle = other or next(v for v in bundles if str(v.folder) == one.model["bundle"])
        engine = None if other else one.model["engine"]
        schedule = _schedule(name, bundle, one)
        canvas = wanted.baseline_canvas or _served(bundle, schedule, one.subject.canvas)
        found = of_bundle(bundle, engine, schedule, canvas, threads, photos)
        yield replace(found, compared_with=(one.name,))


def _schedule(name: str, bundle: Bundle, compared: Configuration) -> str:
    """The schedule of a bundle that a baseline's name stands for.

    Raises:
        SubjectError: the bundle lacks it.
    """
    stands_for = {FULLNET: _FULL, CROPPED: f"{compared.subject.schedule}{_INPUT_ONLY}"}
    schedule = stands_for.get(name, name)
    there = bundle.manifest.schedules
    if any(v.name == schedule for v in there):
        return schedule
    if name not in stands_for:
        raise SubjectError(
            f"there is no baseline {name!r}; give {FULLNET}, {CROPPED}, {', '.join(COST_ONLY)}, "
            f"FILE.py:NAME, or a schedule of {bundle.folder}: {', '.join(v.name for v in there)}"
        )
    exported = [_at(v.name, v.canvas) for v in there]
    lacking = _at(schedule, compared.subject.canvas or there[0].canvas)
    raise SubjectError(
        f"{bundle.folder} lacks the schedule that {name} needs; export it with: tracenet-export "
        f"--schedule {' '.join((*exported, lacking))}"
    )


def _at(schedule: str, canvas: Size) -> str:
    return f"{schedule}@{canvas[0]}x{canvas[1]}"


def _served(bundle: Bundle, schedule: str, canvas: Size | None) -> Size | None:
    """The canvas, if the schedule serves it."""
    named = (v for v in bundle.manifest.schedules if v.name == schedule)
    return canvas if canvas and any(v.serves_canvas(*canvas) for v in named) else None


def _without_bundle(name: str, threads: int) -> Configuration:
    outside = ":" in name
    file = name.rpartition(":")[0]
    if outside and file.endswith(".py") and not Path(file).is_file():
        raise SubjectError(f"there is no file {file}; --baseline takes FILE.py:NAME")
    subject = Subject(
        name=f"{name} {counted_threads(threads)}",
        kind="outside" if outside else "cost-only",
        source=name,
        network=None if outside else name,
        target=None,
        precision=None,
        engine=None,
        engine_says={},
        schedule=None,
        canvas=None,
        threads=threads,
    )
    kind = {"kind": subject.kind, "where" if outside else "name": name}
    return Configuration(subject, {**kind, "threads": threads})
