"""Which files of a folder are its photos."""

from pathlib import Path

import pytest
from PIL import Image

from tracenet_runtime.errors import PhotoError
from tracenet_runtime.image.photo import load_photo, photo_suffixes
from tracenet_runtime.image.photo_folder import photos_in


def save(folder: Path, *names: str) -> None:
    for name in names:
        Image.new("RGB", (8, 6)).save(folder / name)


def names_in(folder: Path) -> list[str]:
    return [path.name for path in photos_in(folder)]


def test_every_kind_that_is_read_and_nothing_else(tmp_path: Path) -> None:
    kinds = ["a.jpg", "b.JPEG", "c.png", "d.WebP", "e.tif", "f.tiff", "g.bmp", "h.gif", "i.ppm"]
    save(tmp_path, *reversed(kinds), ".hidden.jpg")
    for name in ("._a.jpg", ".DS_Store", "notes.txt", "program.eps", "j.mp4", "jpg"):
        (tmp_path / name).write_bytes(b"no photo")
    (tmp_path / "k.jpg").mkdir()
    save(tmp_path / "k.jpg", "deeper.jpg")
    (tmp_path / "l.jpg").symlink_to(tmp_path / "gone.jpg")
    assert names_in(tmp_path) == kinds
    for path in photos_in(tmp_path):
        assert load_photo(path).shape == (6, 8, 3)
    assert all(suffix == suffix.lower() for suffix in photo_suffixes())


def test_links_to_photos_are_photos(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    save(tmp_path, "elsewhere.jpg")
    (tmp_path / "photos" / "a.jpg").symlink_to(tmp_path / "elsewhere.jpg")
    assert names_in(tmp_path / "photos") == ["a.jpg"]


def test_instance_maps_are_no_photos(tmp_path: Path) -> None:
    save(tmp_path, "a.jpg", "a.png", "b.png", "c.webp")
    assert names_in(tmp_path) == ["a.jpg", "b.png", "c.webp"]
    (tmp_path / "index.jsonl").write_text("{}")
    assert names_in(tmp_path) == ["a.jpg", "c.webp"]
    (tmp_path / "a.jpg").unlink()  # some other tool's index: nothing is annotated
    assert names_in(tmp_path) == ["a.png", "b.png", "c.webp"]


def test_a_folder_that_cannot_be_read(tmp_path: Path) -> None:
    assert photos_in(tmp_path) == []
    with pytest.raises(PhotoError, match=r"nowhere cannot be read: No such file.*; name another"):
        photos_in(tmp_path / "nowhere")
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(PhotoError, match=r"a\.jpg cannot be read: Not a directory"):
        photos_in(tmp_path / "a.jpg")
