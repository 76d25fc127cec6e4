"""Annotated photos from a folder of instance maps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scenes import make_scene, scene_map, write_folder

from tracenet.data import DataError, FolderDataset, Instance
from tracenet.data import folder as folder_module
from tracenet_runtime.errors import OutOfMemory


def refused(call: Any, match: str) -> None:
    with pytest.raises(DataError, match=match) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "photos", [scene_map(48, 64, seed) for seed in range(3)])


def test_folder(folder: Path) -> None:
    photos = FolderDataset(folder)
    assert len(photos) == 3
    assert photos.weights.tolist() == [1, 1, 1]
    for index in range(3):
        example, truth = photos[index], make_scene(48, 64, index)
        assert example.photo.shape == (48, 64, 3)
        assert example.photo.dtype == np.uint8
        difference = np.abs(example.photo.astype(int) - truth.photo)
        assert difference.mean() < 12  # a JPEG
        assert example.masks.dtype == example.ignore.dtype == np.bool_
        assert np.array_equal(example.masks, truth.masks)
        assert np.array_equal(example.ignore, truth.ignore)
        assert truth.ignore.any()
        assert example.complete == (index % 2 == 0)
        assert example.name == f"scene_{index}"
        assert example.instances == truth.instances
    assert not photos.problems
    assert photos.problems.to_dict() == {}


def test_folder_with_ids_anywhere_in_the_range_and_none(tmp_path: Path) -> None:
    empty = np.zeros((20, 30), np.uint8)
    sparse = empty.copy()
    sparse[2:5], sparse[7:9], sparse[15:] = 250, 7, 255
    photos = FolderDataset(write_folder(tmp_path / "photos", [empty, sparse]))
    assert photos[0].masks.shape == (0, 20, 30)
    assert not photos[0].ignore.any()
    assert photos[1].masks.sum((1, 2)).tolist() == [60, 90]
    assert photos[1].ignore.sum() == 150
    assert photos[1].instances == (Instance(7, None), Instance(250, None))


def test_folder_reads_palette_maps(folder: Path) -> None:
    instances = scene_map(48, 64, 0)
    picture = Image.fromarray(instances).convert("P")
    assert np.array_equal(np.asarray(picture), instances)
    picture.putpalette(np.random.default_rng(0).integers(0, 256, 768, np.uint8).tobytes())
    picture.save(folder / "scene_0.png")
    assert Image.open(folder / "scene_0.png").mode == "P"
    assert np.array_equal(FolderDataset(folder)[0].masks, make_scene(48, 64, 0).masks)


def test_weights_of_sets(folder: Path) -> None:
    assert FolderDataset(folder, {"odd": 2.5}).weights.tolist() == [1, 2.5, 1]
    assert FolderDataset(folder, {"odd": 0}).weights.tolist() == [1, 0, 1]
    refused(
        lambda: FolderDataset(folder, {"old": 1, "even": 2}), "no set old; its sets are even, odd"
    )
    for weights in (
        {"odd": -1.0},
        {"odd": float("nan")},
        {"odd": float("inf")},
        {"odd": 0.0, "even": 0.0},
    ):
        refused(lambda weights=weights: FolderDataset(folder, weights), "not negative")


def test_folder_without_a_usable_index(folder: Path, tmp_path: Path) -> None:
    refused(lambda: FolderDataset(tmp_path / "nowhere"), r"index\.jsonl does not exist; give")
    index = folder / "index.jsonl"
    good = index.read_text()
    for damage, match in (
        ("\n \n", "lists no photo"),
        (good + "{", "line 4, is damaged"),
        (good + "[1]", "line 4, is damaged"),
        (good.replace('"id"', '"instances": "many", "id"'), "line 1, is damaged"),
        (good + '\n{"id": "a", "complete": true}', "line 5, lacks 'set'"),
        (good.replace('"id"', '"instances": 1e999, "id"'), "line 1, is damaged"),
        (good.replace('"id"', '"instances": NaN, "id"'), "line 1, is damaged"),
        (good.replace("false", '"false"'), "line 2, is damaged: complete is true or false"),
        (good + "[" * 100_000, "line 4, is damaged"),
        (good + good, "lists scene_0 2 times, so it would count as several photos; leave one"),
    ):
        index.write_text(damage)
        refused(lambda: FolderDataset(folder), match)
    index.write_bytes(b"\xff\xfe\x00")
    refused(lambda: FolderDataset(folder), "cannot be read")


def test_folder_with_unusable_photos(folder: Path) -> None:
    photos = FolderDataset(folder)
    photo, instances = folder / "scene_0.jpg", folder / "scene_0.png"
    good_photo, good_map = photo.read_bytes(), instances.read_bytes()

    for damage in (b"", b"no photo", good_photo[: len(good_photo) // 2]):
        photo.write_bytes(damage)
        refused(lambda: photos[0], r"scene_0\.jpg")
    photo.unlink()
    refused(lambda: photos[0], r"no photo at .*scene_0\.jpg")
    photo.write_bytes(good_photo)

    broken_checksum = bytearray(good_map)
    broken_checksum[len(good_map) // 2] ^= 0xFF
    for damage in (b"", b"no map", good_map[: len(good_map) // 2], bytes(broken_checksum)):
        instances.write_bytes(damage)
        refused(lambda: photos[0], r"scene_0\.png cannot be read")
    instances.unlink()
    refused(lambda: photos[0], r"scene_0\.png cannot be read")

    for wrong in (
        np.zeros((48, 63), np.uint8),
        np.zeros((48, 64, 3), np.uint8),
        np.zeros((48, 64), np.uint16),
        np.zeros((48, 64), np.bool_),
    ):
        Image.fromarray(wrong).save(instances)
        refused(lambda: photos[0], "one uint8 channel of the photo's size, 64 x 48")
    instances.write_bytes(good_map)
    assert len(photos[0].masks)


def test_folder_of_which_all_is_ignored(tmp_path: Path) -> None:
    empty = np.zeros((20, 30), np.uint8)
    binary, thing = empty.copy(), empty.copy()
    binary[2:5], thing[2:5] = 255, 1
    refused(
        lambda: FolderDataset(write_folder(tmp_path / "a", [binary, binary])),
        r"2 of the 2 instance maps, such as .*scene_0\.png, hold 0 and 255 alone, .* give",
    )
    refused(
        lambda: FolderDataset(write_folder(tmp_path / "b", [empty, binary])),
        r"1 of the 2 instance maps, such as .*scene_1\.png, hold",
    )
    assert len(FolderDataset(write_folder(tmp_path / "c", [binary, thing]))) == 2
    assert len(FolderDataset(write_folder(tmp_path / "d", [empty, empty]))) == 2
    damaged = write_folder(tmp_path / "e", [binary, binary])
    (damaged / "scene_1.png").write_bytes(b"no map")
    assert len(FolderDataset(damaged)) == 2


@pytest.mark.parametrize("value", [251, 254])
def test_folder_with_a_value_that_means_nothing(value: int, tmp_path: Path) -> None:
    instances = np.zeros((20, 30), np.uint8)
    instances[2:5], instances[7:9], instances[15:] = 3, value, 255
    photos = FolderDataset(write_folder(tmp_path / "photos", [instances]))
    refused(lambda: photos[0], f"scene_0.png has the value {value}; things are 1 to 250, 0 is")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_index_as_editors_save_it(encoding: str, folder: Path) -> None:
    index = folder / "index.jsonl"
    lines = index.read_text().replace("even", "\u00e9ven").splitlines()
    index.write_text("\r\n".join(lines), encoding=encoding)
    photos = FolderDataset(folder, {"\u00e9ven": 2})
    assert photos.weights.tolist() == [2, 1, 2]
    assert len(photos[1].masks) == 3


def test_folder_whose_maps_hold_fewer_or_more_than_the_index_says(folder: Path) -> None:
    index = folder / "index.jsonl"
    rows = [json.loads(line) for line in index.read_text().splitlines()]
    for row, wrong in zip(rows, (0, 1, -1), strict=True):
        row["instances"] = 3 + wrong
    index.write_text("\n".join(map(json.dumps, rows)))
    photos = FolderDataset(folder)
    assert len(photos[0].masks) == 3
    refused(lambda: photos[1], r"scene_1\.png has 3 instances, its line in the index says 4")
    refused(lambda: photos[2], r"scene_2\.png has 3 instances, its line in the index says 2")


def test_folder_without_some_of_its_photos(folder: Path) -> None:
    (folder / "scene_1.png").unlink()
    photos = FolderDataset(folder)
    assert [photos[index].name for index in range(len(photos))] == ["scene_0", "scene_2"]
    assert len(photos.weights) == 2
    assert photos.problems.to_dict() == {
        "missing_photo": {"count": 1, "rule": "skipped", "first": ["scene_1.png"]}
    }
    (folder / "scene_2.jpg").unlink()
    refused(lambda: FolderDataset(folder), r"2 of the 3 photos .*, such as scene_1\.png; most pro")


def test_memory_that_is_refused_is_no_damage(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*arguments: object) -> None:
        raise MemoryError

    (path, *_) = folder.glob("*.png")
    monkeypatch.setattr(np, "asarray", refuses)
    with pytest.raises(OutOfMemory, match=r"not enough memory to decode .*\.png"):
        folder_module._read_map(path)
