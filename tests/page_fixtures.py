"""The built page, served, and opened as on a phone."""

from __future__ import annotations

import base64
import contextlib
import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from browser_fixtures import PATIENCE, give_up
from demo_fixtures import serving_assets
from PIL import Image
from runtime_fixtures import write_tiny_bundle
from skimage import data

from tracenet_demo.assets import INDEX, Asset, read_assets
from tracenet_demo.cli import DEFAULT_BUNDLE, PAGE
from tracenet_demo.server import DemoServer

PHONE: dict[str, Any] = {
    "viewport": {"width": 360, "height": 800},
    "device_scale_factor": 3,
    "is_mobile": True,
    "has_touch": True,
}
SLOWED = 4
"""How many times slower than this machine a phone's CPU is taken to be."""

READY_FOR_TAPS = "Tap a thing in the photo."

# Modules that import a fixture each make it anew.
_read_once = functools.cache(read_assets)

# One bit per pixel, as numpy packs them.
_LAST_MASK = """() => {
  const { mask, photo } = window.tracenet.lastResult;
  const bits = new Uint8Array(Math.ceil(mask.length / 8));
  mask.forEach((inside, i) => { if (inside) bits[i >> 3] |= 128 >> (i & 7); });
  let text = "";
  for (let i = 0; i < bits.length; i += 32768)
    text += String.fromCharCode(...bits.subarray(i, i + 32768));
  return [btoa(text), photo.height, photo.width];
}"""


# Playwright's own waiting needs eval, which the page's security policy forbids.
_UNTIL_CHANGED = """patience => new Promise((resolve, reject) => {
  const end = performance.now() + patience;
  const look = () => {
    if (window.tracenet.lastResult !== window.before) resolve();
    else if (performance.now() < end) setTimeout(look, 20);
    else reject(new Error(`no answer: ${document.body.innerText}`));
  };
  look();
})"""
_UNTIL_READY = """patience => Promise.race([
  window.tracenet.ready.then(() => null),
  new Promise((_, reject) => setTimeout(
    () => reject(new Error(`not ready: ${document.body.innerText}`)), patience)),
])"""


@pytest.fixture(scope="session")
def built_page() -> Path:
    """The folder of the page that `make page` built, beside its bundle."""
    if not ((PAGE / INDEX).is_file() and DEFAULT_BUNDLE.is_dir()):
        give_up("the page is not built: make page")
    return PAGE


@pytest.fixture(scope="session")
def built_assets(built_page: Path) -> dict[str, Asset]:
    """The page with its own bundle: read, and compressed when asked for, once for all tests."""
    return _read_once(built_page, DEFAULT_BUNDLE)


@pytest.fixture(scope="session")
def tiny_assets(
    built_assets: dict[str, Asset], built_page: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Asset]:
    """The page with a tiny bundle, which loads in a third of the time; its masks are of nothing."""
    bundle = write_tiny_bundle(tmp_path_factory.mktemp("tiny") / "bundle", guided=True)
    return page_with(bundle, built_assets, built_page)


def page_with(bundle: Path, built_assets: dict[str, Asset], built_page: Path) -> dict[str, Asset]:
    """The page with another bundle; what was compressed of the page stays so."""
    page = {name: it for name, it in built_assets.items() if not name.startswith("bundle/")}
    return read_assets(built_page, bundle) | page


@pytest.fixture(scope="module")
def server(built_assets: dict[str, Asset]) -> Iterator[DemoServer]:
    """The page with its own bundle."""
    with serving_assets(dict(built_assets)) as running:
        yield running


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """As PNG, so that all decoders agree."""
    folder = tmp_path_factory.mktemp("photos")
    names = ("astronaut", "camera", "chelsea", "coffee", "rocket")
    for name in names:
        Image.fromarray(getattr(data, name)()).save(folder / f"{name}.png")
    return {name: folder / f"{name}.png" for name in names}


@dataclass(frozen=True)
class Touched:
    """A point of the screen, and the pixel of the photo that lies under it."""

    screen: tuple[float, float]
    pixel: tuple[int, int]


class Opened:
    """The page in a browser, and all that it did which it should not."""

    def __init__(self, context: Any, address: str) -> None:
        context.set_default_timeout(PATIENCE)
        self.address = address
        self.context = context
        self.page = context.new_page()
        self.said: list[str] = []
        self.elsewhere: list[str] = []
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        context.on("request", self._note_request)

    def _note(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.said.append(message.text)

    def _note_request(self, request: Any) -> None:
        parts = urlsplit(request.url)
        own = urlsplit(self.address).netloc
        if parts.scheme not in ("blob", "data") and parts.netloc != own:
            self.elsewhere.append(request.url)

    def slow_down(self, times: float) -> None:
        """Slow the page's main thread; Chromium does not slow workers."""
        devtools = self.context.new_cdp_session(self.page)
        devtools.send("Emulation.setCPUThrottlingRate", {"rate": times})

    def load(self, query: str = "") -> None:
        """Open the page and wait for the network."""
        self.page.goto(self.address + query)
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        self.page.evaluate(_UNTIL_READY, PATIENCE)

    def shown(self, name: str) -> Any:
        """The element of this data-testid."""
        return self.page.get_by_test_id(name)

    def wait_for(self, name: str, text: str) -> None:
        """Wait until an element says something that contains the text."""
        self.shown(name).filter(has_text=text).wait_for()

    def open_photo(self, file: Path) -> None:
        self.shown("file-input").set_input_files(file)
        self.wait_for("status", READY_FOR_TAPS)

    def point_at(self, photo: tuple[int, int], pixel: tuple[int, int]) -> Touched:
        """Near a pixel of a photo of (height, width), of which the viewer shows all.

        The point is a whole one and well inside a pixel, so that rounding cannot matter.
        """
        left, top, viewer_width, viewer_height = self.shown("viewer").evaluate(
            "it => { const { left, top } = it.getBoundingClientRect();"
            " return [left, top, it.clientWidth, it.clientHeight]; }"
        )
        height, width = photo
        scale = min(viewer_width / width, viewer_height / height)
        left += (viewer_width - scale * width) / 2
        top += (viewer_height - scale * height) / 2
        x, found_x = _inside_a_pixel(left, scale, pixel[0], width)
        y, found_y = _inside_a_pixel(top, scale, pixel[1], height)
        return Touched((x, y), (found_x, found_y))

    def tap(self, point: Touched) -> None:
        """Tap with a finger, and wait for the answer."""
        with self.answered():
            self.page.touchscreen.tap(*point.screen)

    @contextlib.contextmanager
    def answered(self) -> Iterator[None]:
        """What happens within asks for an answer, which is there afterwards."""
        self.page.evaluate("() => { window.before = window.tracenet.lastResult; }")
        yield
        self.page.evaluate(_UNTIL_CHANGED, PATIENCE)

    def mask(self) -> np.ndarray:
        """Of the last answer: bool, height x width."""
        text, height, width = self.page.evaluate(_LAST_MASK)
        bits = np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8), count=height * width)
        return bits.reshape(height, width).astype(np.bool_)

    def picture(self) -> bytes:
        """What the viewer shows, as PNG."""
        picture: bytes = self.shown("viewer").screenshot()
        return picture

    def leave(self) -> None:
        """Go to an empty page; what this one did until then is another test's."""
        self.page.goto("about:blank")
        self.said.clear()
        self.elsewhere.clear()

    def assert_sound(self) -> None:
        assert self.said == []
        assert self.elsewhere == []


def _inside_a_pixel(start: float, scale: float, pixel: int, count: int) -> tuple[int, int]:
    """The whole screen coordinate next to a pixel's middle that is clear of pixels' edges."""
    middle = start + scale * (pixel + 0.5)
    for screen in sorted(range(int(middle) - 9, int(middle) + 10), key=lambda v: abs(v - middle)):
        found, rest = divmod((screen - start) / scale, 1)
        if 0 <= found < count and 0.1 < rest < 0.9:
            return screen, math.floor(found)
    raise AssertionError("no point of the screen is clear of pixels' edges")


Open = Callable[..., Opened]


@contextlib.contextmanager
def opening(browser: Any, server: DemoServer) -> Iterator[Open]:
    """Opens the page in a fresh profile; settings are those of a Playwright context."""
    contexts = []

    def open_in_context(serving: DemoServer = server, **settings: Any) -> Opened:
        context = browser.new_context(**{**PHONE, **settings})
        contexts.append(context)
        return Opened(context, f"http://localhost:{serving.server_port}/")

    yield open_in_context
    for context in contexts:
        context.close()


@contextlib.contextmanager
def loading(browser: Any, server: DemoServer) -> Iterator[Opened]:
    """The page, loaded once for tests that leave it as they find it."""
    with opening(browser, server) as open_in_context:
        phone = open_in_context()
        phone.load()
        yield phone


@pytest.fixture
def open_page(browser: Any, server: DemoServer) -> Iterator[Open]:
    """See ``opening``."""
    with opening(browser, server) as open_in_context:
        yield open_in_context


@pytest.fixture(scope="module")
def reopen_page(browser: Any, server: DemoServer) -> Iterator[Open]:
    """As ``open_page``, but in a tab that tests before may have had: it loads in half the time.

    For tests that leave behind what loading takes away: neither listeners nor what a context is
    told (being offline, scripts that run first), nor another content of the server.
    """
    tabs: dict[int, Opened] = {}
    with opening(browser, server) as open_in_context:

        def reopen(
            serving: DemoServer = server,
            viewport: dict[str, int] = PHONE["viewport"],
            color_scheme: str = "light",
        ) -> Opened:
            port = serving.server_port
            if port in tabs:
                tabs[port].leave()
            else:
                tabs[port] = open_in_context(serving)
            tabs[port].page.set_viewport_size(viewport)
            tabs[port].page.emulate_media(color_scheme=color_scheme)
            return tabs[port]

        yield reopen


def iou(one: np.ndarray, other: np.ndarray) -> float:
    union = np.count_nonzero(one | other)
    return np.count_nonzero(one & other) / union if union else 1.0
