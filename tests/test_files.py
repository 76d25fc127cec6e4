"""Files that are written whole or not at all."""

import errno
import os
import sys
from pathlib import Path

import pytest

from tracenet_runtime.files import is_same_file, replacing


def test_the_file_takes_its_place_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_bytes(b"before")
    with replacing(path) as file:
        file.write(b"after")
        file.flush()
        assert path.read_bytes() == b"before"
    assert path.read_bytes() == b"after"
    assert [left.name for left in tmp_path.iterdir()] == ["results.json"]


def test_others_may_read_it(tmp_path: Path) -> None:
    with replacing(tmp_path / "mask.png") as file:
        file.write(b"mask")
    (tmp_path / "ordinary").touch()
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("fault", [KeyboardInterrupt, ValueError])
def test_whatever_goes_wrong_leaves_it_as_it_was(
    tmp_path: Path, there: bool, fault: type[BaseException]
) -> None:
    path = tmp_path / "results.json"
    if there:
        path.write_bytes(b"before")

    def half() -> None:
        with replacing(path) as file:
            file.write(b"half")
            raise fault

    with pytest.raises(fault):
        half()
    assert {left.name: left.read_bytes() for left in tmp_path.iterdir()} == (
        {"results.json": b"before"} if there else {}
    )


def test_a_full_disk_leaves_it_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "results.json"
    path.write_bytes(b"before")
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"), replacing(path) as file:
        file.write(b"after")
    assert {left.name: left.read_bytes() for left in tmp_path.iterdir()} == {
        "results.json": b"before"
    }


def test_what_a_killed_process_left_behind_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    with replacing(path):
        (partial,) = tmp_path.iterdir()
    partial.write_bytes(b"half")
    with replacing(path) as file:
        file.write(b"whole")
    assert {left.name: left.read_bytes() for left in tmp_path.iterdir()} == {
        "results.json": b"whole"
    }


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "no" / "mask.png") as file:
        file.write(b"mask")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows lets few people make links")
@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("steps", [1, 2])
def test_a_link_stays_and_its_file_is_replaced(tmp_path: Path, there: bool, steps: int) -> None:
    (tmp_path / "a").mkdir()
    target, path = tmp_path / "a" / "mask.png", tmp_path / "link.png"
    if there:
        target.write_bytes(b"before")
    path.symlink_to("a/mask.png" if steps == 1 else "next.png")
    if steps == 2:
        (tmp_path / "next.png").symlink_to(target)
    with replacing(path):
        assert target.exists() == there
        assert len(list(target.parent.iterdir())) == 1 + there
    with replacing(path) as file:
        file.write(b"after")
    assert path.is_symlink()
    assert target.read_bytes() == b"after"
    assert not target.is_symlink()
    assert [left.name for left in target.parent.iterdir()] == ["mask.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
@pytest.mark.parametrize("kind", ["circle", "pipe", "folder", "device"])
def test_what_is_no_file_stays(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "mask.png"
    if kind == "circle":
        path.symlink_to(path)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(os.devnull)
    before = path.lstat().st_ino
    refused = r"no ordinary file|Is a directory|symbolic links"
    with pytest.raises(OSError, match=refused), replacing(path) as file:
        file.write(b"mask")
    assert [(left.name, left.lstat().st_ino) for left in tmp_path.iterdir()] == [
        ("mask.png", before)
    ]
    assert Path(os.devnull).is_char_device()


def test_a_name_as_long_as_names_can_be(tmp_path: Path) -> None:
    longest = os.pathconf(tmp_path, "PC_NAME_MAX") if hasattr(os, "pathconf") else 255
    path = tmp_path / f"{'m' * (longest - 4)}.png"
    with replacing(path) as file:
        file.write(b"mask")
    assert path.read_bytes() == b"mask"
    entered = False
    with pytest.raises(OSError, match="too long"), replacing(path.with_name(f"m{path.name}")):
        entered = True  # hours of work
    assert not entered
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows lets few people make links")
def test_names_of_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.png").symlink_to("mask.png")
    (tmp_path / "circle").symlink_to("circle")
    circle = tmp_path / "circle" / "mask.png"
    for _ in range(2):
        assert is_same_file(Path("mask.png"), tmp_path / "no" / ".." / "mask.png")
        assert is_same_file(Path("link.png"), tmp_path / "mask.png")
        assert not is_same_file(Path("mask.png"), Path("other.png"))
        assert is_same_file(circle, circle)
        assert not is_same_file(circle, Path("mask.png"))
        (tmp_path / "mask.png").touch()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps folders that are in use")
def test_names_in_a_folder_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert is_same_file(Path("mask.png"), Path("mask.png"))
    assert not is_same_file(Path("mask.png"), Path("other.png"))
    with pytest.raises(FileNotFoundError), replacing(Path("mask.png")):
        pass
