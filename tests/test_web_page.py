"""The page on a phone: taps, keys, what it shows, what it exports, and who can use it."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser_fixtures import PATIENCE
from browser_fixtures import browser as browser
from demo_fixtures import serving_assets
from page_fixtures import READY_FOR_TAPS, SLOWED, Open, Opened, loading
from page_fixtures import built_assets as built_assets
from page_fixtures import built_page as built_page
from page_fixtures import open_page as open_page
from page_fixtures import photos as photos
from page_fixtures import reopen_page as reopen_page
from page_fixtures import tiny_assets as tiny_assets
from PIL import Image

from tracenet_demo.assets import Asset
from tracenet_demo.server import DemoServer

ASTRONAUT = (512, 512)
FACE = (225, 110)

# What the accessibility tree calls things that take input.
CONTROLS = {
    "application", "button", "checkbox", "combobox", "link", "radio", "slider", "spinbutton",
    "switch", "textbox", "ColorWell", "DisclosureTriangle",
}  # fmt: skip


@pytest.fixture(scope="module")
def server(tiny_assets: dict[str, Asset]) -> Iterator[DemoServer]:
    """For what does not turn on the masks, which are the whole photo."""
    with serving_assets(dict(tiny_assets)) as running:
        yield running


@pytest.fixture(scope="module")
def default(built_assets: dict[str, Asset]) -> Iterator[DemoServer]:
    """The page with its own bundle."""
    with serving_assets(dict(built_assets)) as running:
        yield running


@pytest.fixture(scope="module")
def loaded(browser: Any, default: DemoServer) -> Iterator[Opened]:
    """The default bundle is loaded once for all tests that change nothing but photo and style."""
    with loading(browser, default) as phone:
        yield phone


@pytest.fixture
def cut_out(loaded: Opened, photos: dict[str, Path]) -> Opened:
    """A phone on which the default bundle has found the astronaut's face."""
    loaded.open_photo(photos["astronaut"])
    loaded.tap(loaded.point_at(ASTRONAUT, FACE))
    loaded.shown("regions").uncheck()
    loaded.shown("background-none").check(force=True)
    return loaded


@pytest.fixture
def tapped(reopen_page: Open, photos: dict[str, Path]) -> Opened:
    """A phone on which the astronaut's face was tapped."""
    phone = reopen_page()
    phone.load()
    phone.open_photo(photos["astronaut"])
    phone.tap(phone.point_at(ASTRONAUT, FACE))
    return phone


def as_pixels(picture: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(int)


def painted(phone: Opened) -> bytes:
    """What the viewer shows once all that was asked of it is painted."""
    phone.page.evaluate(
        "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )
    return phone.picture()


def changed_pixels(one: bytes, other: bytes) -> float:
    """The share of pixels that differ visibly."""
    difference = np.abs(as_pixels(one) - as_pixels(other)).max(axis=2)
    return float(np.mean(difference > 20))


def photo_in_viewer(phone: Opened, size: tuple[int, int]) -> np.ndarray:
    """What the viewer shows of a photo of this (height, width), all of it, at the photo's size."""
    picture = Image.open(io.BytesIO(painted(phone))).convert("RGB")
    scale = min(picture.height / size[0], picture.width / size[1])
    left = (picture.width - scale * size[1]) / 2
    top = (picture.height - scale * size[0]) / 2
    box = (left, top, left + scale * size[1], top + scale * size[0])
    return np.asarray(picture.resize((size[1], size[0]), box=box)).astype(int)


def test_a_tap_shows_the_mask_and_its_time(
    open_page: Open, default: DemoServer, photos: dict[str, Path]
) -> None:
    phone = open_page(default)
    phone.load()
    phone.slow_down(SLOWED)
    phone.open_photo(photos["astronaut"])
    phone.tap(phone.point_at(ASTRONAUT, FACE))
    mask = phone.mask()
    assert 0.01 < mask.mean() < 0.9
    assert mask[FACE[1], FACE[0]]
    original = as_pixels(photos["astronaut"].read_bytes())
    differs = np.abs(photo_in_viewer(phone, ASTRONAUT) - original).max(axis=2) > 30
    # Edges of the mask and of things in the photo look different on another scale.
    assert differs[mask].mean() > 0.6
    assert differs[~mask].mean() < 0.2
    assert " ms" in phone.shown("status").inner_text()
    assert phone.page.evaluate("window.crossOriginIsolated")
    assert phone.page.evaluate("window.tracenet.segmenter.engineReport.threads") >= 1
    phone.assert_sound()


def test_candidates_of_other_levels_are_one_tap_away(cut_out: Opened) -> None:
    levels = cut_out.page.evaluate("window.tracenet.lastResult.candidates.map(it => it.level)")
    assert levels[0] == cut_out.page.evaluate("window.tracenet.lastResult.level")
    best = cut_out.mask()
    with cut_out.answered():
        cut_out.shown(f"candidate-{levels[1]}").tap()
    assert cut_out.page.evaluate("window.tracenet.lastResult.level") == levels[1]
    assert not np.array_equal(cut_out.mask(), best)
    cut_out.assert_sound()


def test_regions_are_drawn_on_demand(cut_out: Opened) -> None:
    regions = cut_out.page.evaluate("window.tracenet.lastResult.regions")
    assert regions
    for region in regions:
        x0, y0, x1, y1 = region["box"]
        assert 0 <= x0 < x1 <= ASTRONAUT[1]
        assert 0 <= y0 < y1 <= ASTRONAUT[0]
    before = painted(cut_out)
    cut_out.shown("regions").check()
    assert changed_pixels(before, painted(cut_out)) > 0.001
    cut_out.shown("regions").uncheck()
    assert changed_pixels(before, painted(cut_out)) == 0
    cut_out.assert_sound()


def test_pinch_zooms_and_taps_still_hit(tapped: Opened) -> None:
    before = painted(tapped)
    box = tapped.shown("viewer").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    devtools = tapped.context.new_cdp_session(tapped.page)

    def fingers(kind: str, apart: float | None) -> None:
        sides = [] if apart is None else [-apart, apart]
        points = [{"x": x + side, "y": y, "id": i} for i, side in enumerate(sides)]
        devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    result = tapped.page.evaluate_handle("window.tracenet.lastResult")
    fingers("touchStart", 20)
    for apart in (30, 40, 60, 80):
        fingers("touchMove", apart)
    fingers("touchEnd", None)
    assert changed_pixels(before, painted(tapped)) > 0.1
    same = tapped.page.evaluate("result => window.tracenet.lastResult === result", result)
    assert same, "a pinch is no tap"
    with tapped.answered():
        tapped.page.touchscreen.tap(x, y)
    tapped.assert_sound()


def choose_background(phone: Opened, background: str, photo: Path) -> None:
    before = painted(phone)
    choosers: list[Any] = []
    phone.page.on("filechooser", lambda chooser: choosers.append(chooser))
    phone.shown(f"background-{background}").check(force=True)
    if background == "photo":
        phone.shown("background-file").set_input_files(photo)
    # A background photo is shown once it is decoded.
    end = time.monotonic() + PATIENCE / 1000
    while changed_pixels(before, painted(phone)) <= 0.1:
        assert time.monotonic() < end, "the background is not shown"
    assert choosers == [], "the arrow keys pass over every background"


def saved_file(phone: Opened, folder: Path) -> Path:
    with phone.page.expect_download() as download:
        phone.shown("save").tap()
    file = folder / str(download.value.suggested_filename)
    download.value.save_as(file)
    return file


@pytest.mark.parametrize("background", ["none", "blur", "color", "photo"])
def test_what_is_saved(
    cut_out: Opened, photos: dict[str, Path], tmp_path: Path, background: str
) -> None:
    if background != "none":
        choose_background(cut_out, background, photos["coffee"])
    with Image.open(saved_file(cut_out, tmp_path)) as saved:
        pixels = np.asarray(saved.convert("RGBA")).astype(int)
        assert saved.mode == ("RGBA" if background == "none" else "RGB")
        assert (saved.height, saved.width) == ASTRONAUT
    original = as_pixels(photos["astronaut"].read_bytes())
    mask = cut_out.mask()
    inside = np.abs(pixels[..., :3] - original).max(axis=2) < 40
    # The edge is soft, and a file with a background is a JPEG.
    assert inside[mask].mean() > 0.9
    if background == "none":
        alpha = pixels[..., 3]
        assert alpha[mask].mean() > 240
        assert alpha[~mask].mean() < 15
        assert len(np.unique(alpha)) > 20, "the edge is not feathered"
    else:
        assert inside[~mask].mean() < 0.9
    cut_out.assert_sound()


def with_alpha(photo: Path, alpha: np.ndarray, file: Path) -> Path:
    picture = Image.open(photo).convert("RGB")
    picture.putalpha(Image.fromarray(alpha.astype(np.uint8)))
    picture.save(file)
    return file


def test_what_is_transparent_is_saved_as_white(
    cut_out: Opened, photos: dict[str, Path], tmp_path: Path
) -> None:
    alpha = np.full(ASTRONAUT, 255)
    alpha[:, :100] = 0
    cut_out.open_photo(with_alpha(photos["astronaut"], alpha, tmp_path / "holed.png"))
    cut_out.tap(cut_out.point_at(ASTRONAUT, FACE))
    clear = with_alpha(photos["coffee"], np.zeros((400, 600)), tmp_path / "clear.png")
    for background in ("blur", "photo"):
        choose_background(cut_out, background, clear)
        saved = as_pixels(saved_file(cut_out, tmp_path).read_bytes())
        assert saved[:, :50].min() > 200
    cut_out.assert_sound()


def test_a_browser_that_forbids_to_copy(tapped: Opened) -> None:
    tapped.page.evaluate(
        "() => { navigator.clipboard.write ="
        " () => Promise.reject(new DOMException('', 'NotAllowedError')); }"
    )
    tapped.shown("copy").tap()
    tapped.wait_for("status", "press the button again")
    tapped.shown("copy").tap()
    tapped.wait_for("status", "The browser does not allow copying here.")
    tapped.assert_sound()


def test_what_is_copied(open_page: Open, photos: dict[str, Path]) -> None:
    phone = open_page(permissions=["clipboard-read", "clipboard-write"])
    phone.load()
    phone.open_photo(photos["astronaut"])
    phone.tap(phone.point_at(ASTRONAUT, FACE))
    phone.shown("copy").tap()
    phone.wait_for("status", "Copied.")
    size = phone.page.evaluate(
        "async () => { const [item] = await navigator.clipboard.read();"
        " const bitmap = await createImageBitmap(await item.getType('image/png'));"
        " return [bitmap.height, bitmap.width]; }"
    )
    assert tuple(size) == ASTRONAUT
    phone.assert_sound()


def test_a_sample_can_be_tapped(reopen_page: Open) -> None:
    phone = reopen_page()
    phone.load()
    phone.shown("sample-coffee").tap()
    phone.wait_for("status", "Tap a thing in the photo.")
    phone.tap(phone.point_at((400, 600), (330, 200)))
    assert phone.mask().any()
    phone.assert_sound()


def test_a_tap_waits_while_a_photo_opens(tapped: Opened, photos: dict[str, Path]) -> None:
    tapped.page.evaluate(
        """() => {
          const segmenter = window.tracenet.segmenter;
          const open = segmenter.open.bind(segmenter);
          const held = new Promise(release => { window.release = release; });
          window.openings = 0;
          window.opening = new Promise(begin => {
            segmenter.open = async photo => {
              window.openings++;
              begin();
              await held;
              return open(photo);
            };
          });
        }"""
    )
    tapped.shown("file-input").set_input_files(photos["coffee"])
    tapped.page.evaluate("() => window.opening")
    tapped.page.touchscreen.tap(*tapped.point_at(ASTRONAUT, FACE).screen)
    tapped.page.evaluate("() => window.release()")
    tapped.wait_for("status", READY_FOR_TAPS)
    assert tapped.page.evaluate("window.tracenet.lastResult") is None
    tapped.tap(tapped.point_at((400, 600), (330, 200)))
    assert tapped.mask().shape == (400, 600)
    assert tapped.page.evaluate("window.openings") == 1, "the photo before was opened again"
    tapped.assert_sound()


def test_a_slow_sample_does_not_replace_a_later_photo(
    reopen_page: Open, photos: dict[str, Path]
) -> None:
    phone = reopen_page()
    phone.load()
    phone.page.evaluate(
        """() => {
          const { fetch } = window;
          window.arrived = new Promise(arrive => {
            window.fetch = url => new Promise(resolve => {
              window.release = () => resolve(fetch(url).finally(arrive));
            });
          });
        }"""
    )
    phone.shown("sample-coffee").tap()
    phone.open_photo(photos["astronaut"])
    phone.page.evaluate("() => { window.release(); return window.arrived; }")
    painted(phone)
    phone.tap(phone.point_at(ASTRONAUT, FACE))
    assert phone.mask().shape == ASTRONAUT
    phone.assert_sound()


@pytest.mark.parametrize("size", [(180, 320), (320, 256)], ids=["phone_at_200", "reflow"])
def test_an_enlarged_page_keeps_room_for_the_photo(
    reopen_page: Open, photos: dict[str, Path], tmp_path: Path, size: tuple[int, int]
) -> None:
    """Pictures are left in pytest's folder to be looked at."""
    phone = reopen_page(viewport={"width": size[0], "height": size[1]})
    phone.load()
    phone.open_photo(photos["astronaut"])
    viewer = phone.shown("viewer")
    viewer.scroll_into_view_if_needed()
    box = viewer.bounding_box()
    assert box["height"] > 0.35 * size[1]
    assert box["y"] + box["height"] <= phone.shown("status").bounding_box()["y"]
    with phone.answered():
        phone.page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    phone.page.screenshot(path=tmp_path / "tapped.png", full_page=True)
    inside, shown = phone.page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert inside <= shown, "the page scrolls sideways"
    phone.assert_sound()


def test_a_viewer_without_room_keeps_its_view(tapped: Opened) -> None:
    before = painted(tapped)
    for display in ("none", "block"):
        tapped.shown("viewer").evaluate("(it, to) => { it.style.display = to; }", display)
        tapped.page.evaluate("() => new Promise(requestAnimationFrame)")
    assert changed_pixels(before, painted(tapped)) == 0


def test_the_keyboard_alone_suffices(open_page: Open, photos: dict[str, Path]) -> None:
    phone = open_page(has_touch=False, is_mobile=False, viewport={"width": 1024, "height": 700})
    phone.load()
    focused = "document.activeElement.dataset.testid"
    # A file dialog is the system's; that its control takes focus and opens it is ours.
    for _ in range(20):
        phone.page.keyboard.press("Tab")
        if phone.page.evaluate(focused) == "file-input":
            break
    phone.shown("file-input").evaluate(
        "it => it.addEventListener('click', event => {"
        " window.wasClicked = true; event.preventDefault(); })"
    )
    phone.page.keyboard.press("Enter")
    assert phone.page.evaluate("window.wasClicked")
    phone.open_photo(photos["astronaut"])
    for _ in range(20):
        if phone.page.evaluate(focused) == "viewer":
            break
        phone.page.keyboard.press("Tab")
    phone.page.keyboard.press("ArrowRight")
    phone.page.keyboard.press("Shift+ArrowUp")
    phone.wait_for("status", "Crosshair at")
    with phone.answered():
        phone.page.keyboard.press("Enter")
    assert phone.mask().any()
    for _ in range(20):
        phone.page.keyboard.press("Tab")
        if (phone.page.evaluate(focused) or "").startswith("candidate-"):
            break
    before = phone.page.evaluate("window.tracenet.lastResult.level")
    with phone.answered():
        phone.page.keyboard.press("ArrowRight")
    assert phone.page.evaluate("window.tracenet.lastResult.level") != before
    phone.assert_sound()


def test_every_control_has_a_name(tapped: Opened) -> None:
    """In the accessibility tree, which is what a screen reader reads."""
    devtools = tapped.context.new_cdp_session(tapped.page)

    def controls() -> list[tuple[str, str]]:
        nodes: list[Any] = devtools.send("Accessibility.getFullAXTree")["nodes"]
        return [
            (node["role"]["value"], node.get("name", {}).get("value", "").strip())
            for node in nodes
            if not node["ignored"] and node["role"]["value"] in CONTROLS
        ]

    found = controls()
    tapped.shown("info").tap()
    found += controls()
    assert [role for role, name in found if not name] == []
    assert {"button", "radio", "slider", "switch"} <= {role for role, _ in found}
    assert len(found) > 20
    images = "all => all.filter(it => !it.hasAttribute('alt')).length"
    assert tapped.page.eval_on_selector_all("img", images) == 0
    assert tapped.page.evaluate("document.documentElement.lang") == "en"
    assert tapped.page.title()


@pytest.mark.parametrize(
    ("size", "scheme"),
    [
        pytest.param((360, 800), "light", id="portrait"),
        pytest.param((800, 360), "dark", id="landscape"),
        pytest.param((360, 800), "dark", id="portrait_dark", marks=pytest.mark.slow),
        pytest.param((800, 360), "light", id="landscape_light", marks=pytest.mark.slow),
        pytest.param((1280, 800), "light", id="desktop", marks=pytest.mark.slow),
    ],
)
def test_everything_fits(
    reopen_page: Open, photos: dict[str, Path], tmp_path: Path, size: tuple[int, int], scheme: str
) -> None:
    """Pictures are left in pytest's folder to be looked at."""
    phone = reopen_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    phone.load()
    phone.page.screenshot(path=tmp_path / "empty.png")
    phone.open_photo(photos["astronaut"])
    phone.tap(phone.point_at(ASTRONAUT, FACE))
    phone.shown("regions").check()
    painted(phone)
    phone.page.screenshot(path=tmp_path / "tapped.png")
    inside, shown = phone.page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert inside <= shown, "the page scrolls sideways"
    viewer = phone.shown("viewer").bounding_box()
    assert viewer["width"] * viewer["height"] > 0.25 * size[0] * size[1]
    assert viewer["y"] + viewer["height"] <= phone.shown("status").bounding_box()["y"]
    small = phone.page.eval_on_selector_all(
        "button, label.button, label.switch, summary",
        "all => all.map(it => [it.textContent.trim(), it.getBoundingClientRect()])"
        ".filter(([, box]) => box.width > 0 && (box.width < 40 || box.height < 40))"
        ".map(([text, box]) => `${text}: ${box.width} x ${box.height}`)",
    )
    assert small == [], "too small for fingers"
    brightness = np.median(as_pixels((tmp_path / "tapped.png").read_bytes()))
    assert (brightness < 100) == (scheme == "dark")
    phone.assert_sound()
