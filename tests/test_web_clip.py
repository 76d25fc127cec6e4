"""Clips in the page: opened, tapped, tracked, corrected and saved. The tracker is a stand-in."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser_fixtures import browser as browser
from browser_fixtures import give_up
from clip_fixtures import (
    BALL,
    CLIP,
    FAKE_VIDEO,
    FRAMES,
    HEIGHT,
    HIDDEN,
    RATE,
    WIDTH,
    ball,
    decoded,
    frame,
    middle,
    pyav,
    write_clip,
)
from clip_fixtures import clip as clip
from demo_fixtures import serving_assets
from page_fixtures import Open, Opened, iou
from page_fixtures import built_assets as built_assets
from page_fixtures import built_page as built_page
from page_fixtures import open_page as open_page
from page_fixtures import reopen_page as reopen_page
from page_fixtures import tiny_assets as tiny_assets
from PIL import Image

from tracenet_demo.assets import Asset
from tracenet_demo.server import DemoServer

READY = "Tap a thing in the frame."
TRACKED = "Tracked:"


@pytest.fixture(scope="module")
def server(tiny_assets: dict[str, Asset]) -> Iterator[DemoServer]:
    """No network looks at the clips."""
    with serving_assets(dict(tiny_assets)) as running:
        yield running


@pytest.fixture
def default(built_assets: dict[str, Asset]) -> Iterator[DemoServer]:
    """The page with its own bundle."""
    with serving_assets(dict(built_assets)) as running:
        yield running


def open_clip(phone: Opened, file: Path) -> None:
    phone.load()
    phone.page.evaluate(FAKE_VIDEO)
    phone.shown("file-input").set_input_files(file)
    phone.wait_for("status", READY)


@pytest.fixture
def opened(reopen_page: Open, clip: Path) -> Opened:
    """A phone on which the ball's clip is open."""
    phone = reopen_page(viewport={"width": 390, "height": 844})
    open_clip(phone, clip)
    return phone


@pytest.fixture
def tracked(opened: Opened) -> Opened:
    """The ball was tapped in the first frame and tracked."""
    opened.tap(opened.point_at(CLIP, middle(0)))
    opened.shown("track").tap()
    opened.wait_for("status", TRACKED)
    return opened


def go(phone: Opened, number: int, size: tuple[int, int] = CLIP) -> np.ndarray:
    """What the viewer shows of a frame, RGB at the frame's size."""
    phone.shown("frame").fill(str(number))
    phone.wait_for("clock", f" {number + 1} / ")
    phone.page.evaluate(
        "() => new Promise(done => setTimeout(() => requestAnimationFrame(done), 300))"
    )
    picture = Image.open(io.BytesIO(phone.picture())).convert("RGB")
    scale = min(picture.height / size[0], picture.width / size[1])
    left = (picture.width - scale * size[1]) / 2
    top = (picture.height - scale * size[0]) / 2
    box = (left, top, left + scale * size[1], top + scale * size[0])
    return np.asarray(picture.resize((size[1], size[0]), box=box)).astype(int)


def is_red(pixels: np.ndarray) -> np.ndarray:
    red: np.ndarray = np.abs(pixels[..., :3].astype(int) - BALL).max(axis=-1) < 60
    return red


def covered(phone: Opened) -> float:
    """The share of the frame that the last gesture's mask covers."""
    return float(
        phone.page.evaluate(
            "() => (({ mask }) => mask.filter(Boolean).length / mask.length)"
            "(window.tracenet.lastResult)"
        )
    )


def saved(phone: Opened, button: str, folder: Path) -> Path:
    with phone.page.expect_download() as download:
        phone.shown(button).tap()
    file = folder / str(download.value.suggested_filename)
    download.value.save_as(file)
    phone.wait_for("status", "Saved.")
    return file


def test_frames_are_shown_in_any_order(opened: Opened) -> None:
    for number in (20, 3, 19, 18, 9, 17, 0, 23):
        assert iou(is_red(go(opened, number)), ball(number)) > 0.85, number
    for button, number in (("previous", 22), ("previous", 21), ("next", 22)):
        opened.shown(button).tap()
        opened.wait_for("clock", f" {number + 1} / {FRAMES}")
    opened.assert_sound()


def test_a_first_tap_may_mean_the_whole(opened: Opened) -> None:
    opened.tap(opened.point_at(CLIP, middle(0)))
    opened.wait_for("status", "Mask found")
    opened.shown("candidate-P5").tap()
    opened.page.wait_for_selector("[data-testid=candidate-P5][aria-checked=true]")
    assert covered(opened) == 1
    opened.shown("candidate-P3").tap()
    opened.page.wait_for_selector("[data-testid=candidate-P3][aria-checked=true]")
    assert 0 < covered(opened) < 0.5
    # Once more is said there is nothing to choose.
    opened.tap(opened.point_at(CLIP, (5, 5)))
    opened.page.wait_for_selector("#choice", state="hidden")
    opened.assert_sound()


def test_a_thing_is_tracked_and_cut_out_with_transparency(tracked: Opened, tmp_path: Path) -> None:
    tracked.wait_for("clip-note", "WebM (VP9)")
    file = saved(tracked, "save-video", tmp_path)
    assert file.name == "ball-cutout.webm"
    frames, times = decoded(file)
    assert len(frames) == FRAMES
    assert times == pytest.approx([number / RATE for number in range(FRAMES)], abs=0.002)
    for number, pixels in enumerate(frames):
        assert pixels.shape == (HEIGHT, WIDTH, 4)
        opaque = pixels[..., 3] > 128
        if number in HIDDEN:
            assert not opaque.any()
        else:
            assert iou(opaque, ball(number)) > 0.9, number
            assert is_red(pixels)[opaque].mean() > 0.8, number
    tracked.assert_sound()


def test_the_background_is_replaced_or_blurred(tracked: Opened, tmp_path: Path) -> None:
    tracked.shown("background-color").check(force=True)
    tracked.shown("background-color-input").fill("#ffff00")
    frames, _ = decoded(saved(tracked, "save-video", tmp_path))
    around = ~ball(3)
    assert is_red(frames[3])[ball(3)].mean() > 0.8
    assert np.median(np.abs(frames[3][around][:, :3].astype(int) - (255, 255, 0))) < 12
    assert frames[3][..., 3].min() == 255
    tracked.shown("background-blur").check(force=True)
    blurred, _ = decoded(saved(tracked, "save-video", tmp_path))
    ground = frame(3)[around].astype(int)
    assert np.abs(blurred[3][around][:, :3].astype(int) - ground).mean() < 25
    assert is_red(blurred[3])[ball(3)].mean() > 0.8
    tracked.assert_sound()


def test_a_frame_is_corrected_and_masks_are_saved(tracked: Opened, tmp_path: Path) -> None:
    go(tracked, 5)
    x, y = middle(5)
    with tracked.answered():
        tracked.shown("mode-remove").check(force=True)
        tracked.page.touchscreen.tap(*tracked.point_at(CLIP, (x + 12, y)).screen)
    tracked.wait_for("track", "Track again")
    tracked.shown("track").tap()
    tracked.wait_for("status", TRACKED)
    with zipfile.ZipFile(saved(tracked, "save-masks", tmp_path)) as archive:
        names = [f"thing-1/{number + 1:02}.png" for number in range(FRAMES)]
        assert archive.namelist() == names
        masks = [np.asarray(Image.open(io.BytesIO(archive.read(name)))) for name in names]
    for number, mask in enumerate(masks):
        assert mask.shape[:2] == CLIP
        assert set(np.unique(mask[..., :3])) <= {0, 255}
        seen = mask[..., 0] == 255
        if number not in (5, *HIDDEN):
            assert iou(seen, ball(number)) > 0.9, number
    hole = masks[5][..., 0] == 0
    assert hole[y, x + 12]
    assert not hole[y, x - 12]
    tracked.assert_sound()


def test_two_things_are_told_apart(tracked: Opened, tmp_path: Path) -> None:
    tracked.shown("add-thing").tap()
    go(tracked, 0)
    tracked.tap(tracked.point_at(CLIP, (WIDTH - 40, 20)))
    tracked.shown("track").tap()
    tracked.wait_for("status", TRACKED)
    with zipfile.ZipFile(saved(tracked, "save-masks", tmp_path)) as archive:
        assert len(archive.namelist()) == 2 * FRAMES
        first, second = (
            np.asarray(Image.open(io.BytesIO(archive.read(f"thing-{thing}/04.png"))))[..., 0] > 0
            for thing in (1, 2)
        )
    assert iou(first, ball(3)) > 0.9
    assert second[20, WIDTH - 40]
    assert not (first & second).any()
    tracked.shown("thing-0").check(force=True)
    tracked.wait_for("status", "thing 1 now")
    tracked.assert_sound()


def test_with_its_last_gesture_a_thing_is_gone_from_all_frames(tracked: Opened) -> None:
    tracked.shown("undo").tap()
    tracked.wait_for("status", READY)
    tracked.tap(tracked.point_at(CLIP, middle(0)))
    tracked.shown("save-masks").tap()
    tracked.wait_for("status", f"{FRAMES - 1} frames are not tracked yet")
    tracked.assert_sound()


def test_a_thing_that_is_gone_is_the_next_to_be_marked(tracked: Opened) -> None:
    tracked.shown("add-thing").tap()
    for gone in (False, True):
        go(tracked, 0)
        tracked.tap(tracked.point_at(CLIP, (WIDTH - 40, 20)))
        if not gone:
            with tracked.answered():
                tracked.shown("undo").tap()
            tracked.shown("add-thing").tap()
            tracked.wait_for("status", "Tap thing 2 first.")
    with tracked.answered():
        tracked.shown("undo").tap()
    tracked.shown("thing-0").check(force=True)
    go(tracked, 0)
    tracked.shown("clear").tap()
    tracked.wait_for("status", READY)
    assert not tracked.shown("thing-1").is_visible()
    tracked.tap(tracked.point_at(CLIP, middle(0)))
    tracked.assert_sound()


def test_a_frame_is_untouched_once_others_were_marked(tracked: Opened) -> None:
    go(tracked, 5)
    tracked.tap(tracked.point_at(CLIP, middle(5)))
    go(tracked, 0)
    assert tracked.shown("undo").get_attribute("aria-disabled") == "true"
    assert tracked.shown("clear").get_attribute("aria-disabled") == "false"
    tracked.shown("clear").tap()
    tracked.wait_for("status", READY)
    assert tracked.shown("clear").get_attribute("aria-disabled") == "true"
    tracked.assert_sound()


def test_where_a_thing_is_not_seen_there_is_nothing_to_take_away(tracked: Opened) -> None:
    go(tracked, HIDDEN[1])
    tracked.shown("mode-remove").check(force=True)
    tracked.page.touchscreen.tap(*tracked.point_at(CLIP, middle(3)).screen)
    tracked.wait_for("status", "Nothing is marked yet")
    tracked.assert_sound()


def test_a_tap_while_playing_is_about_the_frame_that_is_seen(tracked: Opened) -> None:
    point = tracked.point_at(CLIP, (WIDTH - 40, 20))
    for _ in range(3):
        go(tracked, 0)
        tracked.shown("play").tap()
        tracked.page.wait_for_timeout(150)
        tracked.tap(point)
        tracked.wait_for("status", "Corrected")
        tracked.shown("clear").tap()
        tracked.wait_for("status", READY)
    tracked.assert_sound()


def test_nothing_is_saved_that_is_not_tracked(tracked: Opened) -> None:
    go(tracked, 5)
    tracked.tap(tracked.point_at(CLIP, (WIDTH - 40, 20)))
    tracked.shown("save-masks").tap()
    tracked.wait_for("status", "track again first")
    tracked.shown("track").tap()
    tracked.wait_for("status", TRACKED)
    tracked.shown("add-thing").tap()
    go(tracked, 0)
    tracked.tap(tracked.point_at(CLIP, (WIDTH - 40, 20)))
    tracked.shown("save-masks").tap()
    tracked.wait_for("status", f"{FRAMES - 1} frames are not tracked yet")
    tracked.assert_sound()


def test_tracking_waits_for_the_first_tap_and_leaves_the_user_where_they_go(
    opened: Opened,
) -> None:
    opened.page.touchscreen.tap(*opened.point_at(CLIP, middle(0)).screen)
    opened.shown("track").tap(force=True)
    opened.wait_for("status", "Tracking: frame")
    assert opened.shown("progress").get_attribute("aria-label") == "Tracking"
    opened.shown("frame").fill("20")
    opened.wait_for("status", TRACKED)
    opened.page.wait_for_timeout(300)
    opened.wait_for("clock", f" 21 / {FRAMES}")
    opened.assert_sound()


def test_a_background_that_is_replaced_while_saving_is_kept(
    tracked: Opened, tmp_path: Path
) -> None:
    photos = [tmp_path / "yellow.png", tmp_path / "blue.png"]
    for photo, color in zip(photos, ("#ffff00", "#0000ff"), strict=True):
        Image.new("RGB", (64, 48), color).save(photo)
    tracked.shown("background-photo").check(force=True)
    tracked.shown("background-file").set_input_files(photos[0])
    tracked.page.wait_for_timeout(500)
    with tracked.page.expect_download() as download:
        tracked.shown("save-video").tap()
        tracked.wait_for("status", "Saving")
        tracked.shown("background-file").set_input_files(photos[1])
    download.value.save_as(tmp_path / "saved.webm")
    frames, _ = decoded(tmp_path / "saved.webm")
    assert np.abs(np.median(frames[-1][:20, :20, :3], axis=(0, 1)) - (255, 255, 0)).max() < 20
    tracked.assert_sound()


PRESS_ONCE_SHOWN = """button => new MutationObserver((_, observer) => {
    if (button.hidden) return;
    observer.disconnect();
    button.click();
}).observe(button, {attributeFilter: ["hidden"]})"""


def test_what_is_cancelled_saves_nothing(opened: Opened) -> None:
    opened.shown("track").tap(force=True)
    opened.wait_for("status", "Tap a thing first.")
    opened.tap(opened.point_at(CLIP, middle(0)))
    opened.shown("track").tap()
    opened.wait_for("track", "Cancel")
    assert opened.shown("track").get_attribute("title") == "Cancel (T)"
    opened.shown("track").tap()
    opened.wait_for("status", "cancelled")
    opened.shown("save-video").tap()
    opened.wait_for("status", "not tracked yet")
    opened.shown("track").tap()
    opened.wait_for("status", TRACKED)
    downloads: list[Any] = []
    opened.page.on("download", lambda download: downloads.append(download))
    # The clip is so short that it may be saved before a finger finds the button.
    opened.shown("cancel-save").evaluate(PRESS_ONCE_SHOWN)
    opened.shown("save-video").tap()
    opened.wait_for("status", "Nothing was saved.")
    opened.page.wait_for_timeout(300)
    assert downloads == []
    opened.assert_sound()


def test_the_keyboard_steps_and_plays(open_page: Open, clip: Path) -> None:
    page = open_page(has_touch=False, is_mobile=False, viewport={"width": 1280, "height": 800})
    open_clip(page, clip)
    page.shown("frame").focus()
    keyboard = page.page.keyboard
    for key, number in (
        ("ArrowRight", 1),
        ("ArrowRight", 2),
        ("ArrowLeft", 1),
        ("End", FRAMES - 1),
    ):
        keyboard.press(key)
        page.wait_for("clock", f" {number + 1} / {FRAMES}")
    keyboard.press(" ")  # from the start again
    page.page.get_by_label("Pause").wait_for()
    page.page.get_by_label("Play", exact=True).wait_for()
    page.wait_for("clock", f" {FRAMES} / {FRAMES}")
    page.shown("viewer").focus()
    for key, number in ((",", FRAMES - 2), (".", FRAMES - 1)):
        keyboard.press(key)
        page.wait_for("clock", f" {number + 1} / {FRAMES}")
    page.assert_sound()


def narrow(file: Path) -> Path:
    """Pixels twice as wide as they are high."""
    av = pyav()
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libvpx-vp9", rate=RATE)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH // 2, "yuv420p"
        stream.codec_context.sample_aspect_ratio = 2
        for number in range(FRAMES):
            pixels = np.ascontiguousarray(frame(number)[:, ::2])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return file


def turned(file: Path) -> Path:
    """Stored lying on its left side, with the note that players turn it upright."""
    write_clip(file, (np.ascontiguousarray(np.rot90(frame(n))) for n in range(FRAMES)))
    content = bytearray(file.read_bytes())
    matrix = content.index(b"tkhd") + 4 + 40
    turn = (0, 1 << 16, 0, -1 << 16, 0, 0, WIDTH << 16, 0, 1 << 30)
    content[matrix : matrix + 36] = struct.pack(">9i", *turn)
    file.write_bytes(content)
    return file


@pytest.mark.parametrize(("make", "name"), [(narrow, "narrow.mp4"), (turned, "turned.mp4")])
def test_a_clip_is_shown_as_players_show_it(
    reopen_page: Open, tmp_path: Path, make: Callable[[Path], Path], name: str
) -> None:
    phone = reopen_page()
    open_clip(phone, make(tmp_path / name))
    for number in (4, 21):
        assert iou(is_red(go(phone, number)), ball(number)) > 0.85, number
    phone.assert_sound()


def test_what_is_not_worked_on_is_told(reopen_page: Open, tmp_path: Path) -> None:
    phone = reopen_page()
    small = np.zeros((32, 32, 3), np.uint8)
    open_clip(phone, write_clip(tmp_path / "long.webm", (small for _ in range(61 * RATE))))
    phone.wait_for("clip-facts", "first 60 seconds")
    phone.wait_for("clock", f" 1 / {60 * RATE}")
    large = np.zeros((1080, 1920, 3), np.uint8)
    phone.shown("file-input").set_input_files(write_clip(tmp_path / "large.webm", iter([large])))
    phone.wait_for("clip-facts", "to 1280 \N{MULTIPLICATION SIGN} 720")
    phone.assert_sound()


def sound_only(file: Path) -> Path:
    av = pyav()
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libopus", rate=48000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 960), np.int16), layout="mono")
        silence.sample_rate = 48000
        container.mux(stream.encode(silence))
        container.mux(stream.encode(None))
    return file


def test_what_is_no_clip_is_refused_in_words(reopen_page: Open, clip: Path, tmp_path: Path) -> None:
    phone = reopen_page()
    open_clip(phone, clip)

    def refused(file: Path, text: str) -> None:
        phone.shown("file-input").set_input_files(file)
        phone.wait_for("error", text)
        phone.wait_for("status", "What was open before still is.")

    refused(sound_only(tmp_path / "sound.webm"), "has no pictures")
    (tmp_path / "text.webm").write_text("no clip")
    refused(tmp_path / "text.webm", "is damaged or no clip")
    refused(write_clip(tmp_path / "old.mp4", iter([frame(0)]), "mpeg4"), "cannot decode")
    phone.page.evaluate("() => { delete window.VideoDecoder; }")
    refused(clip, "lacks WebCodecs")
    phone.page.evaluate("() => { window.tracenet.segmenter.bundle = { tracks: false }; }")
    refused(clip, "a bundle that tracks")
    phone.page.get_by_role("button", name="Dismiss").tap()
    assert iou(is_red(go(phone, 3)), ball(3)) > 0.85
    phone.assert_sound()


def test_photos_and_clips_take_turns(tracked: Opened, clip: Path) -> None:
    tracked.shown("sample-coffee").tap()
    tracked.wait_for("status", "Tap a thing in the photo.")
    assert not tracked.shown("frame").is_visible()
    tracked.tap(tracked.point_at((400, 600), (330, 200)))
    assert tracked.mask().shape == (400, 600)
    assert tracked.shown("save").is_visible()
    tracked.shown("file-input").set_input_files(clip)
    tracked.wait_for("status", READY)
    assert not tracked.shown("save").is_visible()
    assert iou(is_red(go(tracked, 3)), ball(3)) > 0.85
    tracked.assert_sound()


def test_clips_open_without_a_network(open_page: Open, clip: Path) -> None:
    phone = open_page()
    phone.load()
    assert phone.page.evaluate("window.tracenet.offline")
    phone.context.set_offline(True)
    phone.page.reload()
    phone.wait_until_ready()
    phone.page.evaluate(FAKE_VIDEO)
    phone.shown("file-input").set_input_files(clip)
    phone.wait_for("status", READY)
    phone.assert_sound()


def test_without_a_network_a_first_clip_is_refused_and_photos_go_on(
    open_page: Open, default: DemoServer, clip: Path
) -> None:
    phone = open_page(default)
    phone.load()
    if not phone.page.evaluate("window.tracenet.segmenter.bundle.tracks"):
        give_up("the page's bundle does not track: make page")
    assert phone.page.evaluate("window.tracenet.offline")
    assert "once one has been opened" in phone.page.locator("#offline").text_content()
    phone.shown("sample-coffee").tap()
    phone.wait_for("status", "Tap a thing in the photo.")
    phone.context.set_offline(True)
    phone.shown("file-input").set_input_files(clip)
    phone.wait_for("error", "open one with a connection")
    assert not phone.page.get_by_role("button", name="Load again").is_visible()
    phone.tap(phone.point_at((400, 600), (330, 200)))
    assert phone.mask().any()
    assert phone.elsewhere == []


@pytest.mark.parametrize(
    ("size", "scheme"),
    [
        pytest.param((390, 844), "light", id="phone"),
        pytest.param((1280, 800), "dark", id="desktop"),
        pytest.param((390, 844), "dark", id="phone_dark", marks=pytest.mark.slow),
        pytest.param((844, 390), "light", id="landscape", marks=pytest.mark.slow),
        pytest.param((1280, 800), "light", id="desktop_light", marks=pytest.mark.slow),
    ],
)
def test_everything_fits(
    reopen_page: Open, clip: Path, tmp_path: Path, size: tuple[int, int], scheme: str
) -> None:
    """Pictures are left in pytest's folder to be looked at."""
    phone = reopen_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    open_clip(phone, clip)
    before = phone.shown("viewer").bounding_box()
    phone.tap(phone.point_at(CLIP, middle(0)))
    phone.shown("track").tap()
    phone.wait_for("status", TRACKED)
    go(phone, 18)
    phone.page.screenshot(path=tmp_path / "tracked.png")
    assert phone.shown("viewer").bounding_box() == before, "the frame moves under the finger"
    inside, shown = phone.page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert inside <= shown, "the page scrolls sideways"
    assert before["width"] * before["height"] > 0.2 * size[0] * size[1]
    if size[0] < size[1]:
        assert before["height"] > 0.36 * size[1]
    bar = phone.shown("track").bounding_box()
    assert before["y"] + before["height"] <= bar["y"]
    assert bar["y"] + bar["height"] <= phone.shown("status").bounding_box()["y"]
    phone.assert_sound()


def test_the_network_tracks_and_is_fetched_with_the_first_clip(
    open_page: Open, default: DemoServer, tmp_path: Path
) -> None:
    """How good its masks are is measured elsewhere."""
    few = 5
    short = write_clip(tmp_path / "short.webm", map(frame, range(few)))
    phone = open_page(default)
    fetched: list[str] = []
    phone.context.on("request", lambda request: fetched.append(request.url))
    phone.load()
    if not phone.page.evaluate("window.tracenet.segmenter.bundle.tracks"):
        give_up("the page's bundle does not track: make page")
    assert phone.page.evaluate("window.tracenet.offline")
    assert not any(url.endswith("tracking.bin") for url in fetched)

    def track() -> bytes:
        phone.shown("file-input").set_input_files(short)
        phone.wait_for("status", READY)
        phone.tap(phone.point_at(CLIP, middle(0)))
        assert iou(phone.mask(), ball(0)) > 0.5
        phone.shown("track").tap()
        phone.wait_for("status", TRACKED)
        return saved(phone, "save-masks", tmp_path).read_bytes()

    online = track()
    assert any(url.endswith("tracking.bin") for url in fetched)
    with zipfile.ZipFile(io.BytesIO(online)) as archive:
        assert len(archive.namelist()) == few
    phone.context.set_offline(True)
    phone.page.reload()
    phone.wait_until_ready()
    with zipfile.ZipFile(io.BytesIO(track())) as archive:
        assert len(archive.namelist()) == few
    phone.assert_sound()
