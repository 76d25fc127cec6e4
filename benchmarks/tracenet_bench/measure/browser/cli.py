"""The command that times taps and frames in a browser beside the native engine's, in turn."""

from __future__ import annotations

import argparse
import contextlib
import random
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from tracenet_bench.measure.browser.clips import clip_as_picture, open_in_browser
from tracenet_bench.measure.browser.server import CountingServer
from tracenet_bench.measure.browser.taps import (
    Tap,
    TapAll,
    take_frames,
    tap_in_browser,
    tap_in_session,
    tap_natively,
)
from tracenet_bench.measure.browser.turns import (
    COLD,
    IN_BROWSER,
    OPEN,
    SEED,
    STREAM,
    in_turn,
    table_of,
)
from tracenet_bench.measure.clips import SETTLED, ClipOfPhoto, followed
from tracenet_bench.measure.corrections import place_to_correct
from tracenet_demo.assets import Asset, read_assets
from tracenet_demo.cli import DEFAULT_BUNDLE, PAGE
from tracenet_runtime import TapSegmenter, TraceNetError, load_photo
from tracenet_runtime.arguments import tap_count, thread_count
from tracenet_runtime.tool import ToolParser, print_results, run_tool

if TYPE_CHECKING:
    from playwright.sync_api import Page

EXAMPLE = """example:
  python -m tracenet_bench.measure.browser --photo photo.jpg --taps 10 --threads 1"""

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
"""Of the system; where it has none, Playwright's own is used, if it was installed."""

_PHOTO, _CLIP = "photo-of-the-benchmark", "clip-of-the-benchmark.png"

_OPEN = f"""async () => {{
  const photo = await (await fetch('{_PHOTO}')).blob();
  window.session = await window.tracenet.segmenter.open(photo);
}}"""


class BrowserError(TraceNetError):
    """There is no browser, or its page did not load."""


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = ToolParser(
        prog="python -m tracenet_bench.measure.browser",
        description="Time taps, corrections and frames of clips in Chromium beside ONNX Runtime's "
        "on this machine.",
        epilog=EXAMPLE,
    )
    parser.add_argument(
        "--bundle", type=Path, default=DEFAULT_BUNDLE, metavar="DIR", help="default: the page's own"
    )
    parser.add_argument("--photo", type=Path, required=True, metavar="FILE")
    parser.add_argument("--taps", type=tap_count, default=10, help="random ones (default: 10)")
    parser.add_argument("--threads", type=thread_count, default=1, help="default: %(default)s")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Entry point. Returns the exit code."""
    arguments = build_parser().parse_args(argv)
    return run_tool("browser", "dev", lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> None:
    photo = load_photo(arguments.photo)
    height, width = photo.shape[:2]
    native = TapSegmenter.load(arguments.bundle, threads=arguments.threads)
    assets = read_assets(PAGE, arguments.bundle)
    assets[_PHOTO] = Asset(arguments.photo.read_bytes(), _PHOTO)
    draw = random.Random(SEED)
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
            IN_BROWSER: partial(tap_in_browser, page, tracks=tracks),
            OPEN: partial(tap_in_session, session),
            COLD: partial(tap_natively, native, photo),
        }
        if tracks:
            open_in_browser(page, clip, _CLIP)
            ways[STREAM] = partial(take_frames, islice(followed(native, clip), SETTLED, None))
        taken = in_turn(ways, taps)
        server.shutdown()
    corrected = sum(tap.place is not None for tap in taps)
    tables = [
        table_of(taken, name, corrected if name in ("correction", "undo") else len(taps))
        for name in taken[IN_BROWSER]
    ]
    print_results("\n\n".join(tables))


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
