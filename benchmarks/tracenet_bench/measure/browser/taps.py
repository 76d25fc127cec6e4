"""Taps, corrections, undoing and frames, timed one by one: in the browser's page and natively."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from time import perf_counter
from typing import TYPE_CHECKING, Literal

from tracenet_bench.measure.browser.clips import next_in_browser
from tracenet_bench.measure.shown import Photo
from tracenet_runtime import PhotoSession, TapResult, TapSegmenter

if TYPE_CHECKING:
    from playwright.sync_api import Page

# The mask is read, here and natively, because it is made at its first use. Each tap begins a new
# thing, where a guided look would correct the one before, and on a tile that is not encoded: a box
# in the photo's corner takes that of the tap before away.
_TAP_ALL = """async taps => {
  const { session } = window;
  const taken = [];
  const take = async (name, answer) => {
    const start = performance.now();
    const result = await answer();
    const size = result.mask.length;
    taken.push({ name, milliseconds: performance.now() - start, stages: result.timingsMs, size });
  };
  for (const { at, place } of taps) {
    await session.clear();
    if (session.corrects) {
      await session.box([0, 0, 1, 1]);
      await session.clear();
    }
    await take("tap", () => session.tap(...at));
    if (place === null) continue;
    await take("correction", () => session.tap(...place, { positive: false }));
    await take("undo", () => session.undo());
  }
  return taken;
}"""

At = tuple[int, int]
Stages = Mapping[str, float]
Timeable = Literal["tap", "encode", "correction", "undo", "frame"]


@dataclass(frozen=True)
class Tap:
    """A tap at (x, y), and where a negative one corrects it on its tile, if one does."""

    at: At
    place: At | None


@dataclass(frozen=True)
class Timed:
    """Milliseconds in all and by stage, where any are known."""

    name: Timeable
    milliseconds: float
    stages: Stages


TapAll = Callable[[Sequence[Tap]], Iterable[Timed]]
"""What makes all taps, with their corrections where it has a session; or takes as many frames."""


def tap_in_browser(page: Page, taps: Sequence[Tap], tracks: bool) -> Iterator[Timed]:
    """On the page's open photo, with corrections, and as many frames of its stream if it tracks."""
    for it in page.evaluate(_TAP_ALL, [vars(tap) for tap in taps]):
        yield from _known(Timed(it["name"], it["milliseconds"], it["stages"]))
    if tracks:
        yield from take_frames(next_in_browser(page, len(taps)), taps)


def tap_in_session(session: PhotoSession, taps: Sequence[Tap]) -> Iterator[Timed]:
    """On an open photo, with corrections; each tap encodes its tile anew, as on the page."""
    for tap in taps:
        session.clear()
        if session.corrects:
            session.box((0, 0, 1, 1))
            session.clear()
        yield from _timed("tap", partial(session.tap, tap.at))
        if tap.place is not None:
            yield from _timed("correction", partial(session.tap, tap.place, positive=False))
            yield from _timed("undo", session.undo)


def tap_natively(native: TapSegmenter, photo: Photo, taps: Sequence[Tap]) -> Iterator[Timed]:
    """On a photo that is new to each tap."""
    for tap in taps:
        yield from _timed("tap", partial(native.tap, photo, tap.at))


def take_frames(frames: Iterable[float], taps: Sequence[Tap]) -> Iterator[Timed]:
    """As many as there are taps, each with the milliseconds that it took."""
    return (Timed("frame", took, {}) for took in islice(frames, len(taps)))


def _timed(name: Timeable, answer: Callable[[], TapResult | None]) -> Iterator[Timed]:
    start = perf_counter()
    result = answer()
    assert result is not None  # what is undone is not the first gesture
    _ = result.mask
    yield from _known(Timed(name, 1000 * (perf_counter() - start), result.timings_ms))


def _known(timed: Timed) -> Iterator[Timed]:
    """It, and what is known by its stages.

    An undo computes nothing: its answer has the stages of the gesture that it returns to.
    """
    yield replace(timed, stages={}) if timed.name == "undo" else timed
    if timed.name == "tap" and "encode" in timed.stages:
        yield Timed("encode", timed.stages["encode"], {})
