"""The command that times taps in a browser beside native ones."""

from pathlib import Path

import pytest
from browser_fixtures import give_up
from page_fixtures import built_page as built_page
from page_fixtures import photos as photos

from tracenet_bench import web


@pytest.mark.usefixtures("built_page")
def test_taps_in_the_browser_beside_native_ones(
    photos: dict[str, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if web.CHROMIUM is None:
        give_up("no Chromium is installed: apt-get install chromium")
    monkeypatch.setattr(web, "BLOCKS", 2)
    assert web.main(["--photo", str(photos["chelsea"]), "--taps", "2"]) == 0
    first, heading, _, *rows, _, note = capsys.readouterr().out.strip().splitlines()
    loaded = float(first.split()[2])
    assert first.startswith("first load: ")
    assert 4 < loaded <= 9
    assert {"median tap, ms", "canvas", "engine"} <= {v.strip() for v in heading.split("|")}
    names, medians, ratios = zip(*(row.split(" | ")[:3] for row in rows), strict=True)
    assert names == tuple(f"| {name}" for name in (web.IN_BROWSER, web.OPEN, web.COLD))
    milliseconds = [float(median.split()[0]) for median in medians]
    assert all(0 < value < 10_000 for value in milliseconds)
    assert ratios[0] == "-"
    assert note.startswith("2 times 2 taps in turn")


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
