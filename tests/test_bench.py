"""tracenet-bench: paired latencies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from export_fixtures import SmallExport
from tool_checks import assert_one_sentence, run_json

from tracenet_bench import cli as bench_cli
from tracenet_bench.latency import Latencies, median_ratio


def test_bench_compares_with_fullnet(
    small: SmallExport, full: tuple[Path, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--bundle", str(small.folder), "--baseline", str(full[0])]
    report = run_json(bench_cli.main, [*arguments, "--taps", "2", "--warm-up", "0"], capsys)
    assert report["threads"] == 1
    assert report["baseline_over_bundle"] > 0
    assert report["baseline"]["schedule"] == "full"
    for name in ("bundle", "baseline"):
        assert report[name]["median_ms"] > 0
        assert {"canvas", "cut", "engine", "mask", "paste"} <= set(report[name]["stages_ms"])
        assert sum(report[name]["mask_windows"].values()) == 2


def test_the_ratio_is_the_median_of_pairs() -> None:
    slow, fast = (Latencies(times, {}, {}) for times in ((2.0, 30.0, 6.0), (1.0, 10.0, 1.0)))
    assert median_ratio(slow, fast) == 3.0


def test_bench_mistakes(capsys: pytest.CaptureFixture[str]) -> None:
    assert_one_sentence(bench_cli.main, ["--bundle", "nowhere"], "nowhere", capsys)
