"""The command that times taps and frames in a browser beside the native engine's, in turn."""

from __future__ import annotations

import argparse
import contextlib
import random
import shutil
import statistics
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Literal

from tracenet_bench.measure.browser.clips import clip_as_picture, next_in_browser, open_in_browser
from tracenet_bench.measure.browser.server import CountingServer
from tracenet_bench.measure.clips import SETTLED, ClipOfPhoto, followed
from tracenet_bench.measure.corrections import Photo, place_to_correct
from tracenet_demo.assets import Asset, read_assets
from tracenet_demo.cli import DEFAULT_BUNDLE, PAGE
from tracenet_runtime import PhotoSession, TapResult, TapSegmenter, TraceNetError, load_photo
from tracenet_runtime.tool import ToolParser, print_results, run_tool, thread_count, whole_number

if TYPE_CHECKING:
    from playwright.sync_api import Page

EXAMPLE = """example:
  python -m tracenet_bench.measure.browser --photo photo.jpg --taps 10 --threads 1"""

BLOCKS = 20
"""Native and browser take turns after all taps: seldom enough that caches are warm, often enough
that a machine whose speed drifts slows both."""

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
"""Of the system; where it has none, Playwright's own is used, if it was installed."""

IN_BROWSER, OPEN, COLD = "Chromium", "native, photo open", "native, photo new to each tap"
STREAM = "native, in a stream"

_WARM_UP = 2
_SEED = 0
_PHOTO, _CLIP = "photo-of-the-benchmark", "clip-of-the-benchmark.png"

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
_OPEN = f"""async () => {{
  const photo = await (await fetch('{_PHOTO}')).blob();
  window.session = await window.tracenet.segmenter.open(photo);
}}"""

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


class BrowserError(TraceNetError):
    """There is no browser, or its page did not load."""


@dataclass
class Taken:
    """Milliseconds of one kind in turn, in all and by stage."""

    milliseconds: list[float] = field(default_factory=list)
    stages: dict[str, float] = field(default_factory=dict)

    def add(self, timed: Timed) -> None:
        """Another one's; what no stage took is ``other``."""
        from tracenet_bench.report.tables import sum_by_stage

        self.milliseconds.append(timed.milliseconds)
        if not timed.stages:
            return
        parts = sum_by_stage({name: ms for name, ms in timed.stages.items() if name != "total"})
        for name, ms in {**parts, "other": timed.milliseconds - sum(parts.values())}.items():
            self.stages[name] = self.stages.get(name, 0.0) + ms


Ways = Mapping[str, Mapping[Timeable, Taken]]
"""By name of the way, then of what it took."""


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = ToolParser(
        prog="python -m tracenet_bench.measure.browser",
        description="Time taps, corrections and frames of clips in Chromium beside ONNX Runtime's "
        "on this machine.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--bundle", type=Path, default=DEFAULT_BUNDLE, metavar="DIR", help="default: the page's own"
    )
    parser.add_argument("--photo", type=Path, required=True, metavar="FILE")
    parser.add_argument(
        "--taps", type=whole_number(1, 1000), default=10, help="random ones (default: 10)"
    )
    parser.add_argument("--threads", type=thread_count, default=1, help="default: %(default)s")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Entry point. Returns the exit code."""
    arguments = build_parser().parse_args(argv)
    return run_tool("web", "dev", lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> None:
    photo = load_photo(arguments.photo)
    height, width = photo.shape[:2]
    native = TapSegmenter.load(arguments.bundle, threads=arguments.threads)
    assets = read_assets(PAGE, arguments.bundle)
    assets[_PHOTO] = Asset(arguments.photo.read_bytes(), _PHOTO)
    draw = random.Random(_SEED)
    session = native.open(photo)
    places = [(draw.randrange(width), draw.randrange(height)) for _ in range(arguments.taps)]
    taps = [
        Tap(at, place_to_correct(native, photo, at) if session.corrects else None) for at in places
    ]
    tracks = native.bundle.manifest.tracking is not None
    if tracks:
        clip = ClipOfPhoto(photo)
        assets[_CLIP] = Asset(clip_as_picture(clip), _CLIP)

    with CountingServer(assets, "127.0.0.1", 0) as server, _chromium() as page:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page.goto(f"http://localhost:{server.server_port}/?threads={arguments.threads}")
        page.evaluate("() => window.tracenet.ready.then(() => null)")
        until_ready = server.sent
        page.evaluate("() => window.tracenet.offline")
        print_results(
            f"first load: {until_ready / 1e6:.2f} MB until taps are answered, "
            f"{server.sent / 1e6:.2f} MB with what is kept for offline use"
        )
        threads = page.evaluate("window.tracenet.segmenter.engineReport.threads")
        if threads != arguments.threads:
            raise BrowserError(f"The page runs on {threads} threads; give --threads {threads}.")
        page.evaluate(_OPEN)
        ways: dict[str, TapAll] = {
            IN_BROWSER: partial(_tap_in_browser, page, tracks=tracks),
            OPEN: partial(_tap_in_session, session),
            COLD: partial(_tap_natively, native, photo),
        }
        if tracks:
            open_in_browser(page, clip, _CLIP)
            ways[STREAM] = partial(_take_frames, islice(followed(native, clip), SETTLED, None))
        taken = _in_turn(ways, taps)
        server.shutdown()
    corrected = sum(tap.place is not None for tap in taps)
    tables = [
        _table(taken, name, corrected if name in ("correction", "undo") else len(taps))
        for name in taken[IN_BROWSER]
    ]
    print_results("\n\n".join(tables))


def _tap_in_browser(page: Page, taps: Sequence[Tap], tracks: bool) -> Iterator[Timed]:
    for it in page.evaluate(_TAP_ALL, [vars(tap) for tap in taps]):
        yield from _known(Timed(it["name"], it["milliseconds"], it["stages"]))
    if tracks:
        yield from _take_frames(next_in_browser(page, len(taps)), taps)


def _tap_in_session(session: PhotoSession, taps: Sequence[Tap]) -> Iterator[Timed]:
    for tap in taps:
        session.clear()
        if session.corrects:
            session.box((0, 0, 1, 1))
            session.clear()
        yield from _timed("tap", partial(session.tap, tap.at))
        if tap.place is not None:
            yield from _timed("correction", partial(session.tap, tap.place, positive=False))
            yield from _timed("undo", session.undo)


def _tap_natively(native: TapSegmenter, photo: Photo, taps: Sequence[Tap]) -> Iterator[Timed]:
    for tap in taps:
        yield from _timed("tap", partial(native.tap, photo, tap.at))


def _take_frames(frames: Iterable[float], taps: Sequence[Tap]) -> Iterator[Timed]:
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


def _in_turn(ways: Mapping[str, TapAll], taps: Sequence[Tap]) -> Ways:
    taken: dict[str, dict[Timeable, Taken]] = {name: {} for name in ways}
    for block in range(-_WARM_UP, BLOCKS):
        for name, tap_all in ways.items():
            for timed in tap_all(taps):
                if block >= 0:
                    taken[name].setdefault(timed.name, Taken()).add(timed)
    return taken


def _table(ways: Ways, what: Timeable, taps: int) -> str:
    """Of what so many of the taps have."""
    from tracenet_bench.measure.statistics import median_interval, paired_ratio
    from tracenet_bench.report.markdown import table_markdown
    from tracenet_bench.report.tables import Row, Table, stage_names
    from tracenet_bench.report.texts import NONE, percent, with_interval

    taken = {name: way[what] for name, way in ways.items() if what in way}
    names = stage_names([way.stages for way in taken.values()])
    in_browser = taken[IN_BROWSER].milliseconds
    rows = []
    for name, way in taken.items():
        times = way.milliseconds
        median = with_interval(statistics.median(times), median_interval(times, taps, _SEED))
        ratio = with_interval(*paired_ratio(in_browser, times, taps, _SEED))
        shares = [percent(way.stages.get(stage, 0.0) / sum(times)) for stage in names]
        rows.append(Row(name, (median, NONE if name == IN_BROWSER else ratio, *shares)))
    note = f"{BLOCKS} times {taps} taps in turn, in Chromium on an open photo."
    if what == "frame":
        note = f"{BLOCKS} times {taps} frames in turn, of a stream at 480p with one thing."
    headings = ("", f"median {what}, ms", "Chromium takes times that", *names)
    return table_markdown(Table(headings, tuple(rows), (note,)))


@contextlib.contextmanager
def _chromium() -> Iterator[Page]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        found = CHROMIUM or driver.chromium.executable_path
        if not Path(found).exists():
            raise BrowserError("No Chromium is installed; run: playwright install chromium")
        browser = driver.chromium.launch(executable_path=found)
        page = browser.new_page()
        page.set_default_timeout(120_000)
        yield page
        browser.close()
