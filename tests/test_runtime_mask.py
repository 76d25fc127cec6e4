"""From probabilities to masks, at the photo's size and others."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tracenet_runtime.image import mask as mask_module
from tracenet_runtime.image.canvas import Canvas
from tracenet_runtime.image.geometry import Placement
from tracenet_runtime.image.mask import ProbabilityMap, place_mask

PAD = (124, 116, 104)


def reference_axis(start: int, cells: int, content: int, photo: int) -> list[list[float] | None]:
    """Weights over the cells for every photo pixel of one axis; None outside the window."""
    rows: list[list[float] | None] = []
    for pixel in range(photo):
        position = (pixel + 0.5) * content / photo
        if not start <= position < start + 2 * cells:
            rows.append(None)
            continue
        support = max(1.0, content / photo / 2)
        weights = [
            max(0.0, 1 - abs(start + 2 * (cell + 0.5) - position) / 2 / support)
            for cell in range(cells)
        ]
        rows.append([weight / sum(weights) for weight in weights])
    return rows


def reference_mask(
    probability: np.ndarray, window: tuple[int, int, int, int], placement: Placement
) -> tuple[np.ndarray, np.ndarray]:
    """The mask, and where it is too close to one half for single precision to tell."""
    h, w = probability.shape
    rows = reference_axis(window[1], h, placement.content_height, placement.photo_height)
    columns = reference_axis(window[0], w, placement.content_width, placement.photo_width)
    values = np.zeros((placement.photo_height, placement.photo_width))
    for y, row in enumerate(rows):
        for x, column in enumerate(columns):
            if row is not None and column is not None:
                values[y, x] = np.array(row) @ probability @ np.array(column)
    return values > 0.5, np.abs(values - 0.5) < 1e-5


@pytest.mark.parametrize(
    ("photo", "window"),
    [
        ((64, 96), (0, 0, 96, 64)),  # one canvas pixel per photo pixel
        ((64, 96), (16, 8, 48, 40)),
        ((170, 133), (0, 0, 96, 64)),
        ((171, 255), (24, 16, 64, 64)),
        ((9, 14), (32, 16, 64, 48)),  # the photo is smaller than the map
        ((1, 1), (0, 0, 96, 64)),
        ((1, 1), (0, 0, 16, 16)),  # its only centre is outside the window
        ((1000, 1), (0, 0, 96, 64)),
        ((1, 1000), (40, 0, 64, 24)),
    ],
)
def test_place_mask_against_plain_loops(
    photo: tuple[int, int], window: tuple[int, int, int, int]
) -> None:
    x0, y0, x1, y1 = window
    probability = np.random.default_rng(5).random(((y1 - y0) // 2, (x1 - x0) // 2))
    placement = Canvas(64, 96, PAD).place(*photo)
    mask = place_mask(probability.astype(np.float32), window, placement)
    expected, unsure = reference_mask(probability, window, placement)
    assert mask.dtype == np.bool_
    np.testing.assert_array_equal(mask | unsure, expected | unsure)


@pytest.mark.parametrize("photo", [(64, 96), (900, 700), (40, 60), (9, 14)])
def test_place_mask_of_regions(photo: tuple[int, int]) -> None:
    """Most pixels of a region are decided without mixing any cells."""
    y, x = np.mgrid[:32, :48]
    probability = 1 / (1 + np.exp(np.hypot(y - 17.3, x - 20.1) - 11.7))
    probability[3:9, 30:45] = 0.7
    placement = Canvas(64, 96, PAD).place(*photo)
    mask = place_mask(probability.astype(np.float32), (0, 0, 96, 64), placement)
    rows = reference_axis(0, 32, placement.content_height, placement.photo_height)
    columns = reference_axis(0, 48, placement.content_width, placement.photo_width)
    values = np.array(rows) @ probability @ np.array(columns).T
    unsure = np.abs(values - 0.5) < 1e-5
    np.testing.assert_array_equal(mask | unsure, (values > 0.5) | unsure)


@given(st.integers(0, 2**32), st.sampled_from([(64, 96), (131, 150), (11, 17), (1, 300)]))
def test_place_mask_of_small_things(seed: int, photo: tuple[int, int]) -> None:
    rng = np.random.default_rng(seed)
    probability = np.where(rng.random((8, 12)) < 0.02, 1.0, 0.3)
    placement = Canvas(64, 96, PAD).place(*photo)
    mask = place_mask(probability.astype(np.float32), (16, 24, 40, 40), placement)
    expected, unsure = reference_mask(probability, (16, 24, 40, 40), placement)
    np.testing.assert_array_equal(mask | unsure, expected | unsure)


def test_identity_scale_is_exact() -> None:
    """A window that is all 0 or 1 comes out at its own pixels, to the pixel."""
    placement = Placement(64, 96, 64, 96)
    probability = np.zeros((32, 48), np.float32)
    probability[4:10, 6:20] = 1
    expected = np.zeros((64, 96), bool)
    expected[8:20, 12:40] = True
    np.testing.assert_array_equal(place_mask(probability, (0, 0, 96, 64), placement), expected)
    inside = np.ones((6, 14), np.float32)
    np.testing.assert_array_equal(place_mask(inside, (12, 8, 40, 20), placement), expected)


@pytest.mark.parametrize("photo", [(64, 96), (200, 311), (400, 301), (20, 33), (3000, 2)])
def test_place_mask_agrees_with_pillow(photo: tuple[int, int]) -> None:
    probability = np.random.default_rng(6).random((32, 48), np.float32)
    placement = Canvas(64, 96, PAD).place(*photo)
    resized = np.asarray(
        Image.fromarray(probability).resize(
            (placement.photo_width, placement.photo_height),
            Image.Resampling.BILINEAR,
            box=(0, 0, placement.content_width / 2, placement.content_height / 2),
        )
    )
    mask = place_mask(probability, (0, 0, 96, 64), placement)
    unsure = np.abs(resized - 0.5) < 1e-5
    np.testing.assert_array_equal(mask | unsure, (resized > 0.5) | unsure)


@pytest.mark.parametrize("photo", [(300, 451), (451, 300), (5000, 1), (1, 5000), (17, 23)])
def test_tiles_are_seamless(photo: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    probability = np.random.default_rng(7).random((24, 32), np.float32)
    placement = Canvas(64, 96, PAD).place(*photo)
    whole = place_mask(probability, (16, 8, 80, 56), placement)
    monkeypatch.setattr(mask_module, "_TILE_PIXELS", 7 * 13)
    monkeypatch.setattr(mask_module, "_TILE_COLUMNS", 13)
    np.testing.assert_array_equal(place_mask(probability, (16, 8, 80, 56), placement), whole)


def test_map_must_fill_its_window() -> None:
    with pytest.raises(ValueError, match="does not fill"):
        place_mask(np.zeros((4, 4), np.float32), (0, 0, 8, 10), Placement(64, 96, 64, 96))


def test_a_picture_has_pixels() -> None:
    cells = np.ones((32, 48), np.float32)
    found = ProbabilityMap(cells, (0, 0, 96, 64), Placement(64, 96, 64, 96), (64, 96), None)
    for size in ((0, 3), (3, 0), (-1, 4)):
        with pytest.raises(ValueError, match="cannot have"):
            found.mask_at(*size)


sizes = st.tuples(st.integers(1, 70), st.integers(1, 70))


def reference_picture_axis(
    picture: int, photo: int, tile: tuple[int, int], window: tuple[int, int], content: int
) -> np.ndarray:
    """Weights over the cells, picture x cells, in fractions of the photo; all 0 where none is."""
    weights = np.zeros((picture, (window[1] - window[0]) // 2))
    scale = content / (tile[1] - tile[0])
    support = max(1.0, photo / picture * scale / 2)
    for pixel in range(picture):
        twice_in_photo = Fraction((2 * pixel + 1) * photo, picture)
        position = (twice_in_photo / 2 - tile[0]) * content / (tile[1] - tile[0])
        if not max(0, window[0]) <= position < min(content, window[1]):
            continue
        centres = window[0] + 2 * np.arange(weights.shape[1]) + 1
        row = np.maximum(0, 1 - np.abs(centres - float(position)) / 2 / support)
        weights[pixel] = row / row.sum()
    return weights


@given(st.data(), sizes, sizes)
def test_masks_of_tiles_at_any_size_against_plain_loops(
    data: st.DataObject, photo: tuple[int, int], picture: tuple[int, int]
) -> None:
    """As in one multiplication per axis, by weights that were computed with fractions."""

    def interval(upper: int, step: int = 1) -> tuple[int, int]:
        start = data.draw(st.integers(0, upper // step - 1))
        return step * start, step * data.draw(st.integers(start + 1, upper // step))

    rows, columns = interval(photo[0]), interval(photo[1])
    placement = Canvas(64, 96, PAD).place(rows[1] - rows[0], columns[1] - columns[0])
    down, across = interval(64, 2), interval(96, 2)
    seed = data.draw(st.integers(0, 2**16))
    cells = np.random.default_rng(seed).random(
        ((down[1] - down[0]) // 2, (across[1] - across[0]) // 2), np.float32
    )
    window = (across[0], down[0], across[1], down[1])
    tile = (columns[0], rows[0], columns[1], rows[1])
    mask = ProbabilityMap(cells, window, placement, photo, tile).mask_at(*picture)

    y = reference_picture_axis(picture[0], photo[0], rows, down, placement.content_height)
    x = reference_picture_axis(picture[1], photo[1], columns, across, placement.content_width)
    values = y @ cells @ x.T
    unsure = np.abs(values - 0.5) < 1e-5
    np.testing.assert_array_equal(mask | unsure, (values > 0.5) | unsure)


@pytest.mark.parametrize("tile", [None, (37, 20, 300, 171)])
def test_a_small_picture_shows_the_same_thing(tile: tuple[int, int, int, int] | None) -> None:
    y, x = np.mgrid[:32, :48]
    cells = (1 / (1 + np.exp(np.hypot(y - 15, x - 22) - 9))).astype(np.float32)
    photo = (400, 600)
    height, width = photo if tile is None else (tile[3] - tile[1], tile[2] - tile[0])
    placement = Canvas(64, 96, PAD).place(height, width)
    found = ProbabilityMap(cells, (0, 0, 96, 64), placement, photo, tile)
    whole = Image.fromarray(found.mask_at(400, 600).astype(np.float32))
    reduced = np.asarray(whole.resize((150, 100), Image.Resampling.BOX)) > 0.5
    assert np.count_nonzero(reduced) > 100
    assert np.count_nonzero(found.mask_at(100, 150) != reduced) < 0.02 * np.count_nonzero(reduced)
