"""Segmentations are drawn as by pycocotools, or refused before it sees them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from tracenet.data import Problem
from tracenet.data.segmentation import check_segmentation, draw_mask

SIDES = st.integers(1, 40)


def compressed(mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    rle = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {"size": rle["size"], "counts": rle["counts"].decode()}


@st.composite
def polygons(draw: st.DrawFn) -> tuple[list[list[float]], int, int]:
    """One or two polygons, few of them simple, some of them thin, and the sides of a photo."""
    height, width = draw(SIDES), draw(SIDES)
    thickness = draw(st.sampled_from([0.01, 0.3, 1.0, 100.0]))
    centre = draw(st.floats(-0.5, 1.5)) * width, draw(st.floats(-0.5, 1.5)) * height
    slope = draw(st.floats(-2, 2))
    parts = []
    for _ in range(draw(st.integers(1, 2))):
        points = draw(st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=3))
        part = []
        for along, across in points:
            x = along * width / 2
            y = slope * x + across * thickness
            part += [round(centre[0] + x, 2), round(centre[1] + y, 2)]
        parts.append(part)
    return parts, height, width


@given(drawn=polygons())
@settings(max_examples=400)
def test_polygons_are_drawn_as_by_pycocotools_and_never_empty(
    drawn: tuple[list[list[float]], int, int],
) -> None:
    parts, height, width = drawn
    checked = check_segmentation(parts, height, width)
    if checked is Problem.BROKEN_POLYGON:
        # pycocotools draws pixels of some lines, though there is nothing inside them.
        assert not all(near_photo(part, height, width) for part in parts) or all(
            is_line(part) for part in parts
        )
        return
    mask = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(parts, height, width)))
    if isinstance(checked, Problem):
        assert checked is Problem.EMPTY_INSTANCE
        assert not mask.any()
    else:
        assert np.array_equal(draw_mask(checked, height, width), mask)
        assert mask.any()


def near_photo(part: list[float], height: int, width: int) -> bool:
    return all(
        -width <= x <= 2 * width and -height <= y <= 2 * height
        for x, y in zip(part[::2], part[1::2], strict=True)
    )


def is_line(part: list[float]) -> bool:
    """No point is farther than 0.01 pixels from the line through the two farthest apart."""
    points = np.array(part).reshape(-1, 2)
    from_each = points[:, None] - points
    one, other = np.unravel_index(np.square(from_each).sum(2).argmax(), from_each.shape[:2])
    x, y = points[other] - points[one]
    to_points = points - points[one]
    distances = np.abs(x * to_points[:, 1] - y * to_points[:, 0]) / max(np.hypot(x, y), 1e-9)
    return bool((distances < 0.01).all())


def test_a_line_is_no_polygon_though_pycocotools_draws_a_pixel_of_it() -> None:
    parts = [[0.0, 1.0, 1.0, 0.0, 0.5, 0.5]]
    assert coco_mask.area(coco_mask.frPyObjects(parts, 1, 2)[0])
    assert check_segmentation(parts, 1, 2) is Problem.BROKEN_POLYGON


@given(
    height=SIDES,
    width=SIDES,
    share=st.floats(0, 1),
    seed=st.integers(0, 1000),
    damage=st.lists(
        st.tuples(st.integers(0, 10**6), st.characters(min_codepoint=32, max_codepoint=126)),
        max_size=2,
    ),
)
@settings(max_examples=400)
def test_run_lengths_are_drawn_as_by_pycocotools(
    height: int, width: int, share: float, seed: int, damage: list[tuple[int, str]]
) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < share
    rle = compressed(mask)
    characters = list(rle["counts"])
    for at, character in damage:
        characters[at % len(characters)] = character
    rle["counts"] = "".join(characters)
    checked = check_segmentation(rle, height, width)
    if isinstance(checked, Problem):
        assert checked in (Problem.BROKEN_RLE, Problem.EMPTY_INSTANCE)
        assert damage or not mask.any()
    else:
        expected = coco_mask.decode(rle)
        assert damage or np.array_equal(expected, mask)
        assert np.array_equal(draw_mask(checked, height, width), expected)
        assert expected.any()

    runs = np.diff(np.flatnonzero(np.diff(mask.T.ravel(), prepend=False, append=~mask[-1, -1])))
    first = int(np.argmax(mask.T.ravel())) if mask.any() else mask.size
    listed = {"size": [height, width], "counts": [first, *runs.tolist()]}
    checked = check_segmentation(listed, height, width)
    if mask.any():
        assert not isinstance(checked, Problem)
        assert np.array_equal(draw_mask(checked, height, width), mask)
    else:
        assert checked is Problem.EMPTY_INSTANCE


@given(
    segmentation=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from(["size", "counts"]), inner)
            | st.fixed_dictionaries({"size": st.just([4, 5]), "counts": inner})
        ),
    )
)
@settings(max_examples=300)
def test_garbage_is_a_problem_or_a_mask(segmentation: Any) -> None:
    checked = check_segmentation(segmentation, 4, 5)
    if not isinstance(checked, Problem):
        assert draw_mask(checked, 4, 5).any()
