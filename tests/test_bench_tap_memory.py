"""The command that measures the memory of a tap by the photo's size and kind."""

from pathlib import Path

import pytest
from PIL import Image
from runtime_fixtures import random_photo, write_tiny_bundle

from tracenet_bench.measure import tap_memory


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.fromarray(random_photo(1, 60, 90)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_memory_of_taps_by_kind(
    tmp_path: Path, photo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = ("JPEG, on its side", "PNG, gray of 16 bits")
    monkeypatch.setattr(tap_memory, "KINDS", {kind: tap_memory.KINDS[kind] for kind in kinds})
    monkeypatch.setattr(tap_memory, "MEGAPIXELS", (0.5, 8))
    bundle = write_tiny_bundle(tmp_path / "bundle")
    assert tap_memory.main(["--bundle", str(bundle), "--photo", str(photo)]) == 0
    heading, _, *rows, _, note = capsys.readouterr().out.strip().splitlines()
    assert "peak at 8 megapixels, MB" in heading
    assert note.startswith("tracenet-tap with --mask and --overlay")
    for kind, row in zip(kinds, rows, strict=True):
        name, small, large, slope = (cell.strip() for cell in row.strip("|").split("|"))
        assert name == kind
        assert 20 < float(small) < float(large) < 1000
        assert 0 < float(slope) <= 10


def test_what_cannot_be_measured_is_one_sentence(
    tmp_path: Path, photo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tap_memory, "MEGAPIXELS", (0.01, 0.02))
    no_bundle = ["--bundle", str(tmp_path / "none"), "--photo", str(photo)]
    no_photo = ["--photo", str(tmp_path / "none.jpg")]
    for arguments, said in ((no_bundle, "There is no bundle"), (no_photo, "There is no photo")):
        assert tap_memory.main(arguments) == 2
        shown = capsys.readouterr()
        assert shown.out == ""
        assert shown.err.startswith(f"tap_memory: {said}")
        assert shown.err.count("\n") == 1
