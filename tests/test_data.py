"""Augmentation and taps: what training sees belongs together."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import Scenes, annotated, colour_of, make_scene

from tracenet.data import (
    AnnotatedPhoto,
    Augmentation,
    CopyPaste,
    DataError,
    Instance,
    TapBatch,
    TapDataset,
    TapInputs,
)
from tracenet.data import canvases as canvases_module
from tracenet.data import taps as taps_module
from tracenet.data.augment import KEPT_AREA, Crop, random_crop
from tracenet.data.taps import NOTHING, TARGET_STRIDE, level_of

PAD = (1, 2, 3)


def refused(call: Any, match: str) -> None:
    with pytest.raises(DataError, match=match) as caught:
        call()
    assert "\n" not in str(caught.value)


# Crops


def crop_of(
    example: AnnotatedPhoto, size: int, long_side: tuple[float, float], seed: int, colour: float = 0
) -> Crop:
    low, high = (side / size for side in long_side)
    augmentation = Augmentation((low, high), colour)
    return random_crop(example, size, PAD, augmentation, np.random.default_rng(seed))


def eroded(mask: npt.NDArray[np.bool_], by: int) -> npt.NDArray[np.bool_]:
    """The pixels all of whose neighbours up to ``by`` pixels away are on the canvas and set."""
    padded = np.pad(mask, by)
    height, width = mask.shape
    out = mask.copy()
    for dy in range(2 * by + 1):
        for dx in range(2 * by + 1):
            out &= padded[dy : dy + height, dx : dx + width]
    return out


@given(
    height=st.integers(16, 120),
    width=st.integers(16, 120),
    size=st.sampled_from([32, 64, 96]),
    long_side=st.integers(24, 200),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60)
def test_photo_masks_and_ignore_stay_together(
    height: int, width: int, size: int, long_side: int, seed: int
) -> None:
    example = make_scene(height, width, seed, things=2)
    example.photo[example.ignore] = (10, 200, 10)
    scale = long_side / max(height, width)
    crop = crop_of(example, size, (long_side, long_side), seed)
    assert crop.photo.shape == (size, size, 3)
    assert crop.masks.shape[1:] == crop.ignore.shape == (size, size)
    assert crop.photo.dtype == np.uint8
    assert crop.masks.dtype == crop.ignore.dtype == np.bool_
    assert crop.complete
    assert all(mask.sum() >= KEPT_AREA for mask in crop.masks)

    # The photo is a rectangle on the canvas, beside it is padding, of which nothing is known.
    content = (crop.photo != PAD).any(2)
    rows, columns = np.flatnonzero(content.any(1)), np.flatnonzero(content.any(0))
    assert content[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    for found, extent in ((len(rows), height * scale), (len(columns), width * scale)):
        assert abs(found - min(size, max(1, extent))) <= 0.5
    assert not crop.masks.any(0)[~content].any()
    assert crop.ignore[~content].all()

    # Colours are blended only near the borders of things.
    blend = 2 + int(np.ceil(scale))
    red, green = crop.photo[..., 0], crop.photo[..., 1]
    for mask in crop.masks:
        inner = eroded(mask, blend)
        colours = np.unique(crop.photo[inner], axis=0)
        assert len(colours) <= 1
        assert not inner.any() or tuple(colours[0]) in (colour_of(1), colour_of(2))
    # What is ignored is marked so, or is a thing of which too little is shown.
    ignored = eroded(crop.ignore, blend) & content
    assert ((green[ignored] == 200) | (red[ignored] >= 200)).all()
    if len(crop.masks) == len(example.masks):
        assert (red[eroded(content & ~crop.masks.any(0), blend)] < 200).all()


@given(
    extent=st.integers(1, 300),
    size=st.integers(1, 300),
    share=st.floats(0, 1),
    seed=st.integers(0, 100),
)
@settings(max_examples=200)
def test_crop_contains_its_focus(extent: int, size: int, share: float, seed: int) -> None:
    from tracenet.data.augment import _start

    start = _start(extent, size, share * extent, np.random.default_rng(seed))
    if extent <= size:
        assert extent - size <= start <= 0
    else:
        assert 0 <= start <= extent - size
        assert start <= min(int(share * extent), extent - 1) < start + size


def test_crops_show_small_things_in_large_photos() -> None:
    instances = np.zeros((400, 300), np.uint8)
    instances[380:400, 2:22] = 1
    example = annotated(instances)
    shown = [len(crop_of(example, 64, (400, 400), seed).masks) for seed in range(40)]
    assert sum(shown) >= 30  # by chance it would be 2


def test_crops_of_extreme_photos() -> None:
    for shape in ((1, 1), (1, 300), (300, 1), (900, 3)):
        crop = crop_of(annotated(np.ones(shape, np.uint8)), 64, (64, 300), 0)
        assert crop.photo.shape == (64, 64, 3)
    assert crop_of(annotated(np.ones((1, 1), np.uint8)), 64, (64, 64), 0).masks.all()
    assert not len(crop_of(annotated(np.zeros((9, 9), np.uint8)), 64, (64, 64), 0).masks)


def test_what_is_too_small_to_be_a_target_is_not_background() -> None:
    instances = np.zeros((64, 64), np.uint8)
    instances[10:30, 10:30], instances[40:41, 20:51] = 1, 2  # 31 pixels of the second
    crop = crop_of(annotated(instances), 64, (64, 64), 0)
    assert crop.masks.sum((1, 2)).tolist() == [400]
    assert crop.tapped.tolist() == [True]
    # All but what is known to be nothing.
    red = crop.photo[..., 0] >= 200
    assert np.array_equal(crop.masks[0] | crop.ignore, red)
    assert crop.ignore.sum() == 31


def test_crops_vary_and_repeat() -> None:
    example = make_scene(60, 80)
    crops = [crop_of(example, 64, (64, 128), seed, colour=0.3) for seed in range(12)]
    for seed, crop in enumerate(crops):
        again = crop_of(example, 64, (64, 128), seed, colour=0.3)
        for one, two in zip(vars(crop).values(), vars(again).values(), strict=True):
            assert np.array_equal(one, two)
    assert len({crop.photo.tobytes() for crop in crops}) == 12

    # Both directions occur: the left half of this photo is the thing.
    half = np.zeros((64, 64), np.uint8)
    half[:, :32] = 1
    lefts = {
        bool(crop_of(annotated(half), 64, (64, 64), seed).masks[0, 0, 0]) for seed in range(12)
    }
    assert lefts == {True, False}


def test_colours_vary_within_their_share() -> None:
    grey = AnnotatedPhoto(
        np.full((64, 64, 3), 100, np.uint8),
        np.ones((1, 64, 64), np.bool_),
        np.zeros((64, 64), np.bool_),
        complete=False,
        name="grey",
        instances=(Instance(1, None),),
    )
    values = []
    for seed in range(30):
        crop = crop_of(grey, 64, (64, 64), seed, colour=0.3)
        assert not crop.complete
        values.append(int(crop.photo[5, 5, 0]))
    assert min(values) < 85
    assert max(values) > 115
    assert all(69 <= value <= 131 for value in values)


# Taps

INPUTS = TapInputs(
    pixels=3 * 64 * 64,
    canvas_sizes=(64,),
    taps_per_megapixel=2000,
    background_share=0.5,
    augmentation=Augmentation((0.75, 2), 0),
    copy_paste=CopyPaste(probability=0),
)


def batches(example: AnnotatedPhoto, inputs: TapInputs = INPUTS, count: int = 3) -> list[TapBatch]:
    dataset = TapDataset(Scenes([example]), inputs, PAD, seed=0)
    return [dataset[step] for step in range(count)]


@pytest.mark.parametrize(
    ("reach", "level"),
    [
        (0.5, 0),
        (63.5, 0),
        (64, 1),
        (127.5, 1),
        (128, 2),
        (255.5, 2),
        (256, 3),
        (511.5, 3),
        (512, 4),
        (1e6, 4),
    ],
)
def test_level_of(reach: float, level: int) -> None:
    assert level_of(reach) == level


def test_batches() -> None:
    for batch in batches(make_scene(80, 100, 1)):
        count = len(batch.taps)
        assert batch.image.shape == (3, 3, 64, 64)
        assert batch.image.dtype == torch.uint8
        assert batch.image_index.dtype == batch.taps.dtype == batch.level.dtype == torch.int64
        assert batch.reach.dtype == batch.box.dtype == batch.mask.dtype == torch.float32
        assert batch.mask.shape == batch.known.shape == (count, 16, 16)
        assert 0 <= batch.mask.min() <= batch.mask.max() <= 1
        on_things = batch.level != NOTHING
        assert torch.bincount(batch.image_index[on_things]).tolist() == [8, 8, 8]
        assert batch.level[on_things].max() == 0  # a 64 px canvas

        for tap in range(count):
            x, y = batch.taps[tap].tolist()
            colour = batch.image[batch.image_index[tap], :, y, x].tolist()
            x0, y0, x1, y1 = batch.box[tap].tolist()
            assert x0 <= x < x1
            assert y0 <= y < y1
            mask, known = batch.mask[tap], batch.known[tap]
            if on_things[tap]:
                assert colour[0] > 140  # a thing's red, perhaps blended
                assert mask[y // TARGET_STRIDE, x // TARGET_STRIDE] > 0
                reach = max(x + 0.5 - x0, y + 0.5 - y0, x1 - x - 0.5, y1 - y - 0.5)
                assert batch.reach[tap] == reach
                assert batch.level[tap] == level_of(reach)
                rows, columns = (np.flatnonzero(mask.amax(axis)) for axis in (1, 0))
                covered = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
                outward = [x0 // 4, y0 // 4, -(-x1 // 4), -(-y1 // 4)]
                assert covered == outward
            else:
                assert colour[0] < 200
                assert not mask.any()
                assert not known.any()
        assert not on_things.all()


def test_background_taps_only_where_all_things_are_annotated() -> None:
    for batch in batches(make_scene(80, 100, 1, complete=False)):
        assert (batch.level != NOTHING).all()


def test_no_background_tap_where_there_is_no_background() -> None:
    instances = np.ones((64, 64), np.uint8)
    instances[:, 32:] = 255
    inputs = dataclasses.replace(INPUTS, augmentation=Augmentation((1, 1), 0))
    for batch in batches(annotated(instances), inputs):
        assert (batch.level == 0).all()
        # Known is what is not ignored; which half that is depends on the flip.
        for mask, known in zip(batch.mask, batch.known, strict=True):
            assert torch.equal(known, mask == 1)
            assert known.sum() == 128


def test_taps_in_the_centre_region() -> None:
    ring = np.zeros((64, 64), np.uint8)
    ring[10:50, 10:50] = 1
    hollow = ring.copy()
    hollow[12:50, 10:50] = 0
    hollow[10:50, 10:12] = 1  # an angle: none of it is near the centre of its box
    for instances, radius in ((ring, 12), (hollow, None)):
        inputs = dataclasses.replace(
            INPUTS,
            taps_per_megapixel=20_000,
            augmentation=Augmentation((1, 1), 0),
            tap_region="centre",
        )
        batch = batches(annotated(instances), inputs, count=1)[0]
        on_thing = batch.level != NOTHING
        x0, y0, x1, y1 = batch.box[on_thing].T
        centre = torch.stack([x0 + x1, y0 + y1], 1) / 2
        away = (batch.taps[on_thing] + 0.5 - centre).abs()
        if radius is None:
            # The nearest pixels: the end of either arm's middle, whose distances are the same.
            assert torch.equal(away.amin(1), torch.full((len(away),), 0.5))
            assert torch.equal(away.amax(1), torch.full((len(away),), 18.5))
        else:
            # 1.5 cells of 8 pixels: a square region, used up to its corners.
            assert away.max() == radius - 0.5
            assert away.amin(1).max() > radius - 2.5


def test_the_centre_region_grows_with_the_thing() -> None:
    thing = np.ones((300, 300), np.bool_)
    for side, stride in ((100, 8), (140, 16), (290, 32)):
        region = taps_module._centre(thing[:side, :side], (0, 0, side, side))
        assert np.sqrt(region.sum()) == 3 * stride
        assert region[side // 2, side // 2]


def test_masks_are_shares_of_cells() -> None:
    mask = np.random.default_rng(0).random((64, 96)) < 0.4
    expected = mask.reshape(16, 4, 24, 4).mean((1, 3))
    found = taps_module._shrink(mask)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected)


def test_a_batch_moves_as_a_whole() -> None:
    batch = batches(make_scene(80, 100, 1), count=1)[0]
    moved = batch.to(torch.device("meta"))
    for one, two in zip(vars(batch).values(), vars(moved).values(), strict=True):
        assert (two.device.type, two.shape, two.dtype) == ("meta", one.shape, one.dtype)


def same(one: TapBatch, two: TapBatch) -> bool:
    tensors = zip(vars(one).values(), vars(two).values(), strict=True)
    return all(torch.equal(a, b) for a, b in tensors)


def test_a_step_is_a_function_of_seed_step_and_process() -> None:
    scenes = Scenes([make_scene(80, 100, seed) for seed in range(4)])
    inputs = dataclasses.replace(INPUTS, canvas_sizes=(32, 64, 96))

    def dataset(seed: int, process: int) -> TapDataset:
        return TapDataset(scenes, inputs, PAD, seed, process, 2)

    first = dataset(0, 0)
    other_order = {step: first[step] for step in (3, 0, 2, 1)}
    again = dataset(0, 0)
    sizes = set()
    for step in range(4):
        batch = again[step]
        assert same(batch, other_order[step])
        assert not same(batch, again[step + 1])
        assert not same(batch, dataset(1, 0)[step])
        other_process = dataset(0, 1)[step]
        assert other_process.image.shape[2:] == batch.image.shape[2:]
        assert not same(batch, other_process)
        sizes.add(batch.image.shape[-1])
        assert len(batch.image) == max(1, round(INPUTS.pixels / batch.image.shape[-1] ** 2))
    assert len(sizes) > 1


def test_photos_are_drawn_by_weight() -> None:
    drawn = []

    class Counted(Scenes):
        def __getitem__(self, index: int) -> AnnotatedPhoto:
            drawn.append(index)
            return super().__getitem__(index)

    photos = Counted([make_scene(64, 64, seed) for seed in range(4)])
    photos.weights = np.array([0.0, 1.0, 3.0, 0.0])
    dataset = TapDataset(photos, dataclasses.replace(INPUTS, pixels=100 * 64 * 64), PAD, 0)
    assert len(dataset[0].image) == 100
    assert set(drawn) == {1, 2}
    assert 0.65 < drawn.count(2) / len(drawn) < 0.85


def test_photos_without_things_are_passed_over_but_not_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nothing = annotated(np.zeros((32, 32), np.uint8))
    rare = Scenes([nothing] * 9 + [make_scene(64, 64)])
    assert len(TapDataset(rare, INPUTS, PAD, 0)[0].image) == 3
    monkeypatch.setattr(canvases_module, "MAXIMUM_TRIES", 50)
    dataset = TapDataset(Scenes([nothing]), INPUTS, PAD, 0)
    refused(lambda: dataset[0], "50 crops in a row showed no thing; check that")
