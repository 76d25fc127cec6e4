"""The paper's table: what is counted and timed, what the page says; never how long it takes."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bench_reports import realistic, subject
from export_fixtures import few_programs

import paper_regions
import paper_table
import paper_windows
from paper_counts import (
    NetworkCounts,
    PlannedNetwork,
    count_by_torch,
    count_network,
    plan_network,
)
from paper_page import PAPER, PaperTable, paper_page
from paper_regions import taps_per_second, time_regions
from paper_windows import PaperTableError, TimedForm, measure_windows, window_forms
from tracenet.model import build_network
from tracenet.scene import generate_scene
from tracenet_bench.measure import benchmark, timed
from tracenet_bench.measure.sampling import Rules, Sample, Samples, Tap, take_samples
from tracenet_bench.measure.statistics import paired_ratio
from tracenet_bench.report.schema import Failure, Measured, Noise, Ratio, Report
from tracenet_export import check
from tracenet_export.schedule import captured
from tracenet_export.trace_report import report_costs, tap_regions

CANVAS = (384, 256)
"""Taller than wide, and with room for more than one mask window."""

RULES = Rules(warm_up=0, target_interval=0.03, limit_taps=3, limit_seconds=60.0, seed=0)

COUNTS = NetworkCounts(
    network="r50-fpn",
    fullnet=80_000_000_000,
    fullnet_by_torch=80_010_000_000,
    regions={"P3-P5, mask window 256 px": 30e9},
    windows={"P3-P5, mask window 256 px": 40_000_000_000},
)


@pytest.fixture(scope="module")
def planned() -> PlannedNetwork:
    """The small network, with every mask window and few programs."""
    with few_programs():
        return plan_network("mobilenetv2-fpn", CANVAS)


# Counts


@pytest.mark.parametrize("network", paper_table.NETWORKS)
def test_torch_counts_the_same_for_fullnet(network: str) -> None:
    graph = captured(build_network(network).eval())((128, 256))
    assert graph.full_macs == count_by_torch(network, (128, 256)) > 0


def test_counts_are_those_of_the_plans(planned: PlannedNetwork) -> None:
    counts = count_network(planned)
    levels, every = planned.plans["P3-P5"], planned.plans["all"]
    assert list(levels.windows) == ["all"]  # 256 px to each side are all of this canvas
    assert list(every.windows) == ["64px", "128px", "all"]
    assert counts.regions == {
        "P3-P5, mask window of the whole canvas": report_costs(levels, "all").region_macs_mean,
        "all, mask window 64 px": report_costs(every, "64px").region_macs_mean,
    }
    assert counts.windows == {
        "P3-P5, mask window of the whole canvas": report_costs(levels, "all").window_macs,
        "all, mask window 64 px": report_costs(every, "64px").window_macs,
        "all, mask window 128 px": report_costs(every, "128px").window_macs,
        "all, mask window of the whole canvas": report_costs(every, "all").window_macs,
    }
    assert counts.fullnet == planned.plans["full"].plan.graph.full_macs
    assert counts.fullnet == counts.fullnet_by_torch == count_by_torch("mobilenetv2-fpn", CANVAS)


# Exact regions


def macs_at(planned: PlannedNetwork, form: str, tap: Tap) -> int:
    """What ``tracenet-trace`` says that a tap's exact regions cost, without the mean over taps."""
    plan, window = planned.forms[form]
    column, row = (at // plan.key.stride for at in tap.at)
    nodes = plan.plan.graph.nodes
    return sum(
        nodes[name].macs_per_cell * int(y.size[row] * x.size[column])
        for name, (y, x) in tap_regions(plan, window).items()
    )


def test_exact_regions_over_fullnet(
    planned: PlannedNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is timed is what is counted, in the corners and inside."""
    taken: dict[str, Samples] = {}

    def recorded(*arguments: Any) -> dict[str, Samples]:
        taken.update(take_samples(*arguments))
        return taken

    monkeypatch.setattr(timed, "STREAM_SECONDS", 0.0)
    monkeypatch.setattr("paper_regions.take_samples", recorded)
    taps = [Tap(0, (0, 0)), Tap(0, (255, 383)), Tap(0, (140, 70))]
    times = time_regions(planned, generate_scene(*CANVAS), taps, RULES)
    assert times.steady.keys() == taken.keys()
    whole, *regions = taken.values()
    everything, *_ = times.forms
    assert (everything.form, everything.macs) == (paper_regions.EVERYTHING, 1)
    assert {sample.macs for sample in whole.taken} == {count_by_torch(planned.name, CANVAS)}
    for form, found in zip(times.forms, regions, strict=True):
        assert form.network == "mobilenetv2-fpn"
        ratio = paired_ratio(found.milliseconds, whole.milliseconds, 3, RULES.seed)
        assert (form.latency, form.interval) == ratio
        assert form.throughput > 0
        assert form.tracing is not None
        assert 0 < form.tracing < 1
        if form is not everything:
            expected = [macs_at(planned, form.form, tap) for tap in taps]
            assert [sample.macs for sample in found.taken] == expected
            assert form.macs == pytest.approx(sum(expected) / 3 / (whole.taken[0].macs or 0))


def test_throughput_goes_through_the_taps_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timed, "STREAM_SECONDS", 5.0)
    now = 0.0
    tapped = []

    def tap(at: Tap) -> Sample:
        nonlocal now
        now += 2.0
        tapped.append(at)
        return Sample(2000.0, {}, None)

    monkeypatch.setattr("time.perf_counter", lambda: now)
    taps = [Tap(0, (1, 1)), Tap(0, (2, 2))]
    assert taps_per_second(tap, taps) == 0.5
    assert tapped == [*taps, *taps]  # each equally often


# Fixed windows


def report_of_two(failed: Failure | None = None) -> Report:
    """FullNet and a schedule on the same network."""
    report = realistic()
    full = replace(
        report.measured[3], subject=subject("r50 full", network="r50-fpn", schedule="full")
    )
    tap = replace(
        report.measured[0],
        subject=subject("r50 tap", network="r50-fpn", schedule="P3-P5"),
        taps_per_second=30.0,
        failure=failed,
    )
    ratio = Ratio("r50 tap", "r50 full", 0.5432, (0.5123, 0.5789), 0.508)
    measured: tuple[Measured, ...] = (replace(full, taps_per_second=12.0), tap)
    return replace(
        report, measured=measured, ratios=(ratio,), command=("python", "-m", "x", "--taps", "3")
    )


def test_fixed_windows_are_ratios_of_the_report() -> None:
    assert window_forms(report_of_two()) == (
        TimedForm("r50-fpn", "P3-P5", 0.5432, (0.5123, 0.5789), 2.5, 0.508),
    )


def test_a_configuration_that_fails_leaves_no_half_table(monkeypatch: pytest.MonkeyPatch) -> None:
    report = report_of_two(Failure("load", "out of memory"))
    monkeypatch.setattr(paper_windows, "measure", lambda _: report)
    with pytest.raises(PaperTableError, match=re.escape("r50 tap fails (load): out of memory")):
        measure_windows([Path("bundle")], CANVAS, Path("photo.png"), 1, 2, RULES, ())


# The page


def page_of(**changes: object) -> str:
    report = report_of_two()
    table = PaperTable(
        canvas=(640, 640),
        counts=(COUNTS,),
        windows=window_forms(report),
        regions=(TimedForm("r50-fpn", "P3-P5", 0.81, (0.79, 0.83), 1.2, 0.41, tracing=0.034),),
        report=report,
    )
    return paper_page(replace(table, **changes))  # type: ignore[arg-type]


def test_counts_stand_beside_the_papers() -> None:
    lines = page_of().splitlines()
    assert "| r50-fpn | FullNet | 80.00 | - | 86.67 | - |" in lines
    form = "P3-P5, mask window 256 px"
    assert f"| r50-fpn | exact regions, {form} | 30.00 | 62.5 % | 34.47 | 60.2 % |" in lines
    assert f"| r50-fpn | fixed windows, {form} | 40.00 | 50.0 % | - | - |" in lines
    assert "finds for FullNet: r50-fpn 80.01." in page_of()


def test_the_papers_shares_are_those_that_it_prints() -> None:
    saved = {name: round(100 * (1 - v.tracenet / v.fullnet), 1) for name, v in PAPER.items()}
    assert saved == {"r50-fpn": 60.2, "r101-fpn": 43.6}


def test_a_network_that_the_paper_has_not_has_nothing_beside_it() -> None:
    lines = page_of(counts=(replace(COUNTS, network="mobilenetv2-fpn"),)).splitlines()
    assert "| mobilenetv2-fpn | FullNet | 80.00 | - | - | - |" in lines
    assert not any("86.67" in line for line in lines)


def test_times_are_ratios_with_intervals() -> None:
    lines = page_of().splitlines()
    assert "| r50-fpn | P3-P5 | 0.543 (0.512-0.579) | 2.50 | 0.508 |" in lines
    assert "| r50-fpn | P3-P5 | 0.810 (0.790-0.830) | 1.20 | 0.410 | 3.4 % |" in lines


def test_the_trunks_are_compared_where_both_are_there() -> None:
    deeper = replace(COUNTS, network="r101-fpn", fullnet=110_000_000_000)
    assert "30.00 G here and 31.61 G there, 1.05 times as much" in page_of(counts=(COUNTS, deeper))
    assert "times as much" not in page_of()


def test_conditions_stand_on_the_page() -> None:
    page = page_of()
    for words in (
        "2026-03-14", "AMD EPYC 7B13", "onnxruntime 1.22.1", "commit f9ef2a1", "640 x 640",
        "the machine was quiet", "python -m x --taps 3",
    ):  # fmt: skip
        assert words in page
    assert "too noisy" not in page


def test_a_noisy_machine_is_told_of() -> None:
    noisy = replace(report_of_two(), noise=Noise(False, ("The load was 3.",)))
    page = page_of(report=noisy)
    assert "**The machine was too noisy to compare these figures.**\n\n- The load was 3." in page


def test_tables_are_well_formed() -> None:
    for table in re.findall(r"(?:^\|.*\n)+", page_of(), re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1


# The command


@pytest.mark.slow
def test_a_whole_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(paper_table, "NETWORKS", ("mobilenetv2-fpn",))
    monkeypatch.setattr(paper_table, "CANVAS", (256, 128))
    monkeypatch.setattr("tracenet_bench.measure.sampling.Rules", lambda **_: RULES)
    monkeypatch.setattr(check, "REPLAYED_TAPS", 4)
    monkeypatch.setattr(timed, "STREAM_SECONDS", 0.0)
    monkeypatch.setattr(benchmark, "measure_ceilings", lambda *_: ({1: 1e9}, {1: 1e9}))
    out = tmp_path / "table.md"
    with few_programs():
        assert paper_table.main(["--taps", "2", "--out", str(out)]) == 0
        counts = count_network(plan_network("mobilenetv2-fpn", (256, 128)))
    assert [path.name for path in tmp_path.iterdir()] == ["table.md"]
    lines = out.read_text().splitlines()
    assert f"| mobilenetv2-fpn | FullNet | {counts.fullnet / 1e9:.2f} | - | - | - |" in lines
    times = [line.split(" | ") for line in lines if re.search(r"\d-\d.*\) \| ", line)]
    forms = ["P3-P5", "all", paper_regions.EVERYTHING, *counts.regions]
    assert [cells[1] for cells in times] == forms
    assert all(float(cells[3]) > 0 for cells in times)
    # The tap of the timed schedule costs what was counted, and the mask head a little more.
    (windows,) = (v for form, v in counts.windows.items() if form.startswith("P3-P5"))
    assert float(times[0][4].rstrip(" |")) == pytest.approx(windows / counts.fullnet, abs=0.01)
    assert f"--taps 2 --out {out}" in out.read_text()


def sentence_of(capsys: pytest.CaptureFixture[str]) -> str:
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = shown.err.strip().splitlines()
    assert line.startswith("paper_table: ")
    return line


def fails(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def make_table(*_: Any) -> None:
        raise error

    monkeypatch.setattr(paper_table, "make_table", make_table)


@pytest.mark.parametrize(
    ("missing", "reimported"), [("torch", None), ("tqdm.auto", "tracenet_bench.measure.benchmark")]
)
def test_what_is_not_installed_is_said(
    missing: str,
    reimported: str | None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: Any,
) -> None:
    if reimported is not None:
        monkeypatch.delitem(sys.modules, reimported)
    monkeypatch.setitem(sys.modules, missing, None)
    assert paper_table.main(["--out", str(tmp_path / "table.md")]) == 2
    package = missing.partition(".")[0]
    said = f"{package} is not installed; run: pip install 'tracenet[bench,export]'"
    assert said in sentence_of(capsys)


def test_nothing_is_begun_that_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    fails(monkeypatch, AssertionError("it began"))
    assert paper_table.main(["--out", str(tmp_path / "nowhere" / "table.md")]) == 2
    assert "does not exist" in sentence_of(capsys)
    assert paper_table.main(["--out", str(tmp_path)]) == 2
    assert "is a folder" in sentence_of(capsys)


@pytest.mark.parametrize(
    ("error", "code"), [(KeyboardInterrupt(), 130), (PaperTableError("r50 fails"), 2)]
)
def test_the_page_of_before_stays(
    error: BaseException,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: Any,
) -> None:
    out = tmp_path / "table.md"
    out.write_text("before")
    fails(monkeypatch, error)
    assert paper_table.main(["--out", str(out)]) == code
    assert sentence_of(capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["table.md"]
    assert out.read_text() == "before"


@pytest.mark.parametrize("arguments", [["--taps", "0"], ["--threads", "x"], ["surplus"]])
def test_mistakes_on_the_command_line(arguments: list[str], capsys: Any) -> None:
    with pytest.raises(SystemExit) as stopped:
        paper_table.main(arguments)
    assert stopped.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_help_has_an_example(capsys: Any) -> None:
    with pytest.raises(SystemExit) as stopped:
        paper_table.main(["--help"])
    assert stopped.value.code == 0
    assert "examples:" in capsys.readouterr().out
