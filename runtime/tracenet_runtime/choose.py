"""Which schedule answers a photo, and on which canvas: the rule of docs/bundle.md."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tracenet_runtime.errors import BundleError
from tracenet_runtime.manifest import Manifest
from tracenet_runtime.schedule import Schedule
from tracenet_runtime.zoom import ZOOM
from tracenet_runtime.zoom_rule import ZoomRule


@dataclass(frozen=True)
class Choice:
    """A schedule, and the canvas to run it on: height and width in pixels."""

    schedule: Schedule
    height: int
    width: int


@dataclass(frozen=True)
class Loadable:
    """What taps may be answered with: by ``zoom``, if there is any, else by ``schedules``.

    ``schedules`` are in the order in which ``choose`` prefers them, those of the zoom among them.
    """

    schedules: tuple[Schedule, ...]
    zoom: ZoomRule | None

    def programs(self) -> list[str]:
        """The names of all programs that may run."""
        return sorted(frozenset[str]().union(*(v.programs() for v in self.schedules)))


def loadable(manifest: Manifest, name: str | None, canvas: tuple[int, int] | None) -> Loadable:
    """What a bundle has under a name, or of any name, on a canvas (height, width), or on any.

    Where neither is given, a bundle with a zoom zooms, and has beside it what encodes photos.
    Raises ``BundleError`` when there is none, and lists what there is.
    """
    zoom = manifest.zoom
    if name == ZOOM and zoom is None:
        raise BundleError(
            f"The bundle has no {ZOOM!r}; it has {_listed(v.name for v in manifest.schedules)}."
        )
    if name == ZOOM and canvas is not None:
        raise BundleError(f"{ZOOM!r} has canvases of its own; leave the canvas out.")
    if zoom is not None and canvas is None and name in (None, ZOOM):
        looks = {zoom.first, zoom.tile}
        schedules = [
            schedule
            for number, schedule in enumerate(manifest.schedules)
            if number in looks or (name is None and schedule.encode)
        ]
        return Loadable(tuple(schedules), zoom)
    return Loadable(_loadable_schedules(manifest.schedules, name, canvas), None)


def _loadable_schedules(
    schedules: Sequence[Schedule], name: str | None, canvas: tuple[int, int] | None
) -> tuple[Schedule, ...]:
    named = [schedule for schedule in schedules if name in (None, schedule.name)]
    if not named:
        raise BundleError(
            f"The bundle has no schedule {name!r}; it has {_listed(v.name for v in schedules)}."
        )
    if canvas is None:
        return _first_of_each_canvas(named)
    for schedule in named:
        if schedule.serves_canvas(*canvas):
            return (schedule,)
    who = "The bundle" if name is None else f"The schedule {name!r}"
    raise BundleError(
        f"{who} does not serve a canvas of {canvas[0]} x {canvas[1]} pixels (height x width); "
        f"it serves {_listed(map(_served_canvases, named))}."
    )


def choose(
    schedules: Iterable[Schedule],
    photo: tuple[int, int],
    canvas: tuple[int, int] | None = None,
) -> Choice:
    """The schedule and the canvas for a photo of this height and width.

    With a canvas (height, width) the first schedule that serves it. Otherwise the canvas on which
    the photo is largest without being enlarged, or if it is enlarged on all of them, on which it is
    smallest; of equal ones the first. Raises ``ValueError`` when nothing serves the canvas, which
    cannot be for what ``loadable`` returned.
    """
    if canvas is not None:
        for schedule in schedules:
            if schedule.serves_canvas(*canvas):
                return Choice(schedule, *canvas)
        raise ValueError(f"no schedule serves a canvas of {canvas[0]} x {canvas[1]} pixels")

    def size(choice: Choice) -> float:
        """Canvas pixels per photo pixel; sides are too small for two ratios to round to one."""
        return min(choice.height / photo[0], choice.width / photo[1])

    candidates = [
        max(_upright_and_turned(schedule), key=size)
        for schedule in _first_of_each_canvas(schedules)
    ]
    return max(candidates, key=lambda v: (1, size(v)) if size(v) <= 1 else (0, -size(v)))


def _first_of_each_canvas(schedules: Iterable[Schedule]) -> tuple[Schedule, ...]:
    first: dict[tuple[int, int], Schedule] = {}
    for schedule in schedules:
        first.setdefault(schedule.canvas, schedule)
    return tuple(first.values())


def _upright_and_turned(schedule: Schedule) -> Iterator[Choice]:
    height, width = schedule.canvas
    yield Choice(schedule, height, width)
    if schedule.serves_canvas(width, height):
        yield Choice(schedule, width, height)


def _served_canvases(schedule: Schedule) -> str:
    sides = (schedule.serves.height, schedule.serves.width)
    if all(side.least == side.most for side in sides):
        return f"{sides[0].least} x {sides[1].least}"
    return (
        " x ".join(f"{side.least}-{side.most}" for side in sides)
        + f" in multiples of {sides[0].multiple}"
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))
