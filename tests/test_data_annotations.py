"""Annotations of COCO and LVIS: their ids, and which of them are ignored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from instances_json import coco, lvis, refused


@pytest.mark.parametrize(
    ("ids", "shared"),
    [
        ([1, 2, 1, 2], [1, 2, 3, 4]),  # anew in each photo
        ([0, 0, 0, 0], [1, 2, 3, 4]),
        ([7, 8, 9, 8], [2, 4]),
        ([7, 8, None, 9], [3]),
        (["a", "b", "a", 3], [1, 2, 3]),
        ([1, True, 2, 3.0], [2, 4]),
        ([[1], {}, 5, 6], [1, 2]),
    ],
    ids=str,
)
def test_annotations_whose_ids_are_not_their_own(
    ids: list[Any], shared: list[int], tmp_path: Path
) -> None:
    listed = [
        {"id": given, "image_id": image_id}
        for given, image_id in zip(ids, (9, 9, 4, 4), strict=True)
    ]
    for photos in (coco(tmp_path, listed), lvis(tmp_path, listed)):
        assert [one.id for one in photos[1].instances] == [1, 2]
        assert [one.id for one in photos[0].instances] == [3, 4]
        assert photos[0].complete == photos.exhaustive
        assert photos.problems.to_dict() == {
            "numbered_anew": {
                "count": len(shared),
                "rule": "noted",
                "first": [f"number {number} in the list" for number in shared],
            }
        }
    # What else is wrong with them is named by what they are called now.
    photos = coco(tmp_path, [*listed, {"id": 5, "segmentation": []}])
    assert photos.problems.to_dict()["no_segmentation"]["first"] == ["number 5 in the list"]


def test_annotations_that_are_all_ignored(tmp_path: Path) -> None:
    said = r"has nothing to tap: 3 of its 3 annotations are marked iscrowd, .*; set iscrowd to 0"
    for crowd in (1, True, 1.0, "1", "true"):
        refused(lambda crowd=crowd: coco(tmp_path, [{"iscrowd": crowd}] * 3), said)
        refused(lambda crowd=crowd: lvis(tmp_path, [{"iscrowd": crowd}] * 3), said)
    refused(
        lambda: coco(tmp_path, [{"iscrowd": 1}, {"segmentation": []}]),
        r"1 of its 2 annotations .*; skipped 1: annotations without a segmentation: id 2$",
    )


@pytest.mark.parametrize("crowd", [0, False, 0.0, None, "0", " False", "FALSE"])
def test_what_is_no_crowd(crowd: Any, tmp_path: Path) -> None:
    photos = coco(tmp_path, [{"iscrowd": crowd}])
    assert not photos.problems
    assert len(photos[1].masks) == 1


@pytest.mark.parametrize("crowd", [2, -1, "no", "", [], {}, float("nan")], ids=str)
def test_what_may_be_a_crowd(crowd: Any, tmp_path: Path) -> None:
    photos = coco(tmp_path, [{}, {"iscrowd": crowd}])
    assert photos.problems.to_dict() == {
        "broken_crowd": {"count": 1, "rule": "skipped", "first": ["id 2"]}
    }
    assert len(photos[1].masks) == 1
    assert not photos[1].complete
    refused(
        lambda: coco(tmp_path, [{"iscrowd": crowd}] * 2),
        r"no usable annotation: skipped 2: annotations whose iscrowd is .*: id 1, id 2;",
    )
