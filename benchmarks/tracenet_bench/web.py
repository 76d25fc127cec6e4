"""The command that times taps in a browser beside the native engine's, on the same taps in turn."""

from __future__ import annotations

import argparse
import contextlib
import random
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from tracenet_bench.counting_server import CountingServer
from tracenet_demo.assets import Asset, read_assets
from tracenet_demo.cli import DEFAULT_BUNDLE, PAGE
from tracenet_runtime import TapSegmenter, TraceNetError, load_photo
from tracenet_runtime.tool import run_tool, thread_count, whole_number
from tracenet_runtime.zoom import ZOOM

if TYPE_CHECKING:
    from playwright.sync_api import Page

EXAMPLE = """example:
  python -m tracenet_bench.web --photo photo.jpg --taps 10 --threads 1"""

BLOCKS = 20
"""Native and browser take turns after all taps: seldom enough that caches are warm, often enough
that a machine whose speed drifts slows both."""

_WARM_UP = 2
_SEED = 0
_PHOTO = "photo-of-the-benchmark"

# The mask is read, because it is made at its first use, and native taps make theirs.
_TAP_ALL = """async taps => {
  const { segmenter } = window.tracenet;
  const taken = [];
  for (const [x, y] of taps) {
    const start = performance.now();
    const result = await segmenter.tap(x, y);
    const size = result.mask.length;
    taken.push({ milliseconds: performance.now() - start, stages: result.timingsMs, size });
  }
  return taken;
}"""
_ENCODE = f"async () => window.tracenet.segmenter.encode(await (await fetch('{_PHOTO}')).blob())"

Tap = tuple[int, int]


class BrowserError(TraceNetError):
    """There is no browser, or its page did not load."""


@dataclass
class Taken:
    """Milliseconds of taps in turn, in all and by stage."""

    milliseconds: list[float] = field(default_factory=list)
    stages: dict[str, float] = field(default_factory=dict)

    def add(self, milliseconds: float, stages: Mapping[str, float]) -> None:
        """Another tap's; what no stage took is ``other``."""
        from tracenet_bench.tables import sum_by_stage

        self.milliseconds.append(milliseconds)
        parts = sum_by_stage({name: ms for name, ms in stages.items() if name != "total"})
        for name, ms in {**parts, "other": milliseconds - sum(parts.values())}.items():
            self.stages[name] = self.stages.get(name, 0.0) + ms


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
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
    # What the page answers with, by name: else another schedule might encode the photo here.
    default = TapSegmenter.load(arguments.bundle, threads=arguments.threads, verify=False)
    schedule = ZOOM if default.zooms else default.choice(height, width).schedule.name
    native = TapSegmenter.load(arguments.bundle, threads=arguments.threads, schedule=schedule)
    encoded = native.encode(photo)
    assets = read_assets(PAGE, arguments.bundle)
    assets[_PHOTO] = Asset(arguments.photo.read_bytes(), _PHOTO)
    draw = random.Random(_SEED)
    taps = [(draw.randrange(width), draw.randrange(height)) for _ in range(arguments.taps)]

    def tap_natively(at: Tap) -> tuple[float, Mapping[str, float]]:
        start = perf_counter()
        result = encoded.tap(at)
        return 1000 * (perf_counter() - start), result.timings_ms

    with CountingServer(assets, "127.0.0.1", 0) as server, _chromium() as page:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page.goto(f"http://localhost:{server.server_port}/?threads={arguments.threads}")
        page.evaluate("() => window.tracenet.ready.then(() => null)")
        until_ready = server.sent
        page.evaluate("() => window.tracenet.offline")
        print(
            f"first load: {until_ready / 1e6:.2f} MB until taps are answered, "
            f"{server.sent / 1e6:.2f} MB with what is kept for offline use"
        )
        threads = page.evaluate("window.tracenet.segmenter.engineReport.threads")
        if threads != arguments.threads:
            raise BrowserError(f"The page runs on {threads} threads; give --threads {threads}.")
        page.evaluate(_ENCODE)
        in_browser, natively = _in_turn(page, tap_natively, taps)
        server.shutdown()
    print(_table(in_browser, natively, len(taps)))


def _in_turn(
    page: Page, tap_natively: Callable[[Tap], tuple[float, Mapping[str, float]]], taps: list[Tap]
) -> tuple[Taken, Taken]:
    in_browser, natively = Taken(), Taken()
    for block in range(-_WARM_UP, BLOCKS):
        shown = page.evaluate(_TAP_ALL, taps)
        called = [tap_natively(at) for at in taps]
        if block >= 0:
            for tap in shown:
                in_browser.add(tap["milliseconds"], tap["stages"])
            for milliseconds, stages in called:
                natively.add(milliseconds, stages)
    return in_browser, natively


def _table(in_browser: Taken, natively: Taken, taps: int) -> str:
    from tracenet_bench.markdown import table_markdown
    from tracenet_bench.statistics import median_interval, paired_ratio
    from tracenet_bench.tables import Row, Table, stage_names
    from tracenet_bench.texts import percent, with_interval

    both = {"Chromium": in_browser, "native": natively}
    names = stage_names([taken.stages for taken in both.values()])
    rows = []
    for name, taken in both.items():
        times = taken.milliseconds
        median = sorted(times)[len(times) // 2]
        shares = [taken.stages.get(stage, 0.0) / sum(times) for stage in names]
        cells = (with_interval(median, median_interval(times, taps, _SEED)), *map(percent, shares))
        rows.append(Row(name, cells))
    ratio = with_interval(
        *paired_ratio(in_browser.milliseconds, natively.milliseconds, taps, _SEED)
    )
    note = (
        f"{BLOCKS} times {taps} taps, in turn; a tap in Chromium takes {ratio} times a native one."
    )
    return table_markdown(Table(("", "median tap, ms", *names), tuple(rows), (note,)))


@contextlib.contextmanager
def _chromium() -> Iterator[Page]:
    from playwright.sync_api import sync_playwright

    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    with sync_playwright() as driver:
        if found is None and not Path(driver.chromium.executable_path).exists():
            raise BrowserError("No Chromium is installed; run: playwright install chromium")
        browser = driver.chromium.launch(executable_path=found)
        page = browser.new_page()
        page.set_default_timeout(120_000)
        yield page
        browser.close()


if __name__ == "__main__":
    sys.exit(main())
