"""One-tap evaluation: the IoU of a mask, the bands of an instance, and where it is tapped."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco
from scenes import Scenes, annotated, make_scene

from tracenet.data import DataError
from tracenet.evaluation.metrics import Truth, bounding_window, mask_iou
from tracenet.evaluation.protocol import (
    BANDS,
    Bands,
    TapProtocol,
    band_sizes,
    draw_in_bands,
    draw_uniform,
    drawn_taps,
)
from tracenet.evaluation.scores import InstanceScore, PhotoScore, TapScore
from tracenet.evaluation.taps_file import FileTaps, tap_lines

Mask = npt.NDArray[np.bool_]


# The score of a mask


@st.composite
def masks(draw: st.DrawFn, count: int, side: int = 9) -> list[Mask]:
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=side))
    return [draw(hnp.arrays(np.bool_, shape)) for _ in range(count)]


@given(pair=masks(2))
def test_without_ignored_pixels_it_is_that_of_coco(pair: list[Mask]) -> None:
    mask, truth = pair
    a, b = (coco.encode(np.asfortranarray(m, np.uint8)) for m in pair)
    assert mask_iou(mask, truth, np.zeros_like(mask)) == coco.iou([a], [b], [0])[0, 0]


@given(triple=masks(3))
def test_ignored_pixels_are_left_out_of_the_union(triple: list[Mask]) -> None:
    mask, truth, ignore = triple
    union = intersection = 0
    for given_, true, ignored in zip(mask.flat, truth.flat, ignore.flat, strict=True):
        union += bool(given_ or true) and not (ignored and not true)
        intersection += bool(given_ and true)
    expected = intersection / union if union else 0.0
    assert mask_iou(mask, truth, ignore) == expected
    # What a mask says there changes nothing.
    assert mask_iou(mask ^ (ignore & ~truth), truth, ignore) == expected


def test_a_known_score() -> None:
    mask, truth, ignore = np.zeros((3, 4, 8), np.bool_)
    truth[:, 2:6] = True
    mask[:, 4:] = True
    assert mask_iou(mask, truth, ignore) == 8 / 24
    ignore[:, 7] = True
    prepared = Truth(truth, ignore)
    assert prepared.area == 16
    assert prepared.iou(mask) == 8 / 20
    assert prepared.iou(truth) == 1.0
    assert prepared.iou(~truth) == 0.0
    assert bounding_window(truth) == (slice(0, 4), slice(2, 6))
    assert bounding_window(truth & False) == (slice(0, 0), slice(0, 0))


# Bands


@st.composite
def things(draw: st.DrawFn) -> Mask:
    (mask,) = draw(masks(1, side=31))
    y, x = (draw(st.integers(0, side - 1)) for side in mask.shape)
    mask[y, x] = True
    return mask


def dilated(mask: Mask, reach_y: int, reach_x: int) -> Mask:
    grown = np.zeros_like(mask)
    for y, x in zip(*np.nonzero(mask), strict=True):
        grown[max(0, y - reach_y) : y + reach_y + 1, max(0, x - reach_x) : x + reach_x + 1] = True
    return grown


@settings(max_examples=60)
@given(mask=things())
def test_bands_are_repeated_dilations_of_the_centre(mask: Mask) -> None:
    """Written out as the paper has it; this also says that the bands are a partition."""
    bands = Bands.of(mask)
    rows, columns = np.nonzero(mask)
    assert (bands.y, bands.x) == (int(rows.mean() + 0.5), int(columns.mean() + 0.5))
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert 10 * (bands.reach_y - 1) < height <= 10 * bands.reach_y
    assert 10 * (bands.reach_x - 1) < width <= 10 * bands.reach_x
    reached = np.zeros_like(mask)
    reached[bands.y, bands.x] = True
    expected = np.full(mask.shape, BANDS)
    seen = np.zeros_like(mask)
    for band in range(1, BANDS + 1):
        reached = dilated(reached, bands.reach_y, bands.reach_x)
        expected[reached & ~seen] = band
        seen |= reached
    assert (bands.numbers(columns, rows) == expected[mask]).all()
    assert band_sizes(mask) == tuple(
        np.count_nonzero(expected[mask] == band) for band in range(1, BANDS + 1)
    )
    assert sum(band_sizes(mask)) == np.count_nonzero(mask)


def test_five_dilations_cover_the_box_of_a_centred_thing() -> None:
    for side in range(1, 60):
        bands = Bands.of(np.ones((side, side), np.bool_))
        assert bands.reach_x * BANDS >= max(bands.x, side - 1 - bands.x)


def test_a_centre_outside_the_mask() -> None:
    ring = np.ones((21, 21), np.bool_)
    ring[5:16, 5:16] = False
    bands = Bands.of(ring)
    assert (bands.x, bands.y) == (10, 10)
    assert not ring[10, 10]
    assert band_sizes(ring) == (0, 17**2 - 11**2 - 0 if bands.reach_x == 4 else 0, 0, 0, 0) or (
        band_sizes(ring)[0] == 0 and sum(band_sizes(ring)) == ring.sum()
    )
    taps = draw_in_bands(ring, 25, np.random.default_rng(0))
    assert all(ring[y, x] for x, y in taps)


@settings(max_examples=60)
@given(mask=things(), count=st.sampled_from([5, 25]), seed=st.integers(0, 99))
def test_taps_in_bands(mask: Mask, count: int, seed: int) -> None:
    taps = draw_in_bands(mask, count, np.random.default_rng(seed))
    assert taps == draw_in_bands(mask, count, np.random.default_rng(seed))
    assert len(set(taps)) == len(taps)
    assert all(mask[y, x] for x, y in taps)
    x, y = np.array(taps).T
    drawn = np.bincount(Bands.of(mask).numbers(x, y), minlength=BANDS + 1)[1:]
    assert list(drawn) == [min(count // BANDS, size) for size in band_sizes(mask)]


# Taps


def test_taps_are_uniform_on_the_mask() -> None:
    mask = np.zeros((7, 9), np.bool_)
    mask[1, 2:5] = mask[4:6, 8] = mask[6, 0] = True
    count = 6000
    taps = draw_uniform(mask, count, np.random.default_rng(0))
    assert len(taps) == count
    hits = np.zeros(mask.shape, int)
    for x, y in taps:
        hits[y, x] += 1
    assert (hits[~mask] == 0).all()
    expected = count / 6
    assert (np.abs(hits[mask] - expected) < 5 * np.sqrt(expected)).all()


@pytest.mark.parametrize("name", ["uniform", "bands"])
def test_taps_depend_on_seed_and_photo_alone(name: str) -> None:
    photos = Scenes([make_scene(90, 120, seed) for seed in range(3)])
    drawn = {
        seed: [taps for _, taps in drawn_taps(photos, TapProtocol(name, 10, seed, 128))]  # type: ignore[arg-type]
        for seed in (0, 1)
    }
    assert drawn[0] != drawn[1]
    fewer = Scenes([annotated(np.zeros((90, 120), np.uint8)), photos[1]])
    again = [taps for _, taps in drawn_taps(fewer, TapProtocol(name, 10, 0, 128))]  # type: ignore[arg-type]
    assert again == [{}, drawn[0][1]]


@pytest.mark.parametrize(
    ("side", "size", "scored"),
    [
        (64, 8, True),  # 64 photo pixels are 256 of the canvas
        (64, 7, False),  # 49 are 196
        (256, 28, False),  # 784 are 196
        (256, 29, True),  # 841 are 210
    ],
)
def test_small_instances_are_not_scored(side: int, size: int, scored: bool) -> None:
    instances = np.zeros((side, side), np.uint8)
    instances[:size, :size] = 1
    drawn = TapProtocol(taps=2, scored_canvas=128).draw(0, annotated(instances))
    assert list(drawn) == ([0] if scored else [])


# Taps as a file


def score_of(
    taps: list[tuple[int, int]], name: str = "scene", instance: int = 1
) -> PhotoScore[InstanceScore]:
    scores = tuple(TapScore(x, y, 1, None, 0.5, None, 0.5) for x, y in taps)
    return PhotoScore(
        0, name, "", (InstanceScore(instance, None, 9, (9, 0, 0, 0, 0), scores, None),)
    )


LINE = '{"photo": "a", "instance": 1, "x": 0, "y": 0, "protocol": "uniform"}'


def test_lines_end_where_json_says(tmp_path: Path) -> None:
    path = tmp_path / "taps.jsonl"
    path.write_text(LINE.replace('"a"', '"a\u2028b"') + "\n\n", encoding="utf-8")
    assert FileTaps.read(path).taps == {("a\u2028b", 1): ((0, 0),)}


@pytest.mark.parametrize("name", ["uniform", "bands"])
def test_taps_come_back_from_a_file(tmp_path: Path, name: str) -> None:
    example = make_scene(90, 120)
    taps = TapProtocol(name, 10, 0, 128).draw(0, example)  # type: ignore[arg-type]
    path = tmp_path / "taps.jsonl"
    scores = [
        score_of(list(group), instance=example.instances[place].id) for place, group in taps.items()
    ]
    path.write_text("".join(tap_lines(scores, name)))  # type: ignore[arg-type]
    read = FileTaps.read(path)
    assert read.name == name
    assert read.draw(0, example) == taps
    # Of two things with the same pixels in their place, only one was tapped.
    some = FileTaps(path, read.name, dict(list(read.taps.items())[:1]))
    assert some.draw(0, example) == dict(list(taps.items())[:1])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 1, is damaged"),
        ("[]", "line 1, is damaged"),
        ('{"photo": "scene"}', "line 1, lacks 'instance'"),
        ('{"photo": 3, "instance": 1, "x": 0, "y": 0, "protocol": "uniform"}', "photo is text"),
        ('{"photo": "a", "instance": 1, "x": 0.5, "y": 0, "protocol": "uniform"}', "whole numbers"),
        ('{"photo": "a", "instance": 1, "x": 0, "y": 0, "protocol": "grid"}', "unknown protocol"),
        ("[" * 100_000, "line 1, is damaged"),
        ("", "lists no tap; give"),
        (f"{LINE}\n{LINE.replace('uniform', 'bands')}", "of bands and uniform; keep those of one"),
    ],
)
def test_files_that_hold_no_taps(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "taps.jsonl"
    path.write_text(line)
    with pytest.raises(DataError, match=said):
        FileTaps.read(path)
    with pytest.raises(DataError, match="cannot be read"):
        FileTaps.read(tmp_path / "nothing.jsonl")


def test_taps_of_other_annotations(tmp_path: Path) -> None:
    instances = np.zeros((40, 40), np.uint8)
    instances[10:30, 10:30] = 1
    example = annotated(instances)
    for at, protocol, said in (
        ((0, 0), "uniform", r"\(0, 0\) is not on instance 1 of scene"),
        ((99, 0), "uniform", "is not on instance 1"),
        ((20, 20), "bands", "no tap in a band"),
    ):
        path = tmp_path / "taps.jsonl"
        line = {"photo": "scene", "instance": 1, "x": at[0], "y": at[1], "protocol": protocol}
        path.write_text(json.dumps(line))
        with pytest.raises(DataError, match=said):
            FileTaps.read(path).draw(0, example)


def test_taps_in_bands_that_come_twice(tmp_path: Path) -> None:
    """They would pass for a sample without replacement, and its variance for zero or less."""
    example = make_scene(90, 120)
    taps = TapProtocol("bands", 10, 0, 128).draw(0, example)
    doubled = {("scene", example.instances[place].id): group * 2 for place, group in taps.items()}
    with pytest.raises(DataError, match="has a tap twice on instance 1 of scene"):
        FileTaps(tmp_path / "taps.jsonl", "bands", doubled).draw(0, example)
