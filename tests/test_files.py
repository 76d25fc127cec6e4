"""Files that are written whole or not at all."""

import errno
import os
from pathlib import Path

import pytest

from tracenet_runtime.files import replacing


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
    (tmp_path / f".results.json.{os.getpid()}.part").write_bytes(b"half")
    with replacing(path) as file:
        file.write(b"whole")
    assert {left.name: left.read_bytes() for left in tmp_path.iterdir()} == {
        "results.json": b"whole"
    }


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "no" / "mask.png") as file:
        file.write(b"mask")
