"""SUEM copy-paste: what becomes of pixels, masks, taps, ignored regions and completeness."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from scenes import Scenes, annotated, make_scene
from skimage.measure import label

from tracenet.data import AnnotatedPhoto, Augmentation, CopyPaste, TapBatch, TapDataset, TapInputs
from tracenet.data.augment import KEPT_AREA, Crop, drop_specks, random_crop
from tracenet.data.copy_paste import copy_paste
from tracenet.data.taps import NOTHING

PAD = (1, 2, 3)
SIZE = 96
JITTER = Augmentation((0.9, 1.7), 0)
STILL = Augmentation((1, 1), 0)
PASTED = (10, 20, 250)
"""The colour of things that are pasted; scenes have none like it."""

MODES = ("simple", "union", "exclusion", "mixing")
SEEDS = st.integers(0, 10_000)


def only(mode: str, **changes: Any) -> CopyPaste:
    """Copy-paste that always happens and in one mode, with one thing unless said otherwise."""
    weights = {name: float(name == mode) for name in MODES}
    return CopyPaste(probability=1, **({"things": (1, 1)} | weights | changes))


def discs(count: int = 1, diameter: int = 40, *, complete: bool = True) -> AnnotatedPhoto:
    """A row of discs in the colour of pasted things, alone and whole in their photo."""
    instances = Image.new("L", (count * (diameter + 10), diameter + 10))
    for index in range(count):
        left = index * (diameter + 10) + 5
        ImageDraw.Draw(instances).ellipse(
            (left, 5, left + diameter - 1, diameter + 4), fill=index + 1
        )
    source = annotated(np.array(instances), complete=complete)
    source.photo[source.masks.any(0)] = PASTED
    return source


def scene_crop(seed: int, things: int = 3, *, complete: bool = True) -> Crop:
    scene = make_scene(120, 90, seed, things, complete=complete)
    return random_crop(scene, SIZE, PAD, JITTER, np.random.default_rng(seed))


def disc_crop(diameter: int) -> Crop:
    """One disc, ignored pixels below it, no padding."""
    instances = Image.new("L", (SIZE, SIZE))
    start = (SIZE - diameter) // 2
    ImageDraw.Draw(instances).ellipse(
        (start, start, start + diameter - 1, start + diameter - 1), fill=1
    )
    pixels = np.array(instances)
    pixels[-8:] = 255
    return random_crop(annotated(pixels), SIZE, PAD, STILL, np.random.default_rng(0))


def paste(
    crop: Crop,
    how: CopyPaste,
    seed: int,
    source: AnnotatedPhoto | None = None,
    augmentation: Augmentation = JITTER,
) -> Crop:
    source = source or discs()
    random = np.random.default_rng(seed)
    return copy_paste(crop, lambda: source, PAD, augmentation, how, random)


def grown(mask: npt.NDArray[np.bool_], by: int) -> npt.NDArray[np.bool_]:
    """The pixels up to ``by`` pixels from a set one."""
    padded = np.pad(mask, by)
    height, width = mask.shape
    steps = range(2 * by + 1)
    return np.any(
        [padded[dy : dy + height, dx : dx + width] for dy in steps for dx in steps], axis=0
    )


def check_canvas(crop: Crop) -> None:
    assert crop.photo.shape == (SIZE, SIZE, 3)
    assert crop.photo.dtype == np.uint8
    assert crop.masks.shape == (len(crop.tapped), SIZE, SIZE)
    assert crop.ignore.shape == (SIZE, SIZE)
    assert crop.masks.dtype == crop.ignore.dtype == crop.tapped.dtype == np.bool_
    assert all(mask.sum() >= KEPT_AREA for mask in crop.masks)


def check_pixels(before: Crop, after: Crop, covered: npt.NDArray[np.bool_]) -> None:
    """Pasted inside, untouched outside, blended at the edge alone."""
    # Enlarging twice blends two pixels of the source's edge, the soft edge one more.
    # Beyond the canvas's border may be an edge, too.
    inner = ~grown(~np.pad(covered, 4), 4)[4:-4, 4:-4]
    assert (after.photo[inner] == PASTED).all()
    outside = ~grown(covered, 1)
    # What lies just beyond the border may be wider, and blends into the border's own pixels.
    border = np.pad(np.zeros((SIZE - 2, SIZE - 2), np.bool_), 1, constant_values=True)
    outside &= ~(border & grown(covered, 2))
    assert np.array_equal(after.photo[outside], before.photo[outside])


def check_others(before: Crop, after: Crop, covered: npt.NDArray[np.bool_]) -> None:
    """What the canvas showed already loses what is covered; too little left is ignored."""
    left = before.masks & ~covered
    kept = left.sum((1, 2)) >= KEPT_AREA
    assert np.array_equal(after.masks[:-1], left[kept])
    specks = left[~kept].any(0)
    assert np.array_equal(after.ignore, (before.ignore & ~covered) | specks)
    assert not after.masks[:-1, covered].any()
    assert not after.ignore[covered].any()


# Simple


@given(
    seed=SEEDS,
    low=st.floats(0.1, 0.9),
    source_complete=st.booleans(),
    complete=st.booleans(),
    things=st.integers(0, 4),
)
def test_simple(seed: int, low: float, source_complete: bool, complete: bool, things: int) -> None:
    before = scene_crop(seed, things, complete=complete)
    kept = [array.copy() for array in (before.photo, before.masks, before.ignore)]
    source = discs(complete=source_complete)
    after = paste(before, only("simple", extent=(low, 0.9)), seed, source)
    check_canvas(after)
    covered = after.masks[-1]
    check_pixels(before, after, covered)
    check_others(before, after, covered)
    assert after.tapped.all()
    assert after.complete == complete  # whatever the source is
    # A whole disc: nothing of it lies beyond the canvas.
    rows, columns = np.flatnonzero(covered.any(1)), np.flatnonzero(covered.any(0))
    extent = rows[-1] - rows[0] + 1
    assert abs(extent - (columns[-1] - columns[0] + 1)) <= 1
    assert min(low * SIZE, 80) - 2 <= extent <= min(0.9 * SIZE, 80) + 2
    assert abs(covered.sum() / (np.pi / 4 * extent**2) - 1) < 0.2
    # What it was pasted on is not changed.
    for old, array in zip(kept, (before.photo, before.masks, before.ignore), strict=True):
        assert np.array_equal(old, array)


def test_simple_pastes_several_different_things() -> None:
    source = discs(4)
    for thing, mask in enumerate(source.masks):
        source.photo[mask] = (10, 60 * thing, 250)
    empty = scene_crop(0, things=0)
    counts = set()
    for seed in range(30):
        crop = paste(empty, only("simple", things=(1, 3), extent=(0.12, 0.2)), seed, source)
        shades = {60 * thing for thing in range(4) if _shows(crop, (10, 60 * thing, 250))}
        counts.add(len(shades))
        assert len(crop.masks) <= len(shades)
        assert crop.tapped.all()
    assert counts == {1, 2, 3}


def _shows(crop: Crop, colour: tuple[int, int, int]) -> bool:
    return bool((crop.photo == colour).all(2).any())


def test_a_later_thing_covers_an_earlier_one() -> None:
    after = paste(scene_crop(0), only("simple", things=(3, 3), extent=(0.5, 0.9)), 1, discs(3))
    assert after.masks.sum(0).max() == 1


def test_edges_are_soft() -> None:
    before = scene_crop(3, things=0)
    after = paste(before, only("simple", extent=(0.5, 0.5)), 0)
    covered = after.masks[-1]
    shares = (after.photo[..., 2].astype(float) - before.photo[..., 2]) / (
        250.0 - before.photo[..., 2]
    )
    ring = grown(covered, 1) & ~covered
    assert 0.1 < shares[ring].mean() < 0.5
    assert 0.5 < shares[covered & grown(~covered, 1)].mean() < 0.9


def test_things_are_not_enlarged_beyond_recognition() -> None:
    empty = scene_crop(0, things=0)
    after = paste(empty, only("simple", extent=(0.9, 0.9)), 0, discs(diameter=10))
    assert after.masks[-1].any(0).sum() == 20
    # Even enlarged, this one is too small to be a target.
    assert paste(empty, only("simple", extent=(0.9, 0.9)), 0, discs(diameter=3)) is empty


def test_extents_are_log_uniform() -> None:
    empty = scene_crop(0, things=0)
    how = only("simple", extent=(0.12, 0.8))
    extents = [paste(empty, how, s, discs(diameter=80)).masks[-1].any(0).sum() for s in range(300)]
    assert min(extents) >= 0.12 * SIZE - 1
    assert max(extents) <= 0.8 * SIZE + 1
    assert abs(np.median(extents) / SIZE - np.sqrt(0.12 * 0.8)) < 0.05


def test_things_are_flipped_and_recoloured() -> None:
    half = np.zeros((40, 40), np.uint8)
    half[:20] = half[:, :20] = 1  # an L upside down
    empty = scene_crop(0, things=0)
    colours, sides = set(), set()
    for seed in range(12):
        how = only("simple", extent=(0.4, 0.4))
        after = paste(empty, how, seed, annotated(half), Augmentation((0.9, 1.7), 0.3))
        rows, columns = np.nonzero(after.masks[-1])
        bottom = columns[rows == rows.max()]
        sides.add(bool(bottom.mean() < columns.mean()))
        colours.add(tuple(after.photo[rows.min() + 3, int(np.median(columns))]))
    assert sides == {True, False}
    assert len(colours) > 6


@pytest.mark.parametrize("shape", [(1, 200), (200, 1), (300, 3), (1, 1)])
@pytest.mark.parametrize("mode", MODES)
def test_extreme_sources(shape: tuple[int, int], mode: str) -> None:
    source = annotated(np.ones(shape, np.uint8))
    for seed in range(5):
        check_canvas(paste(scene_crop(seed), only(mode, extent=(0.9, 1.5)), seed, source))


@pytest.mark.parametrize("mode", ["simple", "union", "exclusion"])
def test_a_thing_that_fills_its_photo(mode: str) -> None:
    source = annotated(np.ones((SIZE, SIZE), np.uint8))
    for seed in range(5):
        check_canvas(paste(scene_crop(seed), only(mode, extent=(1.0, 1.0)), seed, source))


# Exclusion and union


@given(seed=SEEDS, things=st.integers(1, 4), high=st.floats(0.2, 0.9))
def test_exclusion(seed: int, things: int, high: float) -> None:
    before = scene_crop(seed, things)
    after = paste(before, only("exclusion", extent=(0.1, high)), seed)
    check_canvas(after)
    assume(not after.tapped.all())  # no place where it hides a part only
    covered = after.masks[-1]
    # Of the pasted thing the canvas may show too little.
    assume((after.photo[covered] == PASTED).all(-1).any())
    assert not after.tapped[-1]
    check_pixels(before, after, covered)
    check_others(before, after, covered)
    left = before.masks & ~covered
    kept = left.sum((1, 2)) >= KEPT_AREA
    hidden = (before.masks & covered).any((1, 2))
    assert after.tapped[:-1].tolist() == hidden[kept].tolist()
    assert after.tapped.any()
    assert after.complete


@given(seed=SEEDS, things=st.integers(1, 4), high=st.floats(0.2, 0.9))
def test_union(seed: int, things: int, high: float) -> None:
    before = scene_crop(seed, things)
    union = paste(before, only("union", extent=(0.1, high)), seed)
    check_canvas(union)
    # The same random numbers: the same thing in the same place, only the truth differs.
    exclusion = paste(before, only("exclusion", extent=(0.1, high)), seed)
    assert np.array_equal(union.photo, exclusion.photo)
    assume(not exclusion.tapped.all())
    covered = exclusion.masks[-1]
    assume(not exclusion.tapped[-1] and (union.photo[covered] == PASTED).all(1).any())

    joined = [mask for mask in union.masks if mask[covered].all()]
    assert len(joined) == 1
    victims = [mask for mask in before.masks if np.array_equal(mask | covered, joined[0])]
    assert len(victims) == 1
    assert (victims[0] & covered).any()
    assert (victims[0] & ~covered).sum() >= KEPT_AREA
    assert sum(mask[covered].any() for mask in union.masks) == 1
    assert union.tapped.all()
    assert len(union.masks) == len(exclusion.masks) - 1
    assert np.array_equal(union.ignore, exclusion.ignore)
    assert union.complete


@given(seed=SEEDS, diameter=st.integers(20, 70), extent=st.floats(0.1, 0.9))
def test_union_is_one_connected_thing(seed: int, diameter: int, extent: float) -> None:
    before = disc_crop(diameter)
    after = paste(before, only("union", extent=(extent, extent)), seed)
    assume(len(after.masks) == 1)
    assert (after.masks[0] & ~before.masks[0]).sum() > 0 or extent * SIZE < diameter
    assert label(after.masks[0], connectivity=2).max() == 1


@pytest.mark.parametrize("mode", ["union", "exclusion"])
def test_what_cannot_be_hidden_in_part_is_pasted_beside_or_over(mode: str) -> None:
    pixels = np.zeros((SIZE, SIZE), np.uint8)
    pixels[40:48, 40:44] = 1  # just large enough: not a pixel may be hidden
    small = random_crop(annotated(pixels), SIZE, PAD, STILL, np.random.default_rng(0))
    assert small.masks.sum() == KEPT_AREA
    beside = 0
    for seed in range(20):
        after = paste(small, only(mode, extent=(0.5, 0.5)), seed)
        check_others(small, after, after.masks[-1])
        assert after.tapped.all()
        beside += len(after.masks) == 2
    assert 0 < beside < 20
    # On a canvas without things.
    after = paste(scene_crop(0, things=0), only(mode), 0)
    assert after.tapped.tolist() == [True]


def test_exclusion_leaves_enough_of_its_target() -> None:
    for seed in range(40):
        before = disc_crop(30)
        after = paste(before, only("exclusion", extent=(0.1, 0.9)), seed)
        if not after.tapped.all():
            assert after.tapped.tolist() == [True, False]
            assert (before.masks[0] & after.masks[1]).any()
            assert after.masks[0].sum() >= KEPT_AREA


def test_specks_are_dropped_with_their_taps() -> None:
    masks = np.zeros((3, SIZE, SIZE), np.bool_)
    masks[0, :20, :20] = masks[1, 30:35, :5] = masks[2, 50:, 50:] = True
    canvas = np.zeros((SIZE, SIZE, 3), np.uint8)
    ignore = np.zeros((SIZE, SIZE), np.bool_)
    crop = drop_specks(Crop(canvas, masks, ignore, True, np.array([False, False, True])))
    assert np.array_equal(crop.masks, masks[[0, 2]])
    assert crop.tapped.tolist() == [False, True]
    assert np.array_equal(crop.ignore, masks[1])
    assert drop_specks(crop) is crop


# Mixing


def flat(value: int, *, complete: bool = True) -> AnnotatedPhoto:
    thing = np.zeros((SIZE, SIZE), np.uint8)
    thing[20:60, 20:60] = 1
    photo = annotated(thing, complete=complete)
    photo.photo[:] = value
    return photo


@pytest.mark.parametrize("complete", [True, False])
def test_mixing(complete: bool) -> None:
    before = random_crop(flat(200, complete=complete), SIZE, PAD, STILL, np.random.default_rng(0))
    shares = []
    for seed in range(40):
        how = only("mixing", share=(0.15, 0.35))
        after = paste(before, how, seed, flat(0), STILL)
        check_canvas(after)
        assert np.array_equal(after.masks, before.masks)
        assert np.array_equal(after.ignore, before.ignore)
        assert np.array_equal(after.tapped, before.tapped)
        assert not after.complete  # the other photo's things can be seen
        assert before.complete == complete
        assert len(np.unique(after.photo)) == 1
        shares.append(1 - after.photo[0, 0, 0] / 200)
    assert 0.14 <= min(shares) < 0.19
    assert 0.31 < max(shares) <= 0.36


def test_mixing_needs_no_things_in_the_other_photo() -> None:
    nothing = annotated(np.zeros((50, 50), np.uint8))
    assert not paste(scene_crop(1), only("mixing"), 0, nothing).complete


# When


def test_probability_and_weights() -> None:
    before = scene_crop(1)

    def refuse() -> AnnotatedPhoto:
        raise AssertionError("no photo is needed")

    random = np.random.default_rng(0)
    off = CopyPaste(probability=0)
    assert copy_paste(before, refuse, PAD, Augmentation(), off, random) is before

    how = CopyPaste(0.5, simple=0, union=0, exclusion=1, mixing=3, extent=(0.3, 0.3))
    crops = [paste(before, how, seed) for seed in range(400)]
    changed = [crop for crop in crops if crop is not before]
    assert 170 < len(changed) < 230
    assert 0.68 < sum(not crop.complete for crop in changed) / len(changed) < 0.82


@pytest.mark.parametrize("mode", ["simple", "union", "exclusion"])
def test_a_photo_without_things_changes_nothing(mode: str) -> None:
    before = scene_crop(1)
    assert paste(before, only(mode), 0, annotated(np.zeros((50, 50), np.uint8))) is before


@pytest.mark.parametrize("mode", MODES)
def test_it_repeats(mode: str) -> None:
    crops = [paste(scene_crop(2), only(mode), seed // 2) for seed in range(12)]
    for one, two in zip(crops[::2], crops[1::2], strict=True):
        for a, b in zip(vars(one).values(), vars(two).values(), strict=True):
            assert np.array_equal(a, b)
    assert len({crop.photo.tobytes() for crop in crops}) == 6


# In a whole step


def batch_of(how: CopyPaste, scenes: list[AnnotatedPhoto], step: int = 0) -> TapBatch:
    inputs = TapInputs(
        pixels=6 * SIZE * SIZE,
        canvas_sizes=(SIZE,),
        taps_per_megapixel=2000,
        background_share=0.5,
        augmentation=JITTER,
        copy_paste=how,
    )
    return TapDataset(Scenes(scenes), inputs, PAD, seed=0)[step]


def pasted_under_taps(batch: TapBatch) -> npt.NDArray[np.bool_]:
    x, y = batch.taps.T
    colours = batch.image[batch.image_index, :, y, x]
    return np.asarray((colours == torch.tensor(PASTED, dtype=torch.uint8)).all(1))


def own_and_other(*, complete: bool = True) -> list[AnnotatedPhoto]:
    """Photos of which half have things in the colour of pasted ones."""
    return [make_scene(120, 90, 1, complete=complete), discs(complete=complete)]


def test_steps_with_copy_paste_repeat() -> None:
    scenes = [make_scene(120, 90, seed) for seed in range(4)]
    how = CopyPaste(probability=0.7)
    for step in range(3):
        one, two = batch_of(how, scenes, step), batch_of(how, scenes, step)
        for a, b in zip(vars(one).values(), vars(two).values(), strict=True):
            assert torch.equal(a, b)
        assert not torch.equal(one.image, batch_of(how, scenes, step + 1).image)


def test_taps_lie_on_what_their_mode_says() -> None:
    """The colour under a tap tells whether it lies on what was pasted."""
    scene = make_scene(120, 90, 1)

    class SceneThenDisc(Scenes):
        """Every photo drawn first is the scene, every second one the disc."""

        def __init__(self) -> None:
            super().__init__([scene])
            self._turn = 0

        def __getitem__(self, index: int) -> AnnotatedPhoto:
            self._turn += 1
            return scene if self._turn % 2 else discs()

    def tapped(mode: str) -> tuple[npt.NDArray[np.bool_], TapBatch]:
        inputs = TapInputs(
            pixels=12 * SIZE * SIZE,
            canvas_sizes=(SIZE,),
            taps_per_megapixel=4000,
            augmentation=Augmentation((0.9, 1.3), 0),
            copy_paste=only(mode, extent=(0.2, 0.3)),
        )
        batch = TapDataset(SceneThenDisc(), inputs, PAD, seed=0)[0]
        return pasted_under_taps(batch), batch

    pasted, _ = tapped("simple")
    assert 0.1 < pasted.mean() < 0.6
    pasted, batch = tapped("exclusion")
    assert not pasted.any()
    pasted, batch = tapped("union")
    assert pasted.any()
    # A tap on the pasted part asks for more than that part.
    areas = batch.mask.sum((1, 2))[torch.from_numpy(pasted)] * 16
    assert (areas > np.pi / 4 * (0.3 * SIZE) ** 2 * 1.1).float().mean() > 0.5


def test_no_background_taps_on_mixed_or_incomplete_canvases() -> None:
    def background(how: CopyPaste, *, complete: bool = True) -> int:
        batch = batch_of(how, own_and_other(complete=complete))
        return int((batch.level == NOTHING).sum())

    assert background(only("mixing")) == 0
    assert background(only("simple")) > 0
    assert background(only("simple"), complete=False) == 0


def test_things_are_pasted_onto_photos_that_have_none() -> None:
    nothing = annotated(np.zeros((SIZE, SIZE), np.uint8))
    batch = batch_of(only("exclusion"), [nothing] * 3 + [discs()])
    assert len(batch.image) == 6
    x, y = batch.taps[batch.level != NOTHING].T
    index = batch.image_index[batch.level != NOTHING]
    assert (batch.image[index, 2, y, x] > 130).all()
