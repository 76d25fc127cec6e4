"""What is asked for, in words: names become recipes on canvases, and a strategy."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tracenet.model import DEFAULT_CANVAS, LEVELS, Level, check_canvas
from tracenet_export.errors import ExportError
from tracenet_export.recipes.cropped import INPUT_ONLY, Cropped
from tracenet_export.recipes.full import Full
from tracenet_export.recipes.guided import Guided
from tracenet_export.recipes.levels import Levels
from tracenet_export.recipes.recipe import Ladder, Recipe
from tracenet_export.recipes.warm import Warm
from tracenet_export.zoom import FIRST_CANVAS, TILE_CANVAS, guided_rule, zoom_rule
from tracenet_runtime.arguments import canvas_size
from tracenet_runtime.strategies.rules import SingleRule, StrategyRule
from tracenet_runtime.strategies.step import GUIDED
from tracenet_runtime.strategies.zoom import ZOOM

Size = tuple[int, int]
"""Height and width."""

_NAMED: dict[str, Recipe] = {
    "all": Levels(LEVELS),
    "warm": Warm(),
    "full": Full(),
    GUIDED: Guided(),
}
_TILES = {ZOOM: "all", GUIDED: GUIDED}
"""Strategies of two schedules -> that of their tiles; the first look is of all levels."""


@dataclass(frozen=True)
class ScheduleRequest:
    """What to plan.

    Attributes:
        recipe: the kind of schedule.
        canvas: height and width.
        ladder: mask windows, smallest first.
        chosen: they were asked for; of a default ladder those that save little are left out.
        halo: the share of the halo that windows keep, above 0; 1 is exact.
    """

    recipe: Recipe
    canvas: Size
    ladder: Ladder
    chosen: bool = False
    halo: float = 1.0

    @property
    def name(self) -> str:
        """Of the schedule."""
        return self.recipe.name

    @property
    def levels(self) -> tuple[Level, ...]:
        """Which levels are asked, finest first."""
        return self.recipe.levels


def parse_schedule(
    text: str, canvas: Size, ladder: Sequence[int | None] = (), halo: float = 1.0
) -> ScheduleRequest:
    """``all``, ``warm``, ``full``, ``P4``, ``P3,P5``, ``P3-P5`` or ``P3-P5/input`` -> what to plan.

    Args:
        text: the schedule.
        canvas: height and width.
        ladder: mask windows; the recipe's own by default.
        halo: the share of the halo that windows keep. `full` has no windows and is always exact.

    Raises:
        ExportError: a name is no level, or a window does not fit the finest level.
    """
    recipe = _recipe(text.strip().lower())
    halo = halo if recipe.has_windows else 1.0
    return ScheduleRequest(recipe, canvas, recipe.ladder(ladder), bool(ladder), halo)


def _recipe(name: str) -> Recipe:
    uncropped = name.removesuffix(INPUT_ONLY)
    if name == uncropped or uncropped in ("warm", "full"):
        return _NAMED.get(name) or Levels(parse_levels(name))
    return Cropped(Levels(LEVELS if uncropped == "all" else parse_levels(uncropped)))


def parse_levels(text: str) -> tuple[Level, ...]:
    """``P3,P4,P5`` or ``P3-P5`` -> levels, finest first.

    Raises:
        ExportError: a name is no level.
    """
    names = [level.name for level in LEVELS]
    chosen: set[str] = set()
    for part in text.upper().replace(" ", "").split(","):
        first, dash, last = part.partition("-")
        last = last if dash else first
        if first not in names or last not in names:
            raise ExportError(
                f"{part!r} is no level; give some of {','.join(names)}, or `all`, `warm` or `full`"
            )
        if names.index(first) > names.index(last):
            raise ExportError(f"{part!r} names no level; the coarser one comes last, as in P3-P5")
        chosen.update(names[names.index(first) : names.index(last) + 1])
    return tuple(level for level in LEVELS if level.name in chosen)


def parse_requests(
    schedules: Sequence[str] = (),
    canvas: Size | None = None,
    windows: str | None = None,
    halo: float = 1.0,
    default: str = ZOOM,
) -> tuple[list[ScheduleRequest], StrategyRule]:
    """The schedules that are asked for, and what a tap does with them.

    Args:
        schedules: such as ``guided``, ``zoom``, ``all``, ``P3@640x640``; by default the default, or
            ``all`` on a canvas that is named.
        canvas: height and width of schedules that name none; the shipped weights' by default.
        windows: see ``parse_windows``.
        halo: see ``parse_schedule``.
        default: ``zoom`` or ``guided``.

    Raises:
        ExportError: a schedule, canvas or window is none, or a schedule is given twice.
        CanvasError: a canvas does not fit the network.
    """
    ladder = parse_windows(windows)
    if canvas:
        check_canvas(*canvas)
    requests: list[ScheduleRequest] = []
    zooms: list[tuple[str, ScheduleRequest, ScheduleRequest]] = []
    for text in schedules or (["all"] if canvas else [default]):
        name, at, own = text.partition("@")
        if name in _TILES:
            first = parse_canvas(own) if at else FIRST_CANVAS
            look = parse_schedule("all", first, ladder, halo)
            closer = parse_schedule(_TILES[name], TILE_CANVAS, ladder, halo)
            zooms.append((name, look, closer))
            continue
        size = parse_canvas(own) if at else canvas or DEFAULT_CANVAS
        request = parse_schedule(name, size, ladder, halo)
        if any((r.name, r.canvas) == (request.name, request.canvas) for r in requests):
            raise ExportError(f"{text!r} asks a second time for {request.name}; leave one out")
        requests.append(request)
    if len(zooms) > 1:
        raise ExportError("a bundle has one `zoom` or `guided`; leave the others out")
    if zooms and not requests and canvas:
        raise ExportError(
            f"`{zooms[0][0]}` has canvases of its own; leave --canvas out, or give "
            f"{zooms[0][0]}@{canvas[0]}x{canvas[1]} for its first look"
        )
    if not zooms:
        return requests, SingleRule(tuple(range(len(requests))))
    ((name, look, closer),) = zooms
    requests += [v for v in dict.fromkeys((look, closer)) if v not in requests]
    rule = guided_rule if name == GUIDED else zoom_rule
    return requests, rule(requests.index(look), requests.index(closer))


def parse_canvas(text: str) -> Size:
    """``640`` or ``1536x2048`` -> height, width.

    Raises:
        ExportError: it is neither.
        CanvasError: it does not fit the network.
    """
    try:
        size = canvas_size(text)
    except argparse.ArgumentTypeError as error:
        raise ExportError(str(error)) from None
    check_canvas(*size)
    return size


def parse_windows(text: str | None) -> tuple[int | None, ...]:
    """``64,128,all`` -> mask windows, smallest first; None among them is the whole canvas.

    Raises:
        ExportError: an entry is neither ``all`` nor a multiple of 8.
    """
    if text is None:
        return ()

    reaches: set[int | None] = set()
    for part in text.split(","):
        if part == "all":
            reaches.add(None)
        elif re.fullmatch(r"[0-9]{1,9}", part) and int(part) > 0 and int(part) % 8 == 0:
            reaches.add(int(part))
        else:
            raise ExportError(
                f"{part!r} is no mask window; give multiples of 8 pixels or `all`, as in 64,all"
            )
    return tuple(sorted(reaches, key=lambda reach: float("inf") if reach is None else reach))
