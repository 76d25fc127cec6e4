"""The command that times taps in a browser beside native ones."""

from pathlib import Path

import pytest
from browser_fixtures import give_up
from page_fixtures import built_page as built_page
from page_fixtures import photos as photos
from PIL import Image
from runtime_fixtures import random_photo, write_tiny_bundle

from tracenet_bench import web


@pytest.mark.usefixtures("built_page")
def test_taps_in_the_browser_beside_native_ones(
    photos: dict[str, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if web.CHROMIUM is None:
        give_up("no Chromium is installed: apt-get install chromium")
    monkeypatch.setattr(web, "BLOCKS", 2)
    assert web.main(["--photo", str(photos["chelsea"]), "--taps", "2"]) == 0
    first, _, tables = capsys.readouterr().out.strip().partition("\n")
    loaded = float(first.split()[2])
    assert first.startswith("first load: ")
    assert 4 < loaded <= 9.5
    table, note, *_ = tables.split("\n\n")
    headings, rows = read(table)
    assert headings[:4] == ["", "median tap, ms", "Chromium takes times that", "canvas"]
    assert list(rows) == [web.IN_BROWSER, web.OPEN, web.COLD]
    assert all(0 < float(median.split()[0]) < 10_000 for median, *_ in rows.values())
    assert rows[web.IN_BROWSER][1] == "-"
    assert note.startswith("2 times 2 taps in turn")


@pytest.mark.usefixtures("built_page")
def test_corrections_in_the_browser_beside_native_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each tap encodes its tile, though each is the whole photo; no correction does."""
    if web.CHROMIUM is None:
        give_up("no Chromium is installed: apt-get install chromium")
    monkeypatch.setattr(web, "BLOCKS", 2)
    bundle = write_tiny_bundle(tmp_path / "bundle", guided=True)
    photo = tmp_path / "photo.png"
    Image.fromarray(random_photo(4, 300, 500)).save(photo)
    assert web.main(["--bundle", str(bundle), "--photo", str(photo), "--taps", "3"]) == 0
    tables = capsys.readouterr().out.partition("\n")[2].strip().split("\n\n")[::2]
    read_tables = [read(table) for table in tables]
    assert [headings[1] for headings, _ in read_tables] == [
        "median tap, ms", "median encode, ms", "median correction, ms", "median undo, ms",
    ]  # fmt: skip
    (tap, _), (encode, encoded), (correction, corrected), (undo, undone) = read_tables
    assert tap[3:] == ["canvas", "tap", "encode", "correction", "mask", "other"]
    assert correction[3:] == ["tap", "correction", "mask", "other"]
    assert len(encode) == len(undo) == 3
    assert list(encoded) == [web.IN_BROWSER, web.OPEN, web.COLD]
    assert list(corrected) == list(undone) == [web.IN_BROWSER, web.OPEN]


def read(table: str) -> tuple[list[str], dict[str, list[str]]]:
    """The headings of a Markdown table, and its rows' cells by the first of each."""
    headings, _, *rows = (
        [cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()
    )
    return headings, {name: cells for name, *cells in rows}


def test_what_cannot_be_timed_is_one_sentence(
    tmp_path: Path, photos: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    no_photo = ["--photo", str(tmp_path / "none.jpg")]
    no_bundle = ["--photo", str(photos["coffee"]), "--bundle", str(tmp_path / "none")]
    for arguments, said in ((no_photo, "There is no photo"), (no_bundle, "There is no bundle")):
        assert web.main(arguments) == 2
        shown = capsys.readouterr()
        assert shown.out == ""
        assert shown.err.startswith(f"web: {said}")
        assert len(shown.err.splitlines()) == 1
