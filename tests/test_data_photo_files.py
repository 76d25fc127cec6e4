"""Files that a list names otherwise than the folder has them."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from PIL import Image
from scenes import scene_map, write_folder

from tracenet.data import CocoDataset, DataError, FolderDataset, Problem, Problems
from tracenet.data.photo_files import PhotoFiles

COMPOSED, DECOMPOSED = "caf\u00e9.jpg", unicodedata.normalize("NFD", "caf\u00e9.jpg")


def refusal(folder: Path, *names: str) -> str:
    """What is said of a list of these names, none of which is in the folder."""
    files = PhotoFiles(folder, Path("list.json"), Problems())
    for name in names:
        assert files.find(name) is None
    with pytest.raises(DataError) as caught:
        files.refuse_wrong_folder(len(names))
    said = str(caught.value)
    assert said.isprintable()
    start = f"{len(names)} of the {len(names)} photos that list.json lists are not in {folder}, "
    assert said.startswith(f"{start}such as ")
    return said


@pytest.mark.parametrize(
    ("there", "listed", "said"),
    [
        ("a.JPG", "a.jpg", "a.jpg; there is a.JPG instead, which differs in capital letters; name"),
        ("A.jpg", "a.jpg", "there is A.jpg instead, which differs in capital letters"),
        ("a.jpeg", "a.jpg", "there is a.jpeg instead; name the photos alike in the list and in"),
        (DECOMPOSED, COMPOSED, f"there is {DECOMPOSED} instead, whose accents are written in"),
        (COMPOSED, DECOMPOSED, f"there is {COMPOSED} instead, whose accents are written in"),
        ("a.jpg", "sub\\a.jpg", r"such as sub\a.jpg; there is a.jpg instead; name the photos"),
        ("a.jpg", "C:\\photos\\a.jpg", "there is a.jpg instead; name the photos alike"),
        ("a.jpg", "/home/me/photos/a.jpg", "there is a.jpg instead; name the photos alike"),
        ("sub/a.jpg", "a.jpg", "there is sub/a.jpg instead; name the photos alike"),
        ("sub/A.JPG", "sub\\a.jpg", "there is sub/A.JPG instead, which differs in capital"),
        (
            "a b.jpg",
            "https://x.org/v/a%20b.jpg?w=1",
            "there is a b.jpg instead; list the photos by",
        ),
        ("b.jpg", "https://x.org/a.jpg", "most probably it is the wrong folder: it has b.jpg"),
        ("b.jpg", "a.jpg", "such as a.jpg; most probably it is the wrong folder: it has b.jpg"),
        ("b\n.jpg", "a\n.jpg", r"such as 'a\n.jpg'; most probably it is the wrong folder: it has"),
        (".a.jpg", "a.jpg", "most probably it is the wrong folder: it has Notes.txt"),
        ("b.jpg", "nul\0", "most probably it is the wrong folder: it has b.jpg"),
        ("b.jpg", "x" * 5000 + "/a.jpg", "most probably it is the wrong folder: it has b.jpg"),
    ],
)
def test_what_is_there_instead(there: str, listed: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "photos" / there
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    (tmp_path / "photos" / "Notes.txt").write_text("no photo")
    assert said in refusal(tmp_path / "photos", listed, "other.jpg")


def test_a_folder_that_is_empty_or_not_there(tmp_path: Path) -> None:
    assert refusal(tmp_path, "a.jpg").endswith("most probably it is the wrong folder: it is empty")
    assert refusal(tmp_path / "nowhere", "a.jpg").endswith("it does not exist or cannot be read")


def test_a_few_missing_photos_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    problems = Problems()
    files = PhotoFiles(tmp_path, tmp_path / "list.json", problems)
    assert files.find("a.jpg") == "a.jpg"
    assert files.find("elsewhere/a.jpg", "a.jpg") == "a.jpg"
    assert files.find("b.jpg", "c.jpg") is None
    files.refuse_wrong_folder(3)
    assert problems.count(Problem.MISSING_PHOTO) == 1
    assert str(problems).endswith(": b.jpg")


def test_backslashes_separate_folders(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "photos" / "sub", [scene_map(48, 64, seed) for seed in (0, 1)])
    lines = (folder / "index.jsonl").read_text().replace("scene_", r"sub\\scene_")
    (folder.parent / "index.jsonl").write_text(lines)
    photos = FolderDataset(folder.parent)
    assert [photos[index].name for index in (0, 1)] == ["sub/scene_0", "sub/scene_1"]
    assert len(photos[0].masks) == 3
    lines += '{"id": "sub/scene_1", "set": "a", "complete": true}'
    (folder.parent / "index.jsonl").write_text(lines)
    with pytest.raises(DataError, match="lists sub/scene_1 2 times"):
        FolderDataset(folder.parent)


def test_a_backslash_in_the_name_itself(tmp_path: Path) -> None:
    (tmp_path / "a\\b.jpg").write_bytes(b"")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.jpg").write_bytes(b"")
    files = PhotoFiles(tmp_path, tmp_path / "list.json", Problems())
    assert files.find("a\\b.jpg") == "a\\b.jpg"


def test_coco_as_tools_of_windows_write_it(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    Image.new("RGB", (20, 10)).save(tmp_path / "sub" / "one.png")
    path = tmp_path / "instances.json"
    path.write_text(
        r"""{"images": [{"id": 1, "file_name": "sub\\one.png", "height": 10, "width": 20}],
        "categories": [], "annotations":
        [{"id": 1, "image_id": 1, "segmentation": [[2, 1, 8, 1, 8, 5, 2, 5]]}]}"""
    )
    assert CocoDataset(path, tmp_path)[0].name == "sub/one.png"
