"""The library behind the page, asked by itself: sessions on photos, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from browser_fixtures import browser as browser
from page_fixtures import Opened, loading
from page_fixtures import built_assets as built_assets
from page_fixtures import built_page as built_page
from page_fixtures import server as server

from tracenet_demo.server import DemoServer

# What each script begins with.
_HELPERS = """async () => {
  const { segmenter } = window.tracenet;
  const photo = async name => (await fetch(`samples/${name}.jpg`)).blob();
  const told = ({ level, score, box, tile, mask }) =>
    ({ level, score, box, tile, area: mask.reduce((sum, inside) => sum + inside, 0) });
  const nameOf = work => work.then(() => null, error => error.name);
"""


@pytest.fixture(scope="module")
def phone(browser: Any, server: DemoServer) -> Iterator[Opened]:
    """One for all: each test opens sessions of its own."""
    with loading(browser, server) as opened:
        yield opened


def run(phone: Opened, script: str) -> Any:
    return phone.page.evaluate(f"{_HELPERS}{script}}}")


def test_several_photos_are_open_and_answer_as_taps_do(phone: Opened) -> None:
    said = run(
        phone,
        """
  const coffee = await photo("coffee");
  const one = await segmenter.open(coffee);
  const other = await segmenter.open(await photo("chelsea"));
  const first = await one.tap(330, 200);
  const second = await other.tap(200, 150);
  const alone = await segmenter.tap(coffee, 330, 200);
  // Where gestures correct, each of these would be the second.
  await one.clear();
  await other.clear();
  const said = {
    photo: one.photo, first: told(first), second: told(second), alone: told(alone),
    again: told(await one.tap(330, 200)), saved: alone.macs - first.macs, nbytes: one.nbytes,
    opening: Object.keys(one.timingsMs),
  };
  await one.close();
  await one.close();
  return { ...said, closed: one.nbytes, afterwards: told(await other.tap(200, 150)) };
""",
    )
    assert said["photo"] == {"height": 400, "width": 600}
    assert said["first"] == said["again"] == said["alone"]
    assert said["second"] == said["afterwards"] != said["first"]
    assert said["first"]["area"] > 0
    # The first look's window is the whole canvas, so that its backbone runs once per photo.
    assert said["saved"] > 0
    assert {"decode", "canvas", "total"} <= set(said["opening"])
    assert said["nbytes"] > 0
    assert said["closed"] == 0
    phone.assert_sound()


def test_another_level_costs_a_mask(phone: Opened) -> None:
    first, other = run(
        phone,
        """
  const session = await segmenter.open(await photo("coffee"));
  const stagesOf = ({ level, timingsMs, candidates }) =>
    ({ level, candidates: candidates.map(it => it.level), stages: Object.keys(timingsMs) });
  const first = await session.tap(330, 200);
  const { level } = first.candidates[1];
  return [stagesOf(first), stagesOf(await session.tap(330, 200, { level }))];
""",
    )
    assert other["level"] == first["candidates"][1] != first["level"]
    assert other["candidates"] == first["candidates"]
    ran, ran_again = (set(v["stages"]) - {"total", "canvas", "cut"} for v in (first, other))
    assert ran_again < ran
    assert "mask" in ran_again
    phone.assert_sound()


def test_what_callers_get_wrong_has_a_name(phone: Opened) -> None:
    said = run(
        phone,
        """
  const session = await segmenter.open(await photo("coffee"));
  const refusals = {
    outside: await nameOf(session.tap(600, 0)),
    level: await nameOf(session.tap(330, 200, { level: "P9" })),
    photo: await nameOf(segmenter.open(new Blob(["no picture"]))),
    golden: await nameOf(segmenter.checkGolden()),
  };
  const pending = session.tap(330, 200);
  await session.close();
  const answered = (await pending).mask.length;
  return { ...refusals, answered, closed: await nameOf(session.tap(330, 200)) };
""",
    )
    assert said == {
        "outside": "TapOutsidePhoto",
        "level": "UnknownLevel",
        "photo": "PhotoError",
        "golden": None,
        "answered": 400 * 600,
        "closed": "SessionClosed",
    }
    phone.assert_sound()
