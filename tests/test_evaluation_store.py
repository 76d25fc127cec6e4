"""The folder of an evaluation, when it cannot be read or written."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from scenes import scene_map, write_folder
from tool_checks import assert_one_sentence

from tracenet.evaluation import cli
from tracenet.evaluation.scores import InstanceScore, PhotoScore
from tracenet.evaluation.store import PARTS, SETTINGS, Store
from tracenet_runtime.errors import OutputError

SCORE: PhotoScore[InstanceScore] = PhotoScore(0, "photo", "nothing", ())


def begun(folder: Path) -> Store[InstanceScore]:
    store = Store(folder, 0, InstanceScore)
    store.start({"schema_version": 1}, resume=True)
    return store


def full_disk(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_what_is_noted_is_read_again(tmp_path: Path) -> None:
    begun(tmp_path / "out").add(SCORE)
    assert begun(tmp_path / "out").read() == {0: SCORE}


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = begun(tmp_path / "out")
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OutputError, match="No space left on device; when it can, --resume goes on"):
        store.add(SCORE)


@pytest.mark.parametrize("begin", [Store.join, lambda store, to: store.start(to, resume=True)])
def test_a_folder_that_cannot_be_made(
    tmp_path: Path, begin: Callable[[Store[InstanceScore], dict[str, Any]], None]
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot be written: .*; give another --out"):
        begin(Store(tmp_path / "file", 1, InstanceScore), {})


def test_scores_that_cannot_be_read(tmp_path: Path) -> None:
    store = begun(tmp_path / "out")
    part = tmp_path / "out" / PARTS / "00003.jsonl"
    part.mkdir()
    with pytest.raises(OutputError, match=r"00003\.jsonl is damaged .*; remove it"):
        store.read()
    part.rmdir()
    for damage in (b"\xff\n", b"3\n", b"{}\n", b"[" * 100_000 + b"\n"):
        part.write_bytes(damage)
        with pytest.raises(OutputError, match=r"00003\.jsonl is damaged .*; remove it"):
            store.read()


@pytest.mark.parametrize("content", ["", "[]", "[" * 100_000])
def test_settings_that_are_none(tmp_path: Path, content: str) -> None:
    (tmp_path / SETTINGS).write_text(content)
    with pytest.raises(OutputError, match=r"settings\.json is damaged: .*; give another --out"):
        begun(tmp_path)


# Of a whole evaluation


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    photos = write_folder(tmp_path / "photos", [scene_map(72, 100, 0, things=2)])
    (tmp_path / "blank.py").write_text("def segment(image, tap): return image[..., 0] > 128\n")
    model = str(tmp_path / "blank.py:segment")
    return ["--model", model, "--data", str(photos), "--out", str(tmp_path / "out")]


def test_results_that_cannot_be_written(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tracenet.evaluation.tap_scoring.write_tap_pictures", full_disk)
    said = "No space left on device; when it can, --resume writes the results"
    assert_one_sentence(cli.main, arguments, said, capsys)
    monkeypatch.undo()
    assert cli.main([*arguments, "--resume"]) == 0


def test_instances_of_taps_that_are_not_there(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 0
    capsys.readouterr()
    taps = tmp_path / "out" / "taps.jsonl"
    other = taps.read_text().replace("scene_0", "elsewhere").splitlines()[:1]
    taps.write_text(taps.read_text() + "\n".join(other))
    assert cli.main([*arguments[:4], "--taps-from", str(taps)]) == 0
    said = capsys.readouterr()
    assert f"1 of the 3 instances of {taps} are not among these photos" in said.err
    assert "instances of taps from not found: 1" in said.out


def test_annotations_that_were_changed(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def save(seed: int) -> int:
        path = tmp_path / "photos" / "scene_0.png"
        Image.fromarray(scene_map(72, 100, seed, things=2)).save(path, compress_level=0)
        return path.stat().st_size

    (tmp_path / "photos" / "gone.png").symlink_to("nowhere")
    size = save(0)
    assert cli.main(arguments) == 0
    capsys.readouterr()
    assert save(1) == size
    assert_one_sentence(cli.main, [*arguments, "--resume"], "(photos.sha256)", capsys)


def test_a_folder_of_another_version(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 0
    capsys.readouterr()
    path = tmp_path / "out" / SETTINGS
    settings = json.loads(path.read_text())
    path.write_text(json.dumps(settings | {"schema_version": settings["schema_version"] - 1}))
    assert_one_sentence(cli.main, [*arguments, "--resume"], "settings (schema_version)", capsys)
