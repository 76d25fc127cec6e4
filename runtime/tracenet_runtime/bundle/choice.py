"""Which strategy answers taps: the bundle's own, or what a user names."""

from collections.abc import Iterable, Sequence

from tracenet_runtime.bundle.records import Manifest
from tracenet_runtime.errors import BundleError
from tracenet_runtime.graph.schedule import Schedule
from tracenet_runtime.image.geometry import Size
from tracenet_runtime.strategies.guided import Guided
from tracenet_runtime.strategies.rules import GuidedRule, SingleRule, StrategyRule
from tracenet_runtime.strategies.single import Single, first_of_each_canvas
from tracenet_runtime.strategies.strategy import Strategy
from tracenet_runtime.strategies.zoom import ZOOM, Zoom


def choose_strategy(
    manifest: Manifest, name: str | None = None, canvas: Size | None = None
) -> Strategy:
    """What answers taps where a strategy or schedule, or a canvas (height, width), is named.

    Raises ``BundleError`` when the bundle has no such thing, and lists what there is.
    """
    own = own_strategy(manifest.schedules, manifest.strategy)
    if name is not None and name == own.name:
        if canvas is not None:
            raise BundleError(f"{name!r} has canvases of its own; leave the canvas out.")
        return own
    if name is None and canvas is None:
        return own
    if name == ZOOM and canvas is None and isinstance(own, Guided):
        return Zoom(own.first, own.tile, own.rule.zoom)
    schedules = manifest.schedules
    named = tuple(schedule for schedule in schedules if name in (None, schedule.name))
    if not named:
        raise BundleError(
            f"The bundle has no schedule {name!r}; it has {_listed(v.name for v in schedules)}."
        )
    if canvas is None:
        return Single(first_of_each_canvas(named))
    for schedule in named:
        if schedule.serves_canvas(*canvas):
            return Single((schedule,), canvas)
    who = "The bundle" if name is None else f"The schedule {name!r}"
    raise BundleError(
        f"{who} does not serve a canvas of {canvas[0]} x {canvas[1]} pixels (height x width); "
        f"it serves {_listed(map(_served_canvases, named))}."
    )


def own_strategy(schedules: Sequence[Schedule], rule: StrategyRule) -> Strategy:
    """What answers taps unless a user names something else."""
    if isinstance(rule, SingleRule):
        return Single(first_of_each_canvas(schedules[number] for number in rule.schedules))
    if isinstance(rule, GuidedRule):
        return Guided(schedules[rule.zoom.first], schedules[rule.zoom.tile], rule)
    return Zoom(schedules[rule.first], schedules[rule.tile], rule)


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
