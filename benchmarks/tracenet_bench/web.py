"""The command that times taps in a browser beside the native engine's, on the same taps in turn."""

from __future__ import annotations

import argparse
import contextlib
import random
import shutil
import statistics
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from tracenet_bench.counting_server import CountingServer
from tracenet_demo.assets import Asset, read_assets
from tracenet_demo.cli import DEFAULT_BUNDLE, PAGE
from tracenet_runtime import PhotoSession, TapResult, TapSegmenter, TraceNetError, load_photo
from tracenet_runtime.tool import ToolParser, print_results, run_tool, thread_count, whole_number

if TYPE_CHECKING:
    from playwright.sync_api import Page

EXAMPLE = """example:
  python -m tracenet_bench.web --photo photo.jpg --taps 10 --threads 1"""

BLOCKS = 20
"""Native and browser take turns after all taps: seldom enough that caches are warm, often enough
that a machine whose speed drifts slows both."""

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
"""Of the system; where it has none, Playwright's own is used, if it was installed."""

IN_BROWSER, OPEN, COLD = "Chromium", "native, photo open", "native, photo new to each tap"

_WARM_UP = 2
_SEED = 0
_PHOTO = "photo-of-the-benchmark"

# The mask is read, here and natively, because it is made at its first use; and each tap begins a
# new thing, where a guided look would correct the one before.
_TAP_ALL = """async taps => {
  const taken = [];
  for (const [x, y] of taps) {
    await window.session.clear();
    const start = performance.now();
    const result = await window.session.tap(x, y);
    const size = result.mask.length;
    taken.push({ milliseconds: performance.now() - start, stages: result.timingsMs, size });
  }
  return taken;
}"""
_OPEN = f"""async () => {{
  const photo = await (await fetch('{_PHOTO}')).blob();
  window.session = await window.tracenet.segmenter.open(photo);
}}"""

Tap = tuple[int, int]
Stages = Mapping[str, float]
TapAll = Callable[[Sequence[Tap]], Iterable[tuple[float, Stages]]]
"""Milliseconds of each tap, in all and by stage."""


class BrowserError(TraceNetError):
    """There is no browser, or its page did not load."""


@dataclass
class Taken:
    """Milliseconds of taps in turn, in all and by stage."""

    milliseconds: list[float] = field(default_factory=list)
    stages: dict[str, float] = field(default_factory=dict)

    def add(self, milliseconds: float, stages: Stages) -> None:
        """Another tap's; what no stage took is ``other``."""
        from tracenet_bench.tables import sum_by_stage

        self.milliseconds.append(milliseconds)
        parts = sum_by_stage({name: ms for name, ms in stages.items() if name != "total"})
        for name, ms in {**parts, "other": milliseconds - sum(parts.values())}.items():
            self.stages[name] = self.stages.get(name, 0.0) + ms


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = ToolParser(
        prog="python -m tracenet_bench.web",
        description="Time warm taps in Chromium beside ONNX Runtime's on this machine.",
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
    taps = [(draw.randrange(width), draw.randrange(height)) for _ in range(arguments.taps)]

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
        taken = _in_turn(
            {
                IN_BROWSER: partial(_tap_in_browser, page),
                OPEN: partial(_tap_natively, partial(_begin, native.open(photo))),
                COLD: partial(_tap_natively, partial(native.tap, photo)),
            },
            taps,
        )
        server.shutdown()
    print_results(_table(taken, len(taps)))


def _tap_in_browser(page: Page, taps: Sequence[Tap]) -> Iterator[tuple[float, Stages]]:
    for tap in page.evaluate(_TAP_ALL, taps):
        yield tap["milliseconds"], tap["stages"]


def _begin(session: PhotoSession, at: Tap) -> TapResult:
    session.clear()
    return session.tap(at)


def _tap_natively(
    answer: Callable[[Tap], TapResult], taps: Sequence[Tap]
) -> Iterator[tuple[float, Stages]]:
    for at in taps:
        start = perf_counter()
        result = answer(at)
        _ = result.mask
        yield 1000 * (perf_counter() - start), result.timings_ms


def _in_turn(ways: Mapping[str, TapAll], taps: Sequence[Tap]) -> dict[str, Taken]:
    taken = {name: Taken() for name in ways}
    for block in range(-_WARM_UP, BLOCKS):
        for name, tap_all in ways.items():
            for milliseconds, stages in tap_all(taps):
                if block >= 0:
                    taken[name].add(milliseconds, stages)
    return taken


def _table(taken: Mapping[str, Taken], taps: int) -> str:
    from tracenet_bench.markdown import table_markdown
    from tracenet_bench.statistics import median_interval, paired_ratio
    from tracenet_bench.tables import Row, Table, stage_names
    from tracenet_bench.texts import NONE, percent, with_interval

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
    headings = ("", "median tap, ms", "Chromium takes times that", *names)
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


if __name__ == "__main__":
    sys.exit(main())
