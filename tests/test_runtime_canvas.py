"""Photo to canvas and back."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tracenet_runtime.errors import PhotoError, TapOutsidePhoto
from tracenet_runtime.image import canvas as canvas_module
from tracenet_runtime.image import resize as resize_module
from tracenet_runtime.image.canvas import Canvas
from tracenet_runtime.image.geometry import Placement
from tracenet_runtime.image.resize import resize_part

PAD = (124, 116, 104)
sides = st.integers(1, 20_000)
canvas_sides = st.integers(1, 40).map(lambda n: 32 * n)


@given(sides, sides, canvas_sides, canvas_sides)
def test_content_fits_and_fills_one_side(h: int, w: int, canvas_h: int, canvas_w: int) -> None:
    placement = Canvas(canvas_h, canvas_w, PAD).place(h, w)
    assert 1 <= placement.content_height <= canvas_h
    assert 1 <= placement.content_width <= canvas_w
    assert placement.content_height == canvas_h or placement.content_width == canvas_w
    scale = min(canvas_h / h, canvas_w / w)
    assert abs(placement.content_height - h * scale) <= 1
    assert abs(placement.content_width - w * scale) <= 1


@given(sides, sides, canvas_sides, st.data())
def test_tap_lands_on_content_and_comes_back(
    h: int, w: int, side: int, data: st.DataObject
) -> None:
    placement = Canvas(side, side, PAD).place(h, w)
    x = data.draw(st.floats(0, w, exclude_max=True, allow_subnormal=False))
    y = data.draw(st.integers(0, h - 1))
    column, row = placement.to_canvas(x, y)
    assert 0 <= column < placement.content_width
    assert 0 <= row < placement.content_height
    assert placement.to_canvas(math.floor(x), y) == (column, row)
    # The centre of the tapped photo pixel lies in the canvas pixel, seen from the photo.
    x0, y0, x1, y1 = placement.box_to_photo((column, row, column + 1, row + 1))
    assert x0 - 1e-6 <= math.floor(x) + 0.5 <= x1 + 1e-6
    assert y0 - 1e-6 <= y + 0.5 <= y1 + 1e-6


@pytest.mark.parametrize(
    "at", [(-1, 0), (-0.1, 0), (20, 0), (0, 10), (math.nan, 0), (0, math.inf), (10**400, 0)]
)
def test_tap_outside(at: tuple[float, float]) -> None:
    with pytest.raises(TapOutsidePhoto, match="x must be from 0 to 19"):
        Canvas(64, 64, PAD).place(10, 20).to_canvas(*at)


def test_box_is_clipped_to_the_photo() -> None:
    placement = Canvas(64, 64, PAD).place(100, 200)
    assert placement.box_to_photo((-5, 8, 16, 900)) == (0, 25, 50, 100)


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def resize_at_once(photo: np.ndarray, placement: Placement) -> np.ndarray:
    """Pillow's bilinear resize; releases differ in which axis they begin with for tall photos."""
    bilinear = Image.Resampling.BILINEAR
    narrowed = Image.fromarray(photo).resize((placement.content_width, len(photo)), bilinear)
    size = (placement.content_width, placement.content_height)
    return np.asarray(narrowed.resize(size, bilinear))


SIZES = [(50, 90), (1, 1), (512, 512), (2, 900), (1300, 1201), (777, 3)]


@pytest.mark.parametrize("photo", SIZES)
@pytest.mark.parametrize("canvas", [(32, 64), (96, 96), (512, 512), (512, 256)])
def test_a_canvas_of_one_block_is_pillows_bilinear(
    photo: tuple[int, int], canvas: tuple[int, int]
) -> None:
    if is_thinned(photo, canvas):
        pytest.skip("Pillow filters all pixels")
    pixels, placement = Canvas(*canvas, PAD).fit(noise(*photo))
    h, w = placement.content_height, placement.content_width
    assert pixels.shape == (*canvas, 3)
    assert pixels.dtype == np.uint8
    assert pixels.flags.writeable
    np.testing.assert_array_equal(pixels[:h, :w], resize_at_once(noise(*photo), placement))
    assert np.all(pixels[h:] == PAD)
    assert np.all(pixels[:, w:] == PAD)


@pytest.mark.parametrize(
    ("photo", "canvas"),
    [
        ((1915, 1801), (640, 640)),
        ((640, 640), (640, 640)),
        ((997, 1409), (1024, 1536)),
        ((301, 402), (1600, 1600)),
        ((3000, 700), (1056, 1024)),
        ((1, 3000), (32, 2048)),
        ((3, 2), (1536, 1024)),
        ((900, 300), (512, 512)),
    ],
)
def test_at_most_a_level_from_one_call_of_pillow(
    photo: tuple[int, int], canvas: tuple[int, int]
) -> None:
    pixels, placement = Canvas(*canvas, PAD).fit(noise(*photo))
    h, w = placement.content_height, placement.content_width
    expected = Image.fromarray(noise(*photo)).resize((w, h), Image.Resampling.BILINEAR)
    difference = np.abs(pixels[:h, :w].astype(int) - np.asarray(expected))
    assert difference.max() <= 1
    assert np.all(pixels[h:] == PAD)
    assert np.all(pixels[:, w:] == PAD)


def is_thinned(photo: tuple[int, int], canvas: tuple[int, int]) -> bool:
    placement = Canvas(*canvas, PAD).place(*photo)
    content = placement.content_height, placement.content_width
    return any(side >= 3 * kept for side, kept in zip(photo, content, strict=True))


def reference_thinned_axis(photo: int, content: int) -> np.ndarray:
    """How much of each photo pixel is in each resized pixel: content x photo, rows add up to 1."""
    step = 1
    while photo / (step + 1) >= 1.5 * content:
        step += 1
    first = (step - 1) // 2
    # As many as it takes to cover the photo; the last of them may be outside, a repeated pixel.
    kept = range(first, photo + step // 2, step)
    support = max(photo / content, step)
    weights = np.zeros((content, photo))
    for resized in range(content):
        middle = (resized + 0.5) * photo / content
        for pixel in kept:
            weight = max(0.0, 1.0 - abs(pixel + 0.5 - middle) / support)
            weights[resized, pixel if pixel < photo else pixel - step] += weight
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("photo", "canvas"),
    [
        ((1999, 3001), (640, 640)),
        ((300, 3000), (96, 96)),
        ((2600, 3900), (1024, 1024)),
        ((192, 192), (64, 64)),
        ((191, 191), (64, 64)),
        ((2, 900), (32, 64)),
        ((777, 3), (32, 64)),
        ((901, 777), (32, 32)),
    ],
)
def test_large_photos_are_thinned_and_then_filtered(
    photo: tuple[int, int], canvas: tuple[int, int]
) -> None:
    pixels, placement = Canvas(*canvas, PAD).fit(noise(*photo))
    h, w = placement.content_height, placement.content_width
    rows, columns = reference_thinned_axis(photo[0], h), reference_thinned_axis(photo[1], w)
    narrowed = np.einsum("yxc,Xx->yXc", noise(*photo), columns, optimize=True)
    expected = np.einsum("yXc,Yy->YXc", narrowed, rows, optimize=True)
    assert np.abs(pixels[:h, :w] - expected).max() <= 1.01  # rounded twice


@pytest.mark.parametrize("side", [1700, 4000, 9000])
def test_thinning_moves_nothing(side: int) -> None:
    """A ramp stays a ramp, at any scale, odd or even steps, in the middle of each canvas."""
    ramp = np.broadcast_to(np.linspace(0, 255, side)[:, None], (side, side))
    photo = np.repeat(ramp.round().astype(np.uint8)[:, :, None], 3, axis=2)
    pixels, _ = Canvas(256, 256, PAD).fit(photo)
    expected = ((np.arange(256) + 0.5) * side / 256 - 0.5) * 255 / (side - 1)
    assert np.abs(pixels[4:-4, 128, 0] - expected[4:-4]).max() <= 1


def test_a_resized_canvas_reads_a_bounded_part_of_the_photo(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = []
    pick = resize_module._pick

    def count(photo: np.ndarray, rows: range, columns: range) -> np.ndarray:
        read.append(len(rows) * len(columns))
        return pick(photo, rows, columns)

    monkeypatch.setattr(resize_module, "_pick", count)
    photo = np.broadcast_to(np.zeros(3, np.uint8), (6000, 8000, 3))
    Canvas(256, 256, PAD).fit(photo)
    assert sum(read) < 10 * 256 * 192


@given(
    st.tuples(st.integers(1, 900), st.integers(1, 900)),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.data(),
)
def test_what_is_cut_does_not_depend_on_what_else_is(
    photo: tuple[int, int], canvas_cells: tuple[int, int], data: st.DataObject
) -> None:
    height, width = (32 * cells for cells in canvas_cells)
    canvas = Canvas(height, width, PAD)
    pixels = noise(*photo)
    whole, placement = canvas.fit(pixels)
    lazy = canvas.open(pixels)
    assert lazy.placement == placement
    for _ in range(2):
        y0, x0 = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
        h, w = data.draw(st.integers(1, height - y0)), data.draw(st.integers(1, width - x0))
        cut = lazy.cut(y0, x0, h, w)
        np.testing.assert_array_equal(cut, whole[y0 : y0 + h, x0 : x0 + w])
        assert not cut.flags.writeable


def test_only_the_blocks_that_are_cut_are_resized(monkeypatch: pytest.MonkeyPatch) -> None:
    resized = []

    def resize_part(photo: np.ndarray, size: object, rows: range, columns: range) -> np.ndarray:
        resized.append((rows.start, columns.start))
        return np.zeros((len(rows), len(columns), 3), np.uint8)

    monkeypatch.setattr(canvas_module, "resize_part", resize_part)
    image = Canvas(1600, 1600, PAD).open(noise(1200, 1600))
    image.cut(1300, 0, 300, 1600)  # below the photo
    assert not resized
    image.cut(500, 600, 20, 20)
    assert resized == [(0, 512), (512, 512)]
    image.cut(0, 520, 512, 600)
    assert resized[2:] == [(0, 1024)]


def test_photos_in_any_memory_order() -> None:
    photo = noise(700, 640)
    canvas = Canvas(544, 544, PAD)
    whole, _ = canvas.fit(photo)
    for same in (
        np.asfortranarray(photo),
        photo[::-1].copy()[::-1],
        np.repeat(photo, 2, 1)[:, ::2],
    ):
        np.testing.assert_array_equal(canvas.fit(same)[0], whole)
    readonly = photo.copy()
    readonly.flags.writeable = False
    np.testing.assert_array_equal(canvas.fit(readonly)[0], whole)


@pytest.mark.parametrize("strip", [1, 7, 300])
def test_strips_are_seamless(strip: int, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = noise(299, 301)
    whole = resize_part(photo, (100, 83), range(17, 80), range(5, 60))
    monkeypatch.setattr(resize_module, "_STRIP_ROWS", strip)
    part = resize_part(photo, (100, 83), range(17, 80), range(5, 60))
    np.testing.assert_array_equal(part, whole)


def test_fit_refuses_what_is_no_photo() -> None:
    with pytest.raises(PhotoError):
        Canvas(32, 32, PAD).fit(np.zeros((4, 4), np.uint8))
