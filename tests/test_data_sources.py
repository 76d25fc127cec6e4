"""COCO and LVIS: what is right is read, what is wrong is named, counted, and skipped or refused."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from accelerate.state import AcceleratorState
from instances_json import SQUARE, coco, compressed, lvis, rectangle, refused, write_json
from PIL import Image
from scenes import TINY, make_scene

from tracenet.data import (
    CocoDataset,
    Instance,
    LvisDataset,
    Problem,
    open_dataset,
)
from tracenet.data.problems import NAMED
from tracenet.options import DEFAULT_NETWORK
from tracenet.training import cli


def test_coco(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = coco(
        tmp_path,
        [
            {"segmentation": [*SQUARE, [10, 6, 12, 6, 12, 9, 10, 9]], "iscrowd": 0},
            # By columns, from the top left: 30 off, 20 on, and so on.
            {"segmentation": {"size": [10, 20], "counts": [30, 20, 150]}, "category_id": 7},
            {"segmentation": {"size": [10, 20], "counts": [190, 10]}, "iscrowd": 1},
            {"segmentation": {"size": [10, 20], "counts": [180, 5, 15]}, "iscrowd": 1},
            {"segmentation": compressed(rectangle(2, 11, 9, 14)), "id": 70},
        ],
        categories=[{"id": 1, "name": "thing"}, {"id": 7, "name": "cat"}],
    )
    assert capsys.readouterr() == ("", "")  # stdout is the tools'
    assert len(photos) == 2
    assert photos.weights.tolist() == [1, 1]
    assert not photos.problems
    empty, full = photos[0], photos[1]  # by id
    assert empty.name == "two.png"
    assert empty.masks.shape == (0, 10, 20)
    assert empty.instances == ()
    assert not empty.ignore.any()
    assert empty.complete
    assert full.complete
    assert full.name == "one.png"
    assert full.instances == (Instance(1, "thing"), Instance(2, "cat"), Instance(70, "thing"))
    two_parts = rectangle(1, 2, 5, 8) | rectangle(6, 10, 9, 12)
    expected = [two_parts, rectangle(0, 3, 10, 5), rectangle(2, 11, 9, 14)]
    assert np.array_equal(full.masks, expected)
    assert full.masks.dtype == full.ignore.dtype == np.bool_
    assert np.array_equal(full.ignore, rectangle(0, 19, 10, 20) | rectangle(0, 18, 5, 19))
    assert full.photo[0, 0].tolist() == [255, 0, 0]


def test_lvis(tmp_path: Path) -> None:
    path = write_json(
        tmp_path,
        [{}, {"image_id": 4, "category_id": 3}],
        categories=[
            {"id": 1, "name": "aerosol_can", "frequency": "c", "synset": "aerosol.n.02"},
            {"id": 3, "name": "abacus", "frequency": "r", "synset": "abacus.n.01"},
        ],
    )
    content = json.loads(path.read_text())
    for image in content["images"]:
        del image["file_name"]
        image |= {"neg_category_ids": [3], "not_exhaustive_category_ids": []}
    path.write_text(json.dumps(content))
    split = tmp_path / "train2017"
    split.mkdir()
    (tmp_path / "two.png").rename(split / "two.png")
    photos = LvisDataset(path, tmp_path)
    assert not photos.problems
    assert [photo.name for photo in (photos[0], photos[1])] == ["train2017/two.png", "one.png"]
    assert photos[0].instances == (Instance(2, "abacus"),)
    assert photos[1].instances == (Instance(1, "aerosol_can"),)
    for photo in (photos[0], photos[1]):
        assert np.array_equal(photo.masks, [rectangle(1, 2, 5, 8)])
        # It is unknown whether there are things of the categories that nobody looked for.
        assert not photo.complete
        assert not photo.ignore.any()


DAMAGED = [
    ("no record", Problem.UNKNOWN_IMAGE, "number 1 in the list"),
    ({"image_id": 8}, Problem.UNKNOWN_IMAGE, "id 2"),
    ({"image_id": [9]}, Problem.UNKNOWN_IMAGE, "id 2"),
    *(
        ({"segmentation": segmentation}, problem, "id 2")
        for problem, segmentations in (
            (Problem.NO_SEGMENTATION, (None, [], "text", 3)),
            (
                Problem.BROKEN_POLYGON,
                (
                    [[]],
                    [[1, 2]],
                    [[1, 2, 3, 4]],  # pycocotools takes four numbers for a box
                    [[2, 1, 8, 1, 8, 5, 2]],
                    [[2, 1, 8, 1, 8, float("nan")]],
                    [[2, 1, 8, 1, 8, float("inf")]],
                    [[2, 1, 8, 1, 8, "5"]],
                    [["2", "1", "8", "1", "8", "5"]],
                    [[2, 1, 8, 1, 8, None]],
                    [[[2, 1], [8, 1], [8, 5]]],
                    [[2, 1, 8, 1, 8, [5]]],
                    [2, 1, 8, 1, 8, 5],
                    [[2, 1, 8, 1, 8, 10**9]],
                    [[2, 1, 8, 1, 8, 10**30]],
                    [[2, 1, 8, 1, 8, 10**400]],
                    [[2.5, 1, 8, 1, 8, 10**400]],
                    [*SQUARE, [1, 2]],
                    [[2, 1, 8, 1, 5, 1]],
                    [[1, 1, 2, 2, 3.3, 3.3, 0.7, 0.7]],
                    [[3, 3, 3, 3, 3, 3], [1, 1, 1, 1, 1, 5]],
                ),
            ),
            (
                Problem.RLE_SIZE,
                (
                    {"size": [10, 21], "counts": [30, 20, 160]},
                    {"size": [20, 10], "counts": [30, 20, 150]},
                    {"size": "10", "counts": [30, 20, 150]},
                    {"counts": [30, 20, 150]},
                    {},
                ),
            ),
            (
                Problem.BROKEN_RLE,
                (
                    {"size": [10, 20]},
                    *(
                        {"size": [10, 20], "counts": counts}
                        for counts in (
                            [],
                            "",
                            5,
                            [30, 20, 149],
                            [30, 20, 151],
                            [30, -20, 190],
                            [30.5, 20, 149.5],
                            [30, [20], 150],
                            [30, None, 170],
                            [2**63, 1],
                            [2**62] * 4,
                            "\u00e9",
                            "\ud800",
                            "P",  # a number that goes on after the end
                            "PPPPPPP0",
                            "~~",
                            "0",
                        )
                    ),
                ),
            ),
            (
                Problem.EMPTY_INSTANCE,
                (
                    {"size": [10, 20], "counts": [200]},
                    {"size": [10, 20], "counts": [30, 0, 170]},
                    compressed(rectangle(0, 0, 0, 0)),
                    [[25, 1, 30, 1, 30, 5]],  # beside the photo
                    [[5.1, 5.1, 5.3, 5.1, 5.3, 5.3]],  # between the pixels
                ),
            ),
        )
        for segmentation in segmentations
    ),
]


@pytest.mark.parametrize(("damage", "problem", "name"), DAMAGED, ids=str)
@pytest.mark.parametrize("crowd", [0, 1])
def test_a_damaged_annotation_is_skipped_and_counted(
    damage: Any, problem: Problem, name: str, crowd: int, tmp_path: Path
) -> None:
    damaged = damage | {"iscrowd": crowd} if isinstance(damage, dict) else damage
    if name.startswith("number"):
        photos = coco(tmp_path, [damaged, {"id": 5}, {"id": 6, "image_id": 4}])
    else:
        photos = coco(tmp_path, [{"id": 1}, damaged, {"id": 6, "image_id": 4}])
    assert photos.problems.to_dict() == {
        problem.name.lower(): {"count": 1, "rule": "skipped", "first": [name]}
    }
    other, hurt = photos[0], photos[1]
    assert np.array_equal(hurt.masks, [rectangle(1, 2, 5, 8)])
    assert not hurt.ignore.any()
    # What was left out is somewhere on the photo, and no background.
    assert hurt.complete == (problem is Problem.UNKNOWN_IMAGE)
    assert other.complete


def test_all_that_is_wrong_is_counted_and_the_first_are_named(tmp_path: Path) -> None:
    broken = [{"segmentation": [[1, 2]]}] * (NAMED + 2)
    photos = coco(
        tmp_path,
        [*broken, {"category_id": 2}, {"category_id": [1]}, {"iscrowd": 1, "category_id": 6}],
        categories=[
            {"id": 1, "name": "thing"},
            {"id": 6, "name": "line\nbreak"},
            {"id": 6, "name": "again"},
            {"id": 8},
            "no record",
        ],
    )
    problems = photos.problems
    assert problems.to_dict() == {
        "broken_polygon": {
            "count": NAMED + 2,
            "rule": "skipped",
            "first": [f"id {number}" for number in range(1, NAMED + 1)],
        },
        "broken_category": {
            "count": 3,
            "rule": "skipped",
            "first": ["number 3 in the list", "number 4 in the list", "number 5 in the list"],
        },
        "unknown_category": {"count": 2, "rule": "noted", "first": ["id 8", "id 9"]},
        "empty_category": {"count": 2, "rule": "noted", "first": ["thing", "'line\\nbreak'"]},
    }
    json.dumps(problems.to_dict())
    lines = str(problems).splitlines()
    assert len(lines) == 4
    assert lines[0].startswith(f"skipped {NAMED + 2}: annotations with a broken polygon (")
    assert lines[0].endswith(": id 1, id 2, id 3, id 4, id 5, ...")
    assert lines[3] == "noted 2: categories without a usable instance: thing, 'line\\nbreak'"
    assert photos[1].instances == (Instance(8, None), Instance(9, None))


def test_missing_photos(tmp_path: Path) -> None:
    path = write_json(tmp_path, [{}, {"image_id": 4, "segmentation": "text"}])
    (tmp_path / "two.png").unlink()
    for photos in (CocoDataset(path, tmp_path), LvisDataset(path, tmp_path)):
        assert len(photos) == len(photos.weights) == 1
        assert photos[0].name == "one.png"
        found = photos.problems.to_dict()
        assert list(found) == ["missing_photo"]  # what it was annotated with is not told again
        assert found["missing_photo"]["count"] == 1
        assert "two.png" in found["missing_photo"]["first"][0]
    (tmp_path / "one.png").unlink()
    refused(
        lambda: CocoDataset(path, tmp_path), r"2 of the 2 photos .* not in .*, such as one\.png;"
    )
    refused(lambda: LvisDataset(path, tmp_path), r"such as train2017/one\.png; most probably")
    refused(lambda: CocoDataset(path, tmp_path / "nowhere"), r"not in .*nowhere, such as one\.png")


@pytest.mark.parametrize(
    "damage",
    [
        {"file_name": None},
        {"file_name": ""},
        {"height": None},
        {"width": 0},
        {"height": "10"},
        {"height": 10.5},
        {"height": 10**6, "width": 10**6},
    ],
    ids=str,
)
def test_damaged_image_records(damage: dict[str, Any], tmp_path: Path) -> None:
    path = write_json(tmp_path, [{}, {"image_id": 4}])
    content = json.loads(path.read_text())
    content["images"][0] |= damage
    content["images"].append("no record")
    path.write_text(json.dumps(content))
    photos = CocoDataset(path, tmp_path)
    assert photos.problems.to_dict() == {
        "broken_image": {"count": 2, "rule": "skipped", "first": ["id 9", "number 3 in the list"]}
    }
    assert [photo.name for photo in (photos[0],)] == ["two.png"]
    content["images"] = content["images"][:1]
    path.write_text(json.dumps(content))
    refused(lambda: CocoDataset(path, tmp_path), "lists no usable image: skipped 1: image records")


@pytest.mark.parametrize("url", [None, 3, "", "//"])
def test_lvis_without_urls(url: Any, tmp_path: Path) -> None:
    image = {"id": 9, "height": 10, "width": 20, "coco_url": url}
    refused(lambda: lvis(tmp_path, [{}], images=[image]), r"no usable image: .* file name.*: id 9$")


@pytest.mark.parametrize("name", ["x" * 5000, "nul\0", "../one.png/one.png"])
def test_names_that_no_file_can_have(name: str, tmp_path: Path) -> None:
    images = [
        {"id": 9, "file_name": "one.png", "height": 10, "width": 20},
        {"id": 4, "file_name": name, "height": 10, "width": 20},
    ]
    photos = coco(tmp_path, [{}], images=images)
    assert photos.problems.count(Problem.MISSING_PHOTO) == 1
    assert "\0" not in str(photos.problems)


def test_what_is_no_instances_json(tmp_path: Path) -> None:
    for kind, form in ((CocoDataset, "COCO instances"), (LvisDataset, "LVIS v1")):
        refused(lambda kind=kind: kind(tmp_path / "no.json", tmp_path), r"no\.json does not exist")
        path = tmp_path / "instances.json"
        for text in (
            "",
            "[]",
            "3",
            "\x00",
            "[" * 100_000,
            '{"annotations": [], "categories": []}',
            '{"images": [], "categories": []}',
            '{"images": [], "annotations": []}',
            '{"images": {}, "annotations": [], "categories": []}',
        ):
            path.write_text(text)
            refused(lambda kind=kind, path=path: kind(path, tmp_path), f"is not {form} JSON")
    path.write_bytes(b"\xff\xfe\x00")
    refused(lambda: CocoDataset(path, tmp_path), "is not COCO instances JSON")
    refused(lambda: coco(tmp_path, [{}], images=[]), "lists no usable image: its list is empty")
    refused(lambda: coco(tmp_path, []), "no usable annotation: ")
    refused(
        lambda: coco(tmp_path, [{"segmentation": []}] * 3),
        r"no usable annotation: skipped 3: annotations without a segmentation: id 1, id 2, id 3;",
    )
    image = {"id": 9, "file_name": "one.png", "height": 10, "width": 20}
    refused(lambda: coco(tmp_path, [{}], images=[image, image]), "two images with the id 9")


def test_photos_that_do_not_fit_their_records(tmp_path: Path) -> None:
    photos = coco(tmp_path, [{}])
    Image.new("RGB", (21, 10)).save(tmp_path / "one.png")
    refused(lambda: photos[1], r"one\.png is 21 x 10 \(.*\), its annotations are for 20 x 10; put")
    lying = Image.Exif()
    lying[0x0112] = 6
    Image.new("RGB", (20, 10)).save(tmp_path / "one.png", exif=lying)
    refused(lambda: photos[1], r"is 10 x 20 \(turned as its EXIF .*\), its annotations are for 20")
    Image.new("RGB", (10, 20)).save(tmp_path / "one.png", exif=lying)
    assert photos[1].photo.shape == (10, 20, 3)
    (tmp_path / "one.png").write_bytes(b"no photo")
    refused(lambda: photos[1], r"one\.png")
    (tmp_path / "one.png").unlink()
    refused(lambda: photos[1], r"no photo at .*one\.png")
    assert photos[0].complete


def test_a_large_polygon_without_a_pixel_is_refused_when_it_is_read(tmp_path: Path) -> None:
    """A comb whose teeth all pass between the centres of the pixels: too odd to look for."""
    comb = [1.6, 1.0]
    for x in range(1, 18):
        comb += [x + 0.6, 1.01, x + 0.6, 9, x + 1.3, 9, x + 1.3, 1.01]
    photos = coco(tmp_path, [{"segmentation": [[*comb, 18.6, 1.0]]}])
    refused(lambda: photos[1], r"annotation 1 of .*one\.png has no pixel")


# Training from them


@pytest.fixture
def _tiny_default(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    from tracenet.model import CONFIGS

    monkeypatch.setitem(CONFIGS, DEFAULT_NETWORK, TINY)
    AcceleratorState._reset_state(True)
    yield
    AcceleratorState._reset_state(True)


@pytest.mark.usefixtures("_tiny_default")
@pytest.mark.parametrize("source", ["--coco", "--lvis"])
def test_training(source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene = make_scene(60, 80)
    images, annotations = [], []
    for number in range(2):
        name = f"{number}.png"
        Image.fromarray(scene.photo).save(tmp_path / name)
        url = f"http://images.cocodataset.org/val2017/{name}"
        image = {"id": number, "file_name": name, "coco_url": url, "height": 60, "width": 80}
        images.append(image)
        annotations += [
            {"image_id": number, "segmentation": compressed(mask)} for mask in scene.masks
        ]
    broken = {"image_id": 0, "segmentation": [[1, 2, 3]]}
    path = write_json(tmp_path, [*annotations, broken], images=images)
    arguments = (
        f"{source} {path} {tmp_path} --out {tmp_path / 'run'} --canvas 160 --workers 0 --json"
    )
    small = f"--pixels {2 * 160 * 160 / 1e6} --precision no --steps 2"
    assert cli.main(f"{arguments} {small}".split()) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["steps"] == 2
    assert re.search(f"^skipped 1: .* polygon .*: id {len(annotations) + 1}$", shown.err, re.M)


@pytest.mark.parametrize("source", ["--coco", "--lvis"])
def test_training_refuses_in_a_sentence(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_json(tmp_path / "here", [{}])
    run = ["--out", str(tmp_path / "run")]
    assert cli.main([source, str(path), str(tmp_path / "elsewhere"), *run]) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("tracenet-train: 2 of the 2 photos")
    assert shown.err.count("\n") == 1
    for wrong in (["--set-weight", "a=1"], ["--data", "photos"]):
        with pytest.raises(SystemExit):
            cli.main([source, str(path), str(tmp_path), *run, *wrong])
        assert wrong[0] in capsys.readouterr().err


@pytest.mark.parametrize("given", [{}, {"folder": Path("a"), "coco": (Path("a.json"), Path("a"))}])
def test_a_dataset_is_opened_from_one_place(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="one of folder, coco and lvis"):
        open_dataset(**({"folder": None, "coco": None, "lvis": None} | given))
