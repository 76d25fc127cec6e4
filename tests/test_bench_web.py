"""The command that times taps in a browser beside native ones."""

import base64
import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser_fixtures import browser as browser
from browser_fixtures import give_up
from page_fixtures import built_page as built_page
from page_fixtures import photos as photos
from PIL import Image
from runtime_fixtures import random_photo, write_tiny_bundle

from tracenet_bench.measure import clips
from tracenet_bench.measure.browser import cli, turns
from tracenet_bench.measure.browser.clips import clip_as_picture, next_in_browser, open_in_browser
from tracenet_bench.measure.clips import PERIOD, SETTLED, ClipOfPhoto
from tracenet_demo.cli import DEFAULT_BUNDLE
from tracenet_runtime.bundle.files import Bundle

# A segmenter whose streams note the pixels of their frames, after how many of them which place was
# tapped, and how many masks were read.
_NOTED = """() => {
  Object.assign(window, { pushed: [], masks: 0 });
  const context = new OffscreenCanvas(86, 48).getContext("2d", { willReadFrequently: true });
  const thing = { get mask() { window.masks += 1; return new Uint8Array(86 * 48); } };
  const stream = {
    push: async frame => {
      context.drawImage(frame, 0, 0);
      const { data } = context.getImageData(0, 0, 86, 48);
      window.pushed.push(btoa(String.fromCharCode(...data)));
      return window.tapped ? { things: [thing] } : null;
    },
    tap: async (...at) => { window.tapped = [window.pushed.length, ...at]; },
  };
  window.tracenet = { segmenter: { openStream: async () => stream } };
}"""


@pytest.fixture(scope="module")
def said(built_page: Path, photos: dict[str, Path]) -> str:
    """What the command says of the page's own bundle."""
    if cli.CHROMIUM is None:
        give_up("no Chromium is installed: apt-get install chromium")
    stdout = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(stdout):
        patch.setattr(turns, "BLOCKS", 2)
        assert cli.main(["--photo", str(photos["chelsea"]), "--taps", "2"]) == 0
    return stdout.getvalue().strip()


def test_taps_in_the_browser_beside_native_ones(said: str) -> None:
    first, _, tables = said.partition("\n")
    loaded = float(first.split()[2])
    assert first.startswith("first load: ")
    assert 4 < loaded <= 9.5
    table, note, *_ = tables.split("\n\n")
    headings, rows = read(table)
    assert headings[:4] == ["", "median tap, ms", "Chromium takes times that", "canvas"]
    assert list(rows) == [turns.IN_BROWSER, turns.OPEN, turns.COLD]
    assert all(0 < float(median.split()[0]) < 10_000 for median, *_ in rows.values())
    assert rows[turns.IN_BROWSER][1] == "-"
    assert note.startswith("2 times 2 taps in turn")


@pytest.mark.usefixtures("built_page")
def test_corrections_in_the_browser_beside_native_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each tap encodes its tile, though each is the whole photo; no correction does."""
    if cli.CHROMIUM is None:
        give_up("no Chromium is installed: apt-get install chromium")
    monkeypatch.setattr(turns, "BLOCKS", 2)
    bundle = write_tiny_bundle(tmp_path / "bundle", guided=True)
    photo = tmp_path / "photo.png"
    Image.fromarray(random_photo(4, 300, 500)).save(photo)
    assert cli.main(["--bundle", str(bundle), "--photo", str(photo), "--taps", "3"]) == 0
    tables = capsys.readouterr().out.partition("\n")[2].strip().split("\n\n")[::2]
    read_tables = [read(table) for table in tables]
    assert [headings[1] for headings, _ in read_tables] == [
        "median tap, ms", "median encode, ms", "median correction, ms", "median undo, ms",
    ]  # fmt: skip
    (tap, _), (encode, encoded), (correction, corrected), (undo, undone) = read_tables
    assert tap[3:] == ["canvas", "tap", "encode", "correction", "mask", "other"]
    assert correction[3:] == ["tap", "correction", "mask", "other"]
    assert len(encode) == len(undo) == 3
    assert list(encoded) == [turns.IN_BROWSER, turns.OPEN, turns.COLD]
    assert list(corrected) == list(undone) == [turns.IN_BROWSER, turns.OPEN]


def test_frames_in_the_browser_beside_native_ones(said: str) -> None:
    if Bundle.open(DEFAULT_BUNDLE).manifest.tracking is None:
        give_up("the page's bundle does not track: make page")
    *_, table, note = said.split("\n\n")
    headings, rows = read(table)
    assert headings == ["", "median frame, ms", "Chromium takes times that"]
    assert list(rows) == [turns.IN_BROWSER, turns.STREAM]
    assert all(0 < float(median.split()[0]) < 10_000 for median, _ in rows.values())
    assert rows[turns.IN_BROWSER][1] == "-"
    assert note == "2 times 2 frames in turn, of a stream at 480p with one thing."


def test_the_browser_gets_the_frames_of_the_native_stream(
    browser: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clips, "FRAME", (48, 86))
    clip = ClipOfPhoto(random_photo(4, 90, 150))
    address = f"data:image/png;base64,{base64.b64encode(clip_as_picture(clip)).decode()}"
    page = browser.new_page()
    page.evaluate(_NOTED)
    open_in_browser(page, clip, address)
    assert len(next_in_browser(page, PERIOD)) == PERIOD
    tapped, masks, pushed = page.evaluate("() => [window.tapped, window.masks, window.pushed]")
    page.close()
    assert tapped == [1, *clip.tapped]
    assert masks == SETTLED + PERIOD
    assert len(pushed) == 1 + SETTLED + PERIOD
    for number, pixels in enumerate(pushed):
        found = np.frombuffer(base64.b64decode(pixels), np.uint8).reshape(48, 86, 4)
        assert np.array_equal(found[..., :3], clip[number])


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
        assert cli.main(arguments) == 2
        shown = capsys.readouterr()
        assert shown.out == ""
        assert shown.err.startswith(f"browser: {said}")
        assert len(shown.err.splitlines()) == 1
