"""Correcting a mask on the page: every tool by touch and by keyboard, undo, and what is told."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser_fixtures import browser as browser
from browser_fixtures import give_up
from demo_fixtures import serving_assets
from page_fixtures import READY_FOR_TAPS, Open, Opened, Touched, iou, page_with
from page_fixtures import built_assets as built_assets
from page_fixtures import built_page as built_page
from page_fixtures import open_page as open_page
from page_fixtures import reopen_page as reopen_page
from page_fixtures import server as server
from PIL import Image
from runtime_fixtures import random_photo, write_tiny_bundle
from skimage import data

from tracenet_demo.assets import Asset
from tracenet_demo.cli import DEFAULT_BUNDLE
from tracenet_demo.server import DemoServer
from tracenet_runtime import PhotoSession, TapSegmenter, load_photo
from tracenet_runtime.answer.prompt import Bounds, Gesture, Scribble, Tap

SIZE = (300, 420)
FIRST, OTHER = (200, 140), (230, 150)
DESKTOP = {"has_touch": False, "is_mobile": False, "viewport": {"width": 1024, "height": 700}}

# The sessions of the page wait until `release` is called.
HOLD = """async () => {
  const probe = await window.tracenet.segmenter.open(new Blob([await (await fetch(
    'samples/coffee.jpg')).arrayBuffer()]));
  const prototype = Object.getPrototypeOf(probe);
  await probe.close();
  const { make } = prototype;
  const held = new Promise(release => { window.release = release; });
  prototype.make = async function (...given) {
    await held;
    return make.apply(this, given);
  };
}"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a tiny network that a browser runs at once."""
    return write_tiny_bundle(tmp_path_factory.mktemp("guided") / "bundle", guided=True)


@pytest.fixture(scope="module")
def guided(built_assets: dict[str, Asset], built_page: Path, bundle: Path) -> Iterator[DemoServer]:
    with serving_assets(page_with(bundle, built_assets, built_page)) as running:
        yield running


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("photo") / "photo.png"
    Image.fromarray(random_photo(4, *SIZE)).save(file)
    return file


@pytest.fixture
def phone(reopen_page: Open, guided: DemoServer, photo: Path) -> Opened:
    opened = reopen_page(guided)
    opened.load()
    opened.open_photo(photo)
    return opened


@pytest.fixture
def session(bundle: Path) -> Iterator[PhotoSession]:
    """Python's, on the same photo."""
    with TapSegmenter.load(bundle, threads=1).open(random_photo(4, *SIZE)) as session:
        yield session


def on(phone: Opened, pixel: tuple[int, int]) -> Touched:
    return phone.point_at(SIZE, pixel)


def choose(phone: Opened, tool: str) -> None:
    phone.shown(tool).check(force=True)


def draw(phone: Opened, pixels: list[tuple[int, int]]) -> None:
    """With a finger, along pixels of the photo."""
    devtools = phone.context.new_cdp_session(phone.page)
    for number, pixel in enumerate(pixels):
        x, y = on(phone, pixel).screen
        kind = "touchMove" if number else "touchStart"
        points = [{"x": x, "y": y, "id": 0}]
        devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    devtools.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def gestures(phone: Opened) -> list[Gesture]:
    """Those that made the page's mask."""
    return [read(said) for said in phone.page.evaluate("window.tracenet.gestures")]


def read(said: dict[str, Any]) -> Gesture:
    if said["kind"] == "tap":
        return Tap((said["at"]["x"], said["at"]["y"]), said["positive"])
    if said["kind"] == "box":
        return Bounds(tuple(said["box"]))
    points = tuple((point["x"], point["y"]) for point in said["points"])
    return Scribble(points, said["width"], said["positive"])


def replayed(session: PhotoSession, made: list[Gesture]) -> np.ndarray:
    session.clear()
    for gesture in made:
        result = session.make(gesture)
    return result.mask


def test_every_tool_by_touch(phone: Opened, session: PhotoSession) -> None:
    phone.tap(on(phone, FIRST))
    choose(phone, "mode-remove")
    phone.tap(on(phone, OTHER))
    assert not phone.mask()[OTHER[1], OTHER[0]]
    phone.shown("brush").check(force=True)
    with phone.answered():
        draw(phone, [(180, 100), (190, 110), (190, 130)])
    assert not phone.mask()[110, 190]
    choose(phone, "mode-add")
    with phone.answered():
        draw(phone, [(150, 160), (170, 160), (190, 170)])
    assert phone.mask()[160, 170]
    choose(phone, "mode-box")
    assert phone.shown("brush").is_disabled()
    with phone.answered():
        draw(phone, [(140, 90), (200, 150), (260, 190)])
    made = gestures(phone)
    assert [type(v) for v in made] == [Tap, Tap, Scribble, Scribble, Bounds]
    assert [v.positive for v in made] == [True, False, False, True, True]
    assert np.allclose(made[4].bounds, (140, 90, 260, 190), atol=2)
    assert iou(phone.mask(), replayed(session, made)) > 0.99
    assert "Corrected" in phone.shown("status").inner_text()
    phone.assert_sound()


def test_every_tool_by_keyboard(open_page: Open, guided: DemoServer, photo: Path) -> None:
    page = open_page(guided, **DESKTOP)
    page.load()
    page.open_photo(photo)
    press = page.page.keyboard.press
    page.shown("viewer").focus()
    with page.answered():
        press("Enter")
    press("r")
    page.wait_for("status", "Tap what does not belong to it.")
    for _ in range(3):
        press("ArrowRight")
    with page.answered():
        press("Enter")
    press("b")
    for key in ("Shift+ArrowLeft", "Shift+ArrowUp"):
        press(key)
    press("Enter")
    page.wait_for("status", "A box begins here")
    press("Escape")
    page.wait_for("status", "Given up")
    press("Enter")
    for key in ("Shift+ArrowRight", "Shift+ArrowRight", "Shift+ArrowDown", "Shift+ArrowDown"):
        press(key)
    with page.answered():
        press("Enter")
    press("a")
    press("d")
    page.wait_for("status", "Draw over what belongs to it.")
    press("Enter")
    page.wait_for("status", "A line begins here")
    for _ in range(4):
        press("ArrowLeft")
    with page.answered():
        press("Enter")
    made = gestures(page)
    assert [type(v) for v in made] == [Tap, Tap, Bounds, Scribble]
    assert [v.positive for v in made] == [True, False, True, True]
    masks = [page.mask()]
    for key, count in (("z", 3), ("Control+z", 2), ("y", 3), ("Control+Shift+z", 4)):
        with page.answered():
            press(key)
        masks.append(page.mask())
        assert len(gestures(page)) == count
    assert np.array_equal(masks[0], masks[4])
    assert np.array_equal(masks[1], masks[3])
    with page.answered():
        press("n")
    assert page.page.evaluate("window.tracenet.lastResult") is None
    assert page.shown("mode-add").is_checked()
    page.assert_sound()


def test_undo_and_redo_are_exact(phone: Opened) -> None:
    phone.tap(on(phone, FIRST))
    masks = [phone.mask()]
    for mode, pixel in (("remove", OTHER), ("add", (60, 250)), ("remove", (210, 120))):
        choose(phone, f"mode-{mode}")
        phone.tap(on(phone, pixel))
        masks.append(phone.mask())
    for number in (2, 1, 0):
        with phone.answered():
            phone.shown("undo").tap()
        assert np.array_equal(phone.mask(), masks[number])
    with phone.answered():
        phone.shown("undo").tap()
    phone.wait_for("status", READY_FOR_TAPS)
    assert phone.shown("undo").get_attribute("aria-disabled") == "true"
    for expected in masks:
        with phone.answered():
            phone.shown("redo").tap()
        assert np.array_equal(phone.mask(), expected)
    assert phone.shown("redo").get_attribute("aria-disabled") == "true"
    phone.shown("redo").tap(force=True)
    phone.wait_for("status", "There is nothing to redo.")
    phone.assert_sound()


def test_gestures_go_on_after_the_memory_was_freed(phone: Opened) -> None:
    phone.tap(on(phone, FIRST))
    choose(phone, "mode-remove")
    phone.tap(on(phone, OTHER))
    mask = phone.mask()
    phone.shown("info").tap()
    phone.shown("free-memory").tap()
    phone.wait_for("status", "The memory is free")
    phone.tap(on(phone, (210, 120)))
    assert len(gestures(phone)) == 3
    with phone.answered():
        phone.shown("undo").tap()
    assert np.array_equal(phone.mask(), mask)
    phone.assert_sound()


def marks(phone: Opened) -> int:
    """How many pixels are painted over the photo, once all that was asked is painted."""
    count: int = phone.page.evaluate(
        """() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => {
          const { width, height } = document.getElementById('marks');
          const copy = new OffscreenCanvas(width, height);
          const context = copy.getContext('2d', { willReadFrequently: true });
          context.drawImage(document.getElementById('marks'), 0, 0);
          const { data } = context.getImageData(0, 0, width, height);
          let count = 0;
          for (let i = 3; i < data.length; i += 4) if (data[i] > 0) count++;
          done(count);
        })))"""
    )
    return count


def test_gestures_are_seen_at_once_and_answered_in_order(phone: Opened) -> None:
    phone.page.evaluate(HOLD)
    painted = [marks(phone)]
    phone.page.touchscreen.tap(*on(phone, FIRST).screen)
    painted.append(marks(phone))
    choose(phone, "mode-remove")
    phone.page.touchscreen.tap(*on(phone, OTHER).screen)
    painted.append(marks(phone))
    choose(phone, "brush")
    draw(phone, [(60, 60), (90, 60), (120, 70)])
    painted.append(marks(phone))
    assert painted[0] == 0
    assert painted == sorted(set(painted)), "each gesture is painted before it is answered"
    assert phone.page.evaluate("window.tracenet.lastResult") is None
    assert "Looking" in phone.shown("status").inner_text()
    with phone.answered():
        phone.page.evaluate("() => window.release()")
    phone.wait_for("status", "Corrected")
    end = phone.page.evaluate(
        """() => new Promise(done => {
          const look = () => window.tracenet.gestures.length === 3
            ? done(window.tracenet.gestures.map(it => it.kind)) : setTimeout(look, 20);
          look();
        })"""
    )
    assert end == ["tap", "tap", "scribble"]
    phone.assert_sound()


def test_an_answer_is_never_shown_on_another_photo(phone: Opened, tmp_path: Path) -> None:
    phone.page.evaluate(HOLD)
    phone.page.touchscreen.tap(*on(phone, FIRST).screen)
    other = tmp_path / "other.png"
    Image.fromarray(random_photo(5, 200, 200)).save(other)
    phone.shown("file-input").set_input_files(other)
    phone.page.evaluate("() => window.release()")
    phone.wait_for("status", READY_FOR_TAPS)
    assert phone.page.evaluate("window.tracenet.lastResult") is None
    assert marks(phone) == 0
    phone.tap(phone.point_at((200, 200), (100, 100)))
    assert phone.mask().shape == (200, 200)
    assert len(gestures(phone)) == 1
    phone.assert_sound()


def test_candidates_are_pictures(phone: Opened) -> None:
    phone.tap(on(phone, FIRST))
    levels = phone.page.evaluate("window.tracenet.lastResult.candidates.map(it => it.level)")
    assert len(levels) > 1
    best = phone.mask()
    labels = [
        phone.page.locator(f"[data-testid=candidate-{level}][aria-label*=covers] canvas")
        for level in levels
    ]
    for label in labels:
        label.wait_for()
    candidates = phone.page.locator("#candidates")
    assert candidates.inner_text().strip() == "", "no names and no numbers"
    with phone.answered():
        phone.shown(f"candidate-{levels[1]}").tap()
    assert phone.page.evaluate("window.tracenet.lastResult.level") == levels[1]
    assert len(gestures(phone)) == 1
    with phone.answered():
        phone.shown(f"candidate-{levels[0]}").tap()
    assert np.array_equal(phone.mask(), best)
    phone.tap(on(phone, OTHER))
    assert not candidates.is_visible()
    with phone.answered():
        phone.shown("undo").tap()
    assert candidates.is_visible()
    phone.assert_sound()


def test_what_is_to_be_taken_away_must_be_there(phone: Opened) -> None:
    choose(phone, "mode-remove")
    phone.page.touchscreen.tap(*on(phone, FIRST).screen)
    phone.wait_for("status", "add something first")
    choose(phone, "mode-box")
    phone.page.touchscreen.tap(*on(phone, FIRST).screen)
    phone.wait_for("status", "Draw a box about the thing.")
    assert phone.page.evaluate("window.tracenet.lastResult") is None
    phone.assert_sound()


def test_without_a_guided_look_there_are_no_tools(
    reopen_page: Open, guided: DemoServer, photo: Path
) -> None:
    phone = reopen_page(guided)
    phone.load("?schedule=zoom")
    phone.open_photo(photo)
    for pixel in (FIRST, OTHER):
        phone.tap(on(phone, pixel))
        assert gestures(phone) == [Tap(on(phone, pixel).pixel)]
    assert not phone.shown("undo").is_visible()
    phone.page.keyboard.press("r")
    assert not phone.shown("mode-remove").is_checked()
    phone.assert_sound()


@pytest.mark.parametrize(
    ("size", "scheme"),
    [((360, 800), "light"), ((800, 360), "dark"), ((1280, 800), "light")],
    ids=["portrait", "landscape", "desktop"],
)
def test_the_tools_fit(
    reopen_page: Open,
    guided: DemoServer,
    photo: Path,
    tmp_path: Path,
    size: tuple[int, int],
    scheme: str,
) -> None:
    """Pictures are left in pytest's folder to be looked at."""
    phone = reopen_page(guided, viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    phone.load()
    phone.open_photo(photo)
    phone.tap(on(phone, FIRST))
    phone.page.screenshot(path=tmp_path / "tools.png")
    boxes = phone.page.eval_on_selector_all(
        "#tools .tool, #candidates button",
        "all => all.map(it => it.getBoundingClientRect()).map(it => [it.width, it.height, it.y])",
    )
    assert len(boxes) >= 8
    assert all(width >= 44 and height >= 44 for width, height, _ in boxes)
    assert len({y for _, _, y in boxes[:7]}) == 1, "the tools are one row"
    inside, shown = phone.page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert inside <= shown
    names = phone.page.evaluate(
        "[...document.querySelectorAll('#tools .tool span')].map(it => it.textContent)"
    )
    assert names == ["Add", "Remove", "Box", "Brush", "Undo", "Redo", "Clear"]
    phone.assert_sound()


def test_whole_sessions_are_those_of_the_python_runtime(
    phone: Opened, bundle: Path, photo: Path
) -> None:
    compare_sessions(phone, bundle, photo, seeds=range(4))


def test_sessions_of_the_default_bundle_are_those_of_the_python_runtime(
    open_page: Open, tmp_path: Path
) -> None:
    manifest = json.loads((DEFAULT_BUNDLE / "manifest.json").read_text())
    if manifest["strategy"]["kind"] != "guided":
        give_up("the page's bundle has no guided look: make page")
    photo = tmp_path / "coffee.png"
    Image.fromarray(data.coffee()).save(photo)
    phone = open_page()
    phone.load()
    compare_sessions(phone, DEFAULT_BUNDLE, photo, seeds=range(2))


def random_gestures(seed: int, size: tuple[int, int]) -> list[dict[str, Any]]:
    random = np.random.default_rng(seed)
    height, width = size

    def place() -> dict[str, float]:
        return {"x": float(random.integers(width)), "y": float(random.integers(height))}

    made: list[dict[str, Any]] = [{"kind": "tap", "at": place(), "positive": True}]
    for _ in range(9):
        positive, kind = bool(random.random() < 0.5), random.choice(["tap", "scribble", "box"])
        if kind == "tap":
            made.append({"kind": "tap", "at": place(), "positive": positive})
        elif kind == "scribble":
            points = [place() for _ in range(3)]
            line = {"points": points, "width": float(random.integers(2, 30))}
            made.append({"kind": "scribble", "positive": positive, **line})
        else:
            (a, b) = (place(), place())
            x0, x1 = sorted((a["x"], b["x"]))
            y0, y1 = sorted((a["y"], b["y"]))
            made.append({"kind": "box", "box": [x0, y0, x1 + 1, y1 + 1]})
    return made


def compare_sessions(phone: Opened, bundle: Path, photo: Path, seeds: range) -> None:
    """The library is asked by itself: random gestures, each on what the ones before left."""
    pixels = load_photo(photo)
    content = base64.b64encode(photo.read_bytes()).decode()
    phone.page.evaluate(
        """async content => {
          const bytes = Uint8Array.from(atob(content), it => it.charCodeAt(0));
          window.session = await window.tracenet.segmenter.open(new Blob([bytes]));
        }""",
        content,
    )
    found = {}
    with TapSegmenter.load(bundle, threads=1).open(pixels) as session:
        for seed in seeds:
            session.clear()
            phone.page.evaluate("() => window.session.clear()")
            for number, gesture in enumerate(random_gestures(seed, pixels.shape[:2])):
                expected = session.make(read(gesture))
                obeyed = phone.page.evaluate(
                    """async gesture => {
                      window.tracenet.lastResult = await window.session.make(gesture);
                      return window.tracenet.lastResult.obeyed;
                    }""",
                    gesture,
                )
                assert obeyed == expected.obeyed
                found[seed, number] = iou(phone.mask(), expected.mask)
    assert min(found.values()) >= 0.99, found
    phone.assert_sound()
