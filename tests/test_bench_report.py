"""Reports of tracenet-bench: every figure shows, texts are only texts, and what counts as worse."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_reports import PHONE, changed, hostile, realistic, steady
from hypothesis import given
from hypothesis import strategies as st
from random_bench_reports import few_reports, reports, times

from tracenet_bench import cli
from tracenet_bench.compare.comparison import (
    ACCURACY_BOUND,
    MEMORY_BOUND,
    MEMORY_FLOOR,
    SIZE_BOUND,
)
from tracenet_bench.compare.figures import compare
from tracenet_bench.measure.environment import WATCHED_SECONDS
from tracenet_bench.measure.noise import BUSY, DRIFT, SPREAD
from tracenet_bench.measure.sampling import MINIMUM_SECONDS
from tracenet_bench.measure.statistics import MINIMUM_SAMPLES, PASSES
from tracenet_bench.report import schema
from tracenet_bench.report.axes import axis_around, axis_from_zero, axis_of_ratios, time_axis
from tracenet_bench.report.highlights import highlights
from tracenet_bench.report.html import html
from tracenet_bench.report.markdown import markdown
from tracenet_bench.report.point_plots import accuracy_plot
from tracenet_bench.report.schema import Accuracy, Measured, Memory, Noise, Report
from tracenet_bench.report.tables import measured_table, sum_by_stage
from tracenet_bench.report.texts import amount, label, number, percent, printable, with_interval

DOCUMENT = (Path(__file__).parent.parent / "docs" / "bench.md").read_text(encoding="utf-8")


class Page(HTMLParser):
    """The texts of a page, its tags and attributes; styles left out."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.tags: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attributes]

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def read_markdown(text: str) -> dict[str, list[list[str]]]:
    """The tables by heading, each as rows of cells with the escapes taken away.

    One that follows another under the same heading has ``again`` behind that.
    """
    tables: dict[str, list[list[str]]] = {}
    heading = ""
    for before, line in itertools.pairwise(["", *text.splitlines()]):
        if line.startswith("## "):
            heading = line[3:]
        elif line.startswith("| ") and not before.startswith("|") and heading in tables:
            heading += " again"
        if line.startswith("| ") and not set(line) <= set("| -"):
            cells = re.split(r"(?<!\\)\|", line.replace("\\\\", "\0"))[1:-1]
            tables.setdefault(heading, []).append(
                [re.sub(r"\\(.)", r"\1", cell).replace("\0", "\\")[1:-1] for cell in cells]
            )
    return tables


def figures_of(it: Measured) -> list[str]:
    """Every figure of a configuration that a table of it must show."""
    plain: list[float | None] = [it.load, it.first_tap, it.taps_per_second]
    texts = []
    if it.steady is not None:
        plain += [it.steady.minimum, it.steady.p90, it.steady.p99]
        texts.append(str(len(it.steady.samples)))
        texts.append(with_interval(it.steady.p50, it.steady.interval))
    if it.memory is not None:
        plain.append(it.memory.above_baseline / 1e6)
    if it.bundle_size is not None:
        plain.append(it.bundle_size / 1e6)
    if it.accuracy is not None:
        texts += [f"{it.accuracy.miou_t:.3f}", f"{it.accuracy.mta:.3f}"]
    texts += [amount(it.macs)] if it.macs is not None else []
    texts += [percent(it.share_of_peak)] if it.share_of_peak is not None else []
    return texts + [number(value) for value in plain if value is not None]


def operation_figures_of(it: Measured) -> list[list[str]]:
    """Of each operation of a configuration."""
    return [
        [
            with_interval(operation.p50, operation.interval),
            with_interval(operation.of_tap, operation.of_tap_interval),
            str(operation.taps),
            amount(operation.macs),
            *(percent(share) for share in sum_by_stage(operation.shares or {}).values()),
        ]
        for operation in it.operations
    ]


def test_markdown_of_a_run() -> None:
    tables = read_markdown(markdown(realistic()))
    assert list(tables) == [
        "Latency, memory and size",
        "Ratios",
        "Shares of a tap",
        "Programs",
        "Corrections",
        "Failures",
        "Projected, not measured",
        "Projected, not measured again",
    ]
    rows = {row[0]: row[1:] for row in tables["Latency, memory and size"]}
    int8 = rows["mobilenetv2-fpn all 640x640 litert int8"]
    assert int8[4] == "300"
    assert int8[7:] == [
        "67.5", "36.8", "2.41", "2.48 G", "61 %", "0.381 (0.302-0.468)", "0.229 (0.168-0.312)",
    ]  # fmt: skip
    assert rows["edgetam 1 thread (cost only)"][5] == "1402"
    assert rows["r50-fpn P3-P5 1536x2048 onnxruntime fp32"][0] == "failed"
    assert tables["Ratios"][1][2:] == ["1.22 (1.21-1.24)", "1.35"]
    assert tables["Shares of a tap"][1][1:] == [
        "4.7 %", "1.8 %", "87 %", "1.3 %", "4.1 %", "1.4 %",
    ]  # fmt: skip
    assert tables["Programs"][1][1].startswith("backbone 51 %, query_P3 15 %, mask_branch 10 %")
    assert tables["Corrections"][0][6:] == [
        "canvas", "tap", "encode", "correction", "mask", "paste", "other",
    ]  # fmt: skip
    assert [row[1:6] for row in tables["Corrections"][1:]] == [
        ["a tile's encoding", "12.1 (12.0-12.3)", "0.274 (0.271-0.278)", "40", "599 M"],
        ["a correction", "4.42 (4.38-4.47)", "0.101 (0.099-0.102)", "40", "123 M"],
        ["an undo", "0.430 (0.420-0.440)", "0.010 (0.010-0.010)", "40", "0"],
    ]
    assert tables["Failures"][1][1] == "tap"
    assert tables["Projected, not measured"][3][1:] == ["Pixel 6a", "912", "94 %", "no"]


def test_every_markdown_table_stands_under_its_conditions() -> None:
    sections = markdown(realistic()).split("## ")[1:]
    assert len(sections) == 7
    for section in sections:
        above = section.split("\n| ")[0]
        for condition in (
            "2026-03-14T15:09:26+00:00, AMD EPYC 7B13", "governor performance", "1 thread,",
            "3 photos (640 x 480 to 4032 x 3024)", "60 random taps after 5 of warm-up",
            "narrower than 3.0 % of it or for 300 taps or 120 s", "throughput over 5 s",
            "onnxruntime 1.22.1", "commit f9ef2a1", "load 0.08 before and 1.02 after", "quiet",
        ):  # fmt: skip
            assert condition in above


def test_the_two_emulations_are_named_and_kept_apart() -> None:
    report = realistic(device=PHONE)
    text = markdown(report)
    *headings, last = re.findall("(?m)^## (.*)$", text)
    assert last == "Projected, not measured"
    assert all(it.endswith(", constrained to Galaxy A14") for it in headings)
    measured_part, projected_part = text.split("## Projected, not measured")
    assert "31.7" not in measured_part
    assert "off by 12 % in the median and 40 % at worst, over 14 programs" in projected_part
    assert "Constrained" not in projected_part
    page = Page(html(report))
    for shown in (page.text, measured_part):
        assert "pinned to 2 cores and limited to 1.60 GB of memory by cgroup" in shown
        assert "50 % of the device's 3.20 GB: a convention of this benchmark" in shown
        assert "counts resident memory, that of Python and numpy too" in shown
    assert "off by 12 % in the median" in page.text.split("Projected, not measured")[1]
    uncalibrated = markdown(realistic(calibration=None))
    assert "not calibrated, so nothing is known of its error" in uncalibrated


def test_what_a_limit_of_memory_counts() -> None:
    text = markdown(realistic(device=replace(PHONE, memory_by="rlimit")))
    assert "limited to 1.60 GB of memory by rlimit" in text
    assert "counts private writable memory, touched or not, which is more than what is" in text
    assert "what just fails here for lack of memory might fit there" in text


def test_when_and_on_what_it_was_measured() -> None:
    command = ("tracenet-bench", "--bundle", "my bundle", "--photos", "it's")
    environment = replace(realistic().environment, cpu=None, governor=None)
    report = realistic(command=command, environment=environment)
    page = Page(html(report)).text
    assert "measured at 2026-03-14T15:09:26+00:00" in page
    assert "processor unknown processor" in page
    assert "tracenet-bench --bundle 'my bundle' --photos 'it'\"'\"'s'" in page
    assert "unknown processor, 4 of 8 cores, governor unknown" in markdown(report)


def test_what_failed_wins_nothing() -> None:
    small = replace(
        realistic().measured[-1], bundle_size=1, memory=Memory(1, 1, 3, 1, None), load=1.0
    )
    best = highlights(replace(realistic(), measured=(*realistic().measured[:-1], small)))
    assert best == highlights(realistic())
    assert [it.name for it in best] == [
        "mobilenetv2-fpn all 640x640 litert int8", "mobilenetv2-fpn all 640x640 litert int8",
        "mobilenetv2-fpn all 640x640 litert int8", "mobilenetv2-fpn full 640x640 onnxruntime fp32",
    ]  # fmt: skip


def test_noise_is_said() -> None:
    noisy = realistic(noise=Noise(False, ("The load was 3.20 on 4 cores.",)))
    for text in (markdown(noisy), Page(html(noisy)).text):
        assert "The load was 3.20 on 4 cores." in text
        assert "too noisy to compare" in text
    assert "Noisy machine." in Page(html(noisy)).text
    assert "Noisy machine." not in Page(html(realistic())).text


def test_what_a_limit_ended_is_marked() -> None:
    plain = realistic()
    first = plain.measured[0]
    assert first.steady is not None
    ended = replace(first, steady=replace(first.steady, converged=False))
    text = markdown(replace(plain, measured=(ended, *plain.measured[1:])))
    medians = [row[1] for row in read_markdown(text)["Latency, memory and size"][1:]]
    assert [it.endswith(" *") for it in medians] == [True] + 5 * [False]
    assert "A limit ended the timing before the median's interval was narrower than 3.0 %" in text
    assert "A limit ended" not in markdown(plain)


@few_reports
@given(reports())
def test_any_report_renders_as_markdown(report: Report) -> None:
    tables = read_markdown(markdown(report))
    for rows in tables.values():
        assert {len(row) for row in rows} == {len(rows[0])}
    rows = next((it for name, it in tables.items() if name.startswith("Latency")), [])
    assert [row[0] for row in rows[1:]] == [label(it.subject) for it in report.measured]
    for it, row in zip(report.measured, rows[1:], strict=True):
        for figure in figures_of(it):
            assert any(cell.startswith(figure) for cell in row), figure
    for title, names in (
        ("Corrections", {"encode", "correction", "undo"}),
        ("Frames of clips", {"frame", "frame_of_three", "fusion"}),
    ):
        rows = next((it for name, it in tables.items() if name.startswith(title)), [])
        figures = [
            figures
            for it in report.measured
            for operation, figures in zip(it.operations, operation_figures_of(it), strict=True)
            if operation.name in names
        ]
        for shown, row in zip(figures, rows[1:], strict=True):
            assert set(shown) <= set(row)


@few_reports
@given(reports())
def test_any_report_renders_as_html(report: Report) -> None:
    page = Page(html(report))
    for it in report.measured:
        assert " ".join(label(it.subject).split()) in page.text
        for figure in figures_of(it):
            assert figure in page.text, figure
        for figure in itertools.chain(*operation_figures_of(it)):
            assert figure in page.text, figure
        if it.failure is not None:
            assert " ".join(printable(it.failure.message).split()) in page.text
    assert not re.search(r"\b(nan|inf|none|undefined)\b", page.text, re.IGNORECASE)
    for tag, name, value in page.attributes:
        if name in ("x", "x1", "x2", "cx", "width") and value.endswith("%"):
            assert 0 <= float(value[:-1]) <= 100.001, (tag, name)
        if name in ("y", "y1", "y2", "cy", "height", "r"):
            assert np.isfinite(float(value))
        if name in ("src", "href"):
            assert value in ("data:,", "#failures")
    assert not {"script", "img", "iframe", "object", "link-rel"} & set(page.tags)


def test_a_page_is_the_same_each_time() -> None:
    assert html(realistic()) == html(realistic())


def test_texts_of_a_report_are_only_texts() -> None:
    report = hostile()
    comparison = compare(replace(report, measured=report.measured[1:]), report, 0.05)
    content = html(report, comparison)
    content.encode()
    page = Page(content)
    assert not {"script", "img"} & set(page.tags)
    assert not [it for it in page.attributes if it[1].startswith("on")]
    assert "{{ 7 * 7 }}" in page.text
    for text in (markdown(report), comparison.markdown()):
        text.encode()
        assert not re.search(r"(?<!\\)<", text)
        assert not re.search(r"(?m)^# heading", text)


def test_a_comparison_is_shown() -> None:
    new = changed(steady=steady(60, 1))
    comparison = compare(realistic(), new, 0.05)
    for text in (comparison.markdown(), Page(html(new, comparison)).text):
        assert "1 regression in 24 figures." in text
        assert "regression: median" in text
        assert "lies above 1.05" in text
    assert "Compared with" not in html(new)


# Axes


@pytest.mark.parametrize("make", [axis_from_zero, axis_around, axis_of_ratios, time_axis])
@given(values=st.lists(times, min_size=1, max_size=5))
def test_axes_hold_their_values(make: Callable[..., Any], values: list[float]) -> None:
    axis = make(*([] if make is time_axis else ["title"]), values)
    assert axis.low <= min(values) * (1 + 1e-9)
    assert axis.high >= max(values) * (1 - 1e-9)
    positions = [axis.position(value) for value, _ in axis.ticks]
    assert positions == sorted(positions)
    assert positions[0] == pytest.approx(0)
    assert positions[-1] == pytest.approx(100)
    assert 2 <= len(axis.ticks) <= 8
    assert len({text for _, text in axis.ticks}) == len(axis.ticks)


def test_an_axis_names_round_values() -> None:
    assert [text for _, text in axis_from_zero("ms", (53.0,)).ticks] == ["0", "20", "40", "60"]
    assert [text for _, text in axis_around("mIoU", (0.302, 0.472)).ticks] == ["0.3", "0.4", "0.5"]
    assert [text for _, text in axis_of_ratios("ratio", (0.33, 1.2)).ticks] == [
        "0.3", "0.5", "0.7", "1", "1.2",
    ]  # fmt: skip
    assert time_axis((10, 90)).log is False
    assert time_axis((10, 110)).log is True
    assert time_axis((10, 1000)).position(100) == pytest.approx(50)


DATACLASSES = [it for it in vars(schema).values() if dataclasses.is_dataclass(it)]


@pytest.mark.parametrize("part", DATACLASSES, ids=lambda it: it.__name__)
def test_every_field_is_documented(part: Any) -> None:
    documented = set(re.findall(r"`(\w+)`", DOCUMENT))
    assert {field.name for field in dataclasses.fields(part)} <= documented


def test_the_document_states_the_rules_that_hold() -> None:
    rules = DOCUMENT.split("## Comparing")[1].split("## JSON")[0]
    assert (
        f"more than {100 * MEMORY_BOUND:.0f} % and by more than {MEMORY_FLOOR // 10**6} MB" in rules
    )
    assert f"grew by more than {100 * SIZE_BOUND:.0f} %" in rules
    assert f"dropped by more than {ACCURACY_BOUND}" in rules
    assert f"`--tolerance` ({cli.TOLERANCE})" in rules
    noise = DOCUMENT.split("## Noise")[1].split("## Two")[0]
    assert f"over {100 * BUSY:.0f} % of all cores" in noise
    assert WATCHED_SECONDS == MINIMUM_SECONDS == 2
    assert noise.count("two seconds") == 2
    assert (PASSES, MINIMUM_SAMPLES) == (4, 10)
    assert "before four passes through the taps, ten taps" in noise
    assert f"over {100 * DRIFT:.0f} %" in noise
    assert f"over {SPREAD} times" in noise


def test_what_is_not_projected_or_not_scored_is_said_with_the_reason() -> None:
    failed = replace(realistic().measured[0], accuracy=None, no_accuracy="A photo is damaged.")
    report = realistic(measured=(failed, *realistic().measured[1:]))
    for shown in (markdown(report), html(report)):
        assert "Only the programs of bundles are projected." in shown
        assert "A photo is damaged." in shown
    none = replace(report, projections=(), calibration=None)
    for shown in (markdown(none), html(none)):
        assert "Projected, not measured" in shown
        assert "Only the programs of bundles are projected." in shown


def test_accuracy_on_one_photo_has_no_interval() -> None:
    accuracy = Accuracy(0.384, None, 0.233, None, 4, 12)
    report = realistic(measured=(replace(realistic().measured[0], accuracy=accuracy),))
    (row,) = measured_table(report).rows
    assert row.cells[-2:] == ("0.384", "0.233")
    plot = accuracy_plot(report)
    assert plot is not None
    assert plot.series[0].points[0].y_error is None
