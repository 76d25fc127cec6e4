"""Which schedule and canvas answer a photo."""

from dataclasses import replace

import pytest
from runtime_fixtures import parsed_tiny, tiny_schedule

from tracenet_runtime.bundle.choice import choose_strategy
from tracenet_runtime.bundle.records import Manifest
from tracenet_runtime.errors import BundleError
from tracenet_runtime.graph.schedule import Schedule, Served, SideRange
from tracenet_runtime.strategies.rules import SingleRule, StrategyRule, ZoomRule
from tracenet_runtime.strategies.single import Single, choose
from tracenet_runtime.strategies.zoom import Zoom


def schedule(name: str, height: int, width: int, least: int = 0, most: int = 0) -> Schedule:
    """One that serves its canvas only, or all sides from ``least`` to ``most``."""
    ranges = [SideRange(least or side, most or side, 32) for side in (height, width)]
    served = Served(*ranges)
    return replace(
        tiny_schedule("P3"), name=name, canvas_height=height, canvas_width=width, serves=served
    )


SMALL, SMALL_P4 = schedule("all", 384, 384), schedule("P4", 384, 384)
MIDDLE = schedule("all", 640, 640)
LARGE = schedule("all", 1536, 2048, 640, 2048)
LARGE_P4 = schedule("P4", 1536, 2048)
WARM = replace(tiny_schedule("warm"), name="warm")
BUNDLE = (SMALL, SMALL_P4, MIDDLE, LARGE, LARGE_P4)


def manifest(*schedules: Schedule, rule: StrategyRule | None = None) -> Manifest:
    every = SingleRule(tuple(range(len(schedules))))
    return replace(parsed_tiny()[0], schedules=schedules, strategy=rule or every)


def chosen_schedules(
    schedules: tuple[Schedule, ...], name: str | None, canvas: tuple[int, int] | None
) -> tuple[Schedule, ...]:
    found = choose_strategy(manifest(*schedules), name, canvas)
    assert isinstance(found, Single)
    return found.schedules


@pytest.mark.parametrize(
    ("photo", "expected"),
    [
        ((100, 100), (SMALL, 384, 384)),  # enlarged everywhere: the smallest
        ((384, 300), (SMALL, 384, 384)),  # as large as it is
        ((500, 400), (SMALL, 384, 384)),  # the others would enlarge it
        ((640, 640), (MIDDLE, 640, 640)),
        ((1535, 2047), (MIDDLE, 640, 640)),
        ((1536, 2048), (LARGE, 1536, 2048)),
        ((3000, 4000), (LARGE, 1536, 2048)),
        ((4000, 3000), (LARGE, 2048, 1536)),  # turned
        ((4000, 4000), (LARGE, 1536, 2048)),  # no larger when turned
    ],
)
def test_largest_that_does_not_enlarge(
    photo: tuple[int, int], expected: tuple[Schedule, int, int]
) -> None:
    (choice,) = choose_strategy(manifest(*BUNDLE)).choices(photo)
    assert (choice.schedule, choice.height, choice.width) == expected


def test_a_canvas_that_is_not_served_turned_stays() -> None:
    choice = choose(chosen_schedules(BUNDLE, "P4", None), (4000, 3000))
    assert (choice.schedule, choice.height, choice.width) == (LARGE_P4, 1536, 2048)


def test_of_equal_canvases_the_first() -> None:
    wide, tall = schedule("a", 320, 640), schedule("b", 640, 320)
    assert choose((wide, tall), (1000, 1000)).schedule is wide
    assert choose((tall, wide), (1000, 1000)).schedule is tall
    assert choose((tall, wide), (100, 100)).schedule is tall


def test_scales_are_compared_exactly() -> None:
    """640 / 1920 and 480 / 1440 are one third; as floats of other quotients they might differ."""
    one, other = schedule("a", 480, 640), schedule("b", 480, 1024)
    assert choose((other, one), (1440, 1920)).schedule is other
    assert choose((one, other), (1440, 1920)).schedule is one


def test_what_may_be_loaded() -> None:
    assert chosen_schedules(BUNDLE, None, None) == (SMALL, MIDDLE, LARGE)
    assert chosen_schedules(BUNDLE, "P4", None) == (SMALL_P4, LARGE_P4)
    assert chosen_schedules(BUNDLE, None, (384, 384)) == (SMALL,)
    assert chosen_schedules(BUNDLE, "P4", (384, 384)) == (SMALL_P4,)
    assert chosen_schedules(BUNDLE, None, (640, 640)) == (MIDDLE,)
    assert chosen_schedules(BUNDLE, None, (2048, 704)) == (LARGE,)
    (choice,) = choose_strategy(manifest(*BUNDLE), None, (2048, 704)).choices((10, 10))
    assert (choice.schedule, choice.height, choice.width) == (LARGE, 2048, 704)
    only = choose_strategy(manifest(*BUNDLE, rule=SingleRule((1, 3))))
    assert only.schedules == (SMALL_P4, LARGE)


def test_an_unknown_name_lists_the_names() -> None:
    with pytest.raises(BundleError, match=r"no schedule 'warm'; it has all, P4\.$"):
        chosen_schedules(BUNDLE, "warm", None)


@pytest.mark.parametrize("canvas", [(640, 656), (608, 640), (2048, 2080), (1, 1)])
def test_a_canvas_that_nobody_serves_lists_those_that_are(canvas: tuple[int, int]) -> None:
    with pytest.raises(
        BundleError, match="384 x 384, 640 x 640, 640-2048 x 640-2048 in multiples of 32, 1536 x"
    ):
        chosen_schedules(BUNDLE, None, canvas)
    with pytest.raises(BundleError, match=r"'P4' does not .* serves 384 x 384, 1536 x 2048"):
        chosen_schedules(BUNDLE, "P4", canvas)


def test_a_bundle_with_a_zoom_zooms() -> None:
    rule = ZoomRule(2, 0, extent=100, enlarge=4, gain=1, inside=0.8, trust=0.5)
    bundle = manifest(SMALL, SMALL_P4, MIDDLE, WARM, rule=rule)
    for name in ("zoom", None):
        zoom = choose_strategy(bundle, name)
        assert zoom == Zoom(MIDDLE, SMALL, rule)
        assert zoom.schedules == (MIDDLE, SMALL)
    for name, canvas in (("all", None), (None, (640, 640)), ("P4", None), ("warm", None)):
        assert isinstance(choose_strategy(bundle, name, canvas), Single)
    with pytest.raises(BundleError, match="canvases of its own"):
        choose_strategy(bundle, "zoom", (640, 640))
    with pytest.raises(BundleError, match="no schedule 'zoom'; it has all"):
        choose_strategy(manifest(SMALL), "zoom")
