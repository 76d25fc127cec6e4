"""The report's page in a real browser: legible, sound, and alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bench_reports import PHONE, changed, hostile, measured, realistic, steady
from browser_fixtures import PATIENCE
from browser_fixtures import browser as browser
from hypothesis import example, given, settings
from random_bench_reports import reports

from tracenet_bench.compare.figures import compare
from tracenet_bench.report.html import html
from tracenet_bench.report.schema import Noise, Report

WIDTHS = {"phone": (360, 740), "desktop": (1280, 800)}


class Opened:
    """A page in the browser, without a network, and all that it did which it should not."""

    def __init__(self, browser: Any, file: Path, content: str, width: str, scheme: str) -> None:
        file.write_text(content, encoding="utf-8")
        size = dict(zip(("width", "height"), WIDTHS[width], strict=True))
        self.context = browser.new_context(viewport=size, color_scheme=scheme, offline=True)
        self.context.set_default_timeout(PATIENCE)
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.said.append("dialog"), dialog.dismiss()))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(file.as_uri())
        self.page.eval_on_selector_all("details", "all => all.forEach(it => it.open = true)")

    def assert_sound(self, file: Path) -> None:
        assert self.said == []
        assert self.requests == [file.as_uri()]
        inside, shown = self.page.evaluate(
            "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
        assert inside <= shown, "the page scrolls sideways"


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Opened]]:
    contexts = []

    def open_page(content: str, width: str = "phone", scheme: str = "light") -> Opened:
        page = Opened(browser, tmp_path / "report.html", content, width, scheme)
        contexts.append(page.context)
        return page

    yield open_page
    for context in contexts:
        context.close()


# Pairs of labels in one drawing that cover each other, and labels outside the window.
COVERED = """() => [...document.querySelectorAll('svg')].flatMap(svg => {
  const boxes = [...svg.querySelectorAll('text')]
    .map(it => [it.textContent, it.getBoundingClientRect()]);
  const out = boxes.filter(([, a]) => a.left < 0 || a.right > innerWidth).map(([text]) => text);
  const pairs = boxes.flatMap(([one, a], i) => boxes.slice(i + 1).filter(([, b]) =>
    a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom
  ).map(([other]) => `${one} on ${other}`));
  return [...out, ...pairs];
})"""

# The least contrast of a text with what lies behind it (WCAG 2), and the smallest text's pixels.
LEGIBLE = """() => {
  const light = colour => {
    const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map(it => it / 255)
      .map(it => it <= 0.04045 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = it => {
    for (; it; it = it.parentElement) {
      const colour = getComputedStyle(it).backgroundColor;
      if (colour !== 'rgba(0, 0, 0, 0)') return colour;
    }
  };
  const texts = [...document.querySelectorAll('body *')].filter(it =>
    [...it.childNodes].some(node => node.nodeType === 3 && node.textContent.trim())
    && !it.closest('title') && !it.matches('text.number'));
  const ratios = texts.map(it => {
    const style = getComputedStyle(it);
    const [a, b] = [light(it.closest('svg') ? style.fill : style.color), light(behind(it))];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  });
  const pixels = [...document.querySelectorAll('body *')].filter(it => texts.includes(it))
    .map(it => parseFloat(getComputedStyle(it).fontSize));
  return [Math.min(...ratios), Math.min(...pixels), texts.length];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_a_page_in_a_browser(
    opened: Callable[..., Opened], tmp_path: Path, width: str, scheme: str
) -> None:
    report = realistic(noise=Noise(False, ("The load was 3.20 on 4 cores.",)), device=PHONE)
    old = changed(steady=steady(30, 1))
    page = opened(html(report, compare(old, report, 0.05)), width, scheme)
    page.assert_sound(tmp_path / "report.html")
    assert page.page.evaluate(COVERED) == []
    contrast, pixels, texts = page.page.evaluate(LEGIBLE)
    assert texts > 100
    assert contrast >= 4.5
    assert pixels >= 10
    headings = page.page.eval_on_selector_all("h1, h2", "all => all.map(it => it.textContent)")
    assert [it.split("\n")[0] for it in headings[1:]] == [
        "Compared with the run before", "Latency", "Failures", "Ratios", "Where the time goes",
        "Corrections", "Latency against photo size", "Accuracy against latency", "Memory",
        "Projected, not measured", "Conditions",
    ]  # fmt: skip
    unnamed = page.page.eval_on_selector_all(
        "svg", "all => all.filter(it => !it.ariaHidden && !it.ariaLabel).length"
    )
    assert unnamed == 0
    captions = "all => all.filter(it => !it.caption?.textContent.trim()).length"
    assert page.page.eval_on_selector_all("table", captions) == 0


def test_sentences_in_tables_fit_a_phone(opened: Callable[..., Opened]) -> None:
    """Of tables with a name and a sentence nothing is cut off."""
    page = opened(html(realistic())).page
    cut = page.eval_on_selector_all(
        ".scroll",
        "all => all.filter(it => it.querySelectorAll('thead th').length === 2"
        " && it.scrollWidth > it.clientWidth).map(it => it.ariaLabel)",
    )
    assert cut == []


def test_wide_tables_scroll_in_their_own_box_on_a_phone(opened: Callable[..., Opened]) -> None:
    page = opened(html(realistic())).page
    wider = page.eval_on_selector_all(
        ".scroll", "all => all.map(it => it.scrollWidth > it.clientWidth && it.clientWidth < 360)"
    )
    assert wider[0]
    moved = page.evaluate(
        "() => { const box = document.querySelector('.scroll'); box.scrollLeft = 200;"
        " return [box.scrollLeft, box.querySelector('tbody th').getBoundingClientRect().left]; }"
    )
    # The name of the configuration stays in view.
    assert moved[0] == 200
    assert 0 <= moved[1] < 30


@pytest.mark.parametrize("width", WIDTHS)
def test_a_hostile_report_in_a_browser(
    opened: Callable[..., Opened], tmp_path: Path, width: str
) -> None:
    page = opened(html(hostile()), width)
    page.assert_sound(tmp_path / "report.html")
    assert page.page.title().startswith("TraceNet benchmark, constrained to")


@settings(max_examples=3)
@given(reports())
@example(realistic(measured=(measured("x" * 400, 44.1, 1),)))
def test_any_report_in_a_browser(
    opened: Callable[..., Opened], tmp_path: Path, report: Report
) -> None:
    page = opened(html(report))
    page.assert_sound(tmp_path / "report.html")
    page.context.close()
