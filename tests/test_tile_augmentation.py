"""Tiles about a thing: what they show, how often, and what else stays as it was."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import Scenes, annotated, colour_of, make_scene

from tracenet.data import Augmentation, CopyPaste, TapDataset, TapInputs, TileAugmentation
from tracenet.data.augment import Crop, random_crop
from tracenet.data.tiles import tile_view

PAD = (1, 2, 3)
STILL = Augmentation((1.0, 1.0), 0)
ALWAYS = TileAugmentation({128: 1.0})


def crop_of(example: Any, seed: int, tiles: TileAugmentation | None, size: int = 128) -> Crop:
    return random_crop(example, size, PAD, STILL, np.random.default_rng(seed), tiles)


# Where a tile lies


@given(data=st.data(), seed=st.integers(0, 1000), size=st.sampled_from([64, 256, 384]))
@settings(max_examples=300)
def test_a_tile_shows_the_tap_in_the_size_asked_for(
    data: st.DataObject, seed: int, size: int
) -> None:
    height, width = (data.draw(st.integers(8, 4000)) for _ in "yx")
    x0, y0 = (data.draw(st.integers(0, side - 1)) for side in (width, height))
    x1, y1 = data.draw(st.integers(x0 + 1, width)), data.draw(st.integers(y0 + 1, height))
    x, y = data.draw(st.integers(x0, x1 - 1)) + 0.5, data.draw(st.integers(y0, y1 - 1)) + 0.5
    how = TileAugmentation({size: 1.0})
    random = np.random.default_rng(seed)
    view = tile_view((height, width), (x0, y0, x1, y1), (x, y), size, how, random)

    reach = max(x - x0, x1 - x, y - y0, y1 - y)
    scales = view.scaled[0] / height, view.scaled[1] / width
    # The sides of the scaled photo are whole pixels.
    low, high = (share * size / reach for share in how.reach)
    for scale, side in zip(scales, (height, width), strict=True):
        slack = 1.001 * 0.5 / side
        if round(side * scale) > 1:
            assert min(low, how.enlargement) - slack <= scale
            assert scale <= min(high, how.enlargement) + slack

    assert all(isinstance(number, int) for number in (*view.scaled, *view.start))
    for at, scale, extent, start in zip((y, x), scales, view.scaled, view.start, strict=True):
        on_tile = at * scale - start
        if extent <= size:
            assert extent - size <= start <= 0
        else:
            assert 0 <= start <= extent - size
            # The middle is half a tile away, unless the photo's end is nearer than that.
            if 0 < start < extent - size:
                assert abs(on_tile - size / 2) <= how.tap_within * size + 1.5
        assert -0.5 <= on_tile <= size + 0.5


def test_reaches_are_log_uniform_and_places_normal() -> None:
    random = np.random.default_rng(0)
    # So large that neither the photo's ends nor the largest enlargement are felt, and a tap in the
    # middle, from which no displacement is too far but the rarest.
    box, tap, size = (5940, 5940, 6060, 6060), (6000.0, 6000.0), 256
    how = TileAugmentation({size: 1.0})
    views = [tile_view((12000, 12000), box, tap, size, how, random) for _ in range(2000)]
    scales = np.array([view.scaled[0] for view in views]) / 12000
    where = np.log(scales * 60 / size / 0.14) / np.log(0.6 / 0.14)
    assert np.abs(np.quantile(where, [0.1, 0.5, 0.9]) - [0.1, 0.5, 0.9]).max() < 0.04
    assert 0 <= where.min() < 0.01
    assert 0.99 < where.max() <= 1
    for axis in (0, 1):
        starts = np.array([view.start[axis] for view in views])
        moved = (starts + size / 2 - 6000 * scales) / size
        assert abs(moved.mean()) < 0.02
        assert moved.std() == pytest.approx(0.15, abs=0.01)
        assert np.abs(moved).max() <= 0.42 + 1 / size


def test_nothing_is_enlarged_more_than_it_may_be() -> None:
    random = np.random.default_rng(0)
    for most in (1.5, 3.0):
        how = TileAugmentation({256: 1.0}, enlargement=most)
        view = tile_view((500, 400), (100, 100, 110, 110), (105, 105), 256, how, random)
        assert view.scaled == (500 * most, 400 * most)


# What a canvas holds


@given(seed=st.integers(0, 1000), height=st.integers(40, 300), width=st.integers(40, 300))
@settings(max_examples=60)
def test_photo_and_masks_stay_together(seed: int, height: int, width: int) -> None:
    example = make_scene(height, width, seed, things=3)
    crop = crop_of(example, seed, ALWAYS)
    assert crop.photo.shape == (128, 128, 3)
    colours = [colour_of(instance.id) for instance in example.instances]
    for mask in crop.masks:
        rows, columns = np.nonzero(mask)
        found = crop.photo[rows, columns]
        # Blended near the border, by the enlargement at most; exact in the middle.
        exact = [np.mean((found == colour).all(1)) for colour in colours]
        assert max(exact) > 0.4
        assert not (found == PAD).all(1).any()
    beside = ~(crop.masks.any(0) | crop.ignore)
    pure = [(crop.photo == colour).all(2) for colour in colours]
    assert not (beside & np.any(pure, axis=0)).any()


def discs_apart() -> Any:
    """Four things far from each other, so that a tile tells which of them it is about."""
    instances = np.zeros((400, 400), np.uint8)
    rows, columns = np.mgrid[:400, :400]
    for number, (y, x) in enumerate([(80, 80), (80, 320), (320, 80), (320, 320)], 1):
        instances[(rows - y) ** 2 + (columns - x) ** 2 < 30**2] = number
    return annotated(instances)


def test_what_is_tapped() -> None:
    example = discs_apart()
    alone = {p: dataclasses.replace(ALWAYS, alone=p) for p in (0.0, 0.75, 1.0)}
    only = [crop_of(example, seed, alone[1.0]) for seed in range(60)]
    every = [crop_of(example, seed, alone[0.0]) for seed in range(60)]
    assert all(crop.tapped.sum() <= 1 for crop in only)
    assert sum(crop.tapped.sum() for crop in only) > 50
    assert all(crop.tapped.all() for crop in every)
    assert any(len(crop.masks) > 1 for crop in every)
    # Whatever is tapped, the same things are shown.
    assert [len(crop.masks) for crop in only] == [len(crop.masks) for crop in every]

    both = make_scene(300, 300, 1, things=2)
    shown = [crop_of(both, seed, alone[0.75]) for seed in range(600)]
    shown = [crop for crop in shown if len(crop.masks) == 2 and crop.tapped.any()]
    assert np.mean([crop.tapped.sum() == 1 for crop in shown]) == pytest.approx(0.75, abs=0.07)


def test_the_thing_that_is_tapped_has_the_reach() -> None:
    example = discs_apart()
    sides = []
    for seed in range(200):
        crop = crop_of(example, seed, dataclasses.replace(ALWAYS, alone=1.0))
        for mask in crop.masks[crop.tapped]:
            if not (mask[[0, -1]].any() or mask[:, [0, -1]].any()):
                sides.append(max(np.ptp(axis) + 1 for axis in np.nonzero(mask)))
    # A reach is half to all of the longer side.
    assert min(sides) >= 0.14 * 128 - 2
    assert max(sides) <= 2 * 0.6 * 128 + 2
    assert len(sides) > 80


# How often


def is_tile(crop: Crop) -> bool:
    """Of a scene that fits its canvas exactly, if it is no tile."""
    return bool((crop.photo[..., 0] >= 200).sum() != 400)


@pytest.mark.parametrize("share", [0.35, 0.7])
def test_the_share_is_kept(share: float) -> None:
    instances = np.zeros((128, 128), np.uint8)
    instances[50:70, 50:70] = 1
    example = annotated(instances)
    tiles = TileAugmentation({128: share})
    found = np.mean([is_tile(crop_of(example, seed, tiles)) for seed in range(1000)])
    assert found == pytest.approx(share, abs=0.05)


def test_small_things_get_no_tile() -> None:
    for side, tile in ((9, False), (10, True)):
        instances = np.zeros((128, 128), np.uint8)
        instances[50 : 50 + side, 50 : 50 + side] = 1
        crop = crop_of(annotated(instances), 0, ALWAYS)
        assert ((crop.photo[..., 0] >= 200).sum() != side**2) == tile


@given(seed=st.integers(0, 1000), size=st.sampled_from([64, 96, 128]))
@settings(max_examples=40)
def test_without_a_share_nothing_changes(seed: int, size: int) -> None:
    example = make_scene(100, 140, seed)
    randoms = [np.random.default_rng(seed) for _ in range(3)]
    no_tiles = [None, TileAugmentation({size: 0.0}), TileAugmentation({160: 1.0})]
    crops = [
        random_crop(example, size, PAD, Augmentation(), random, tiles)
        for random, tiles in zip(randoms, no_tiles, strict=True)
    ]
    for crop, random in zip(crops[1:], randoms[1:], strict=True):
        assert random.bit_generator.state == randoms[0].bit_generator.state
        for one, two in zip(vars(crops[0]).values(), vars(crop).values(), strict=True):
            assert np.array_equal(one, two)


def test_what_a_photo_without_things_gives() -> None:
    empty = annotated(np.zeros((60, 80), np.uint8))
    assert not len(crop_of(empty, 0, ALWAYS).masks)
    for shape in ((10, 10), (1, 300), (300, 1), (2000, 3)):
        crop = crop_of(annotated(np.ones(shape, np.uint8)), 0, ALWAYS)
        assert crop.photo.shape == (128, 128, 3)


def test_steps_are_made_of_tiles_and_other_canvases() -> None:
    example = discs_apart()
    inputs = TapInputs(
        pixels=8 * 128 * 128,
        canvas_sizes=(128,),
        taps_per_megapixel=500,
        augmentation=STILL,
        copy_paste=CopyPaste(probability=0),
    )

    def reaches(tiles: TileAugmentation) -> Any:
        dataset = TapDataset(Scenes([example]), dataclasses.replace(inputs, tiles=tiles), PAD, 0)
        batch = dataset[0]
        return batch.reach[batch.level >= 0]

    # A disc has a radius of 9.6 canvas pixels where the photo fits the canvas.
    assert reaches(TileAugmentation()).max() < 21
    assert reaches(ALWAYS).max() > 40
    assert reaches(TileAugmentation({256: 1.0})).equal(reaches(TileAugmentation()))
