"""Two reports compared: what counts as worse, and what cannot be compared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from bench_reports import PHONE, changed, measured, realistic, steady, steady_of
from hypothesis import given, settings
from hypothesis import strategies as st
from random_bench_reports import few_reports, reports

from tracenet_bench.compare.comparison import MEMORY_FLOOR, Comparison
from tracenet_bench.compare.figures import compare, ratio_of_medians
from tracenet_bench.report.html import html
from tracenet_bench.report.schema import Failure, Noise, Photo, Report


def verdicts(comparison: Comparison) -> dict[str, str]:
    return {change.figure: change.verdict for change in comparison.pairs[0].changes}


def test_a_run_is_no_worse_than_itself() -> None:
    comparison = compare(realistic(), realistic(), 0.0)
    assert comparison.regressions == ()
    assert (comparison.missing, comparison.added, comparison.remarks) == ((), (), ())
    assert set(verdicts(comparison).values()) == {"same"}
    # 5 have a time and a memory, 4 of them two metrics; 5 have a size; and one failed.
    assert comparison.verdict == "0 regressions in 24 figures."


@pytest.mark.parametrize(
    ("median", "tolerance", "verdict"),
    [
        (44.1 * 1.2, 0.05, "regression"),
        (44.1 * 1.2, 0.3, "same"),
        (44.1 * 1.02, 0.05, "same"),
        (44.1 * 0.7, 0.05, "improvement"),
    ],
)
def test_a_time_regresses_if_its_whole_interval_does(
    median: float, tolerance: float, verdict: str
) -> None:
    comparison = compare(realistic(), changed(steady=steady(median, 11)), tolerance)
    assert verdicts(comparison)["median"] == verdict
    assert len(comparison.regressions) == (verdict == "regression")
    ratio = comparison.pairs[0].changes[0]
    assert ratio.ratio == pytest.approx(median / 44.1, rel=0.03)
    assert ratio.interval is not None
    assert ratio.interval[0] < median / 44.1 < ratio.interval[1]


def test_a_slow_median_of_few_scattered_taps_is_no_regression() -> None:
    scattered = steady_of([30.0, 90.0, 31.0, 95.0, 88.0, 33.0, 91.0], 30.0, 91.0)
    comparison = compare(changed(steady=scattered), changed(steady=steady(50, 1)), 0.05)
    assert verdicts(comparison)["median"] == "same"


@given(
    st.lists(st.floats(1, 100), min_size=1, max_size=20),
    st.lists(st.floats(1, 100), min_size=1, max_size=20),
    st.integers(1, 5),
    st.floats(0.1, 10),
)
@settings(max_examples=25)
def test_the_ratio_scales_with_the_new_times(
    old: list[float], new: list[float], taps: int, factor: float
) -> None:
    ratio, (low, high) = ratio_of_medians(old, new, taps, 3)
    more = [factor * it for it in new]
    scaled, (scaled_low, scaled_high) = ratio_of_medians(old, more, taps, 3)
    assert low <= high
    assert ratio == pytest.approx(np.median(new) / np.median(old))
    assert (scaled, scaled_low, scaled_high) == pytest.approx(
        (factor * ratio, factor * low, factor * high)
    )


def test_the_interval_holds_the_true_ratio_as_often_as_it_says() -> None:
    random = np.random.default_rng(5)
    held = 0
    for run in range(60):
        old, new = random.lognormal(3, 0.1, 41), 1.1 * random.lognormal(3, 0.1, 41)
        _, (low, high) = ratio_of_medians(old.tolist(), new.tolist(), 1, run)
        held += low <= 1.1 <= high
    assert held >= 52


def test_that_taps_differ_hides_no_regression() -> None:
    """Half of the taps take three times as long as the others: each is 15 % slower."""
    random = np.random.default_rng(6)
    old, new = (
        np.ravel(middle * np.tile([10.0, 30.0], 30) * random.normal(1, 0.01, (20, 60))).tolist()
        for middle in (1, 1.15)
    )
    slower = compare(
        changed(steady=steady_of(old, 19, 21)), changed(steady=steady_of(new, 22, 24)), 0.05
    )
    assert verdicts(slower)["median"] == "regression"


@pytest.mark.parametrize(
    ("grown", "verdict"),
    [(0, "same"), (MEMORY_FLOOR, "same"), (10_000_000, "regression"), (-20_000_000, "improvement")],
)
def test_memory(grown: int, verdict: str) -> None:
    memory = realistic().measured[0].memory
    assert memory is not None
    new = replace(memory, above_baseline=memory.above_baseline + grown)
    assert verdicts(compare(realistic(), changed(memory=new), 0.05))["memory"] == verdict


@pytest.mark.parametrize(
    ("size", "verdict"),
    [(8_600_000, "same"), (8_640_000, "regression"), (8_000_000, "improvement")],
)
def test_bundle_size(size: int, verdict: str) -> None:
    assert verdicts(compare(realistic(), changed(bundle_size=size), 0.05))["size"] == verdict


@pytest.mark.parametrize(
    ("miou_t", "verdict"), [(0.380, "same"), (0.378, "regression"), (0.391, "improvement")]
)
def test_accuracy(miou_t: float, verdict: str) -> None:
    accuracy = realistic().measured[0].accuracy
    assert accuracy is not None
    new = replace(accuracy, miou_t=miou_t)
    assert verdicts(compare(realistic(), changed(accuracy=new), 0.05))["mIoU-T"] == verdict
    fewer = replace(new, instances=400)
    found = verdicts(compare(realistic(), changed(accuracy=fewer), 0.05))
    assert (found["mIoU-T"], found["mTA"]) == ("not comparable", "not comparable")


def test_what_ran_and_now_fails_is_a_regression() -> None:
    broken = changed(steady=None, failure=Failure("tap", "No memory."))
    comparison = compare(realistic(), broken, 0.05)
    assert comparison.regressions == (
        "mobilenetv2-fpn all 640x640 onnxruntime fp32: outcome went from ran to failed at tap",
    )
    assert verdicts(compare(broken, realistic(), 0.05))["outcome"] == "improvement"


def slow(**changes: Any) -> Report:
    """Much slower than the realistic report, and measured otherwise."""
    return replace(changed(steady=steady(100, 1)), **changes)


OTHER_CONDITIONS = {
    "the processors are AMD EPYC 7B13": slow(
        environment=replace(realistic().environment, cpu="Xeon")
    ),
    "with 2 usable cores": slow(environment=replace(realistic().environment, usable_cores=2)),
    "constrained to Galaxy A14": slow(device=PHONE),
    "the photos differ": slow(
        conditions=replace(realistic().conditions, photos=(Photo("a", 480, 640),) * 3)
    ),
    "the taps differ": slow(conditions=replace(realistic().conditions, seed=8)),
}


@pytest.mark.parametrize("reason", OTHER_CONDITIONS)
def test_other_conditions_are_named_and_no_regression(reason: str) -> None:
    comparison = compare(realistic(), OTHER_CONDITIONS[reason], 0.05)
    assert comparison.regressions == ()
    assert verdicts(comparison)["median"] == verdicts(comparison)["memory"] == "not comparable"
    assert verdicts(comparison)["size"] == "same"
    (sentence,) = comparison.sentences()
    assert sentence.startswith("Not comparable (all configurations): ")
    assert reason in sentence
    assert reason in comparison.markdown()
    assert "; 11 not comparable." in comparison.verdict


def test_processors_without_a_name_are_not_taken_for_the_same() -> None:
    nameless = replace(realistic().environment, cpu=None)
    comparison = compare(realistic(environment=nameless), slow(environment=nameless), 0.05)
    assert comparison.regressions == ()
    assert verdicts(comparison)["median"] == "not comparable"
    assert "neither system names its processor" in comparison.markdown()
    comparison = compare(realistic(), slow(environment=nameless), 0.05)
    (sentence,) = comparison.sentences()
    assert "the processors are AMD EPYC 7B13 with 4 usable cores and unknown processor" in sentence


def test_other_threads_spoil_their_configuration_alone() -> None:
    subject = replace(realistic().measured[0].subject, threads=2)
    comparison = compare(realistic(), changed(subject=subject, steady=steady(100, 1)), 0.05)
    assert comparison.regressions == ()
    assert verdicts(comparison)["median"] == "not comparable"
    assert {it.verdict for pair in comparison.pairs[1:] for it in pair.changes} == {"same"}
    (sentence,) = comparison.sentences()
    assert "(mobilenetv2-fpn all 640x640 onnxruntime fp32): they ran on 1 and on 2 thr" in sentence


def test_what_only_one_run_has_is_listed() -> None:
    old = realistic()
    new = replace(old, measured=(*old.measured[1:], measured("another", 5, 1)))
    comparison = compare(old, new, 0.05)
    assert comparison.missing == ("mobilenetv2-fpn all 640x640 onnxruntime fp32",)
    assert comparison.added == ("another",)
    assert "Only in the old run: mobilenetv2-fpn all" in comparison.markdown()
    assert "Only in the new run: another." in comparison.markdown()
    assert comparison.regressions == ()
    assert any("measured beside other configurations" in it for it in comparison.remarks)
    nothing = compare(replace(old, measured=()), new, 0.05)
    assert nothing.verdict == "Nothing could be compared."


def test_noise_and_other_versions_are_said() -> None:
    environment = replace(realistic().environment, versions={"Python": "3.12.1", "numpy": "2.3.1"})
    noisy = Noise(False, ("Taps took longer and longer.",))
    comparison = compare(realistic(noise=noisy), realistic(environment=environment), 0.05)
    assert comparison.sentences() == (
        "The old run was noisy (Taps took longer and longer); repeat it.",
        "Also different: Python, 3.11.7 before and 3.12.1 now.",
        "Also different: onnxruntime, 1.22.1 before and absent now.",
    )


def test_other_warm_up_limits_and_sources_are_said() -> None:
    conditions = replace(
        realistic().conditions, warm_up=9, limit_taps=50, limit_seconds=9.5, target_interval=0.1
    )
    subject = replace(realistic().measured[0].subject, source="out/other")
    new = replace(changed(subject=subject), conditions=conditions)
    comparison = compare(realistic(), new, 0.05)
    assert comparison.sentences() == (
        "Also different: limit of seconds, 120 before and 9.5 now.",
        "Also different: limit of taps, 300 before and 50 now.",
        "Also different: source of mobilenetv2-fpn all 640x640 onnxruntime fp32, out/bundle before "
        "and out/other now.",
        "Also different: taps of warm-up, 5 before and 9 now.",
        "Also different: target of intervals, 3.0 % before and 10 % now.",
    )
    assert comparison.regressions == ()


@pytest.mark.parametrize("reason", OTHER_CONDITIONS)
def test_where_no_time_can_be_compared_that_is_told(reason: str) -> None:
    assert not compare(realistic(), OTHER_CONDITIONS[reason], 0.05).comparable
    assert compare(realistic(), slow(), 0.05).comparable
    assert not compare(realistic(), realistic(measured=()), 0.05).comparable


@few_reports
@given(reports(), reports(), st.floats(0, 1))
def test_any_two_reports_compare(old: Report, new: Report, tolerance: float) -> None:
    comparison = compare(old, new, tolerance)
    names = {it.subject.name for it in old.measured}
    assert len(comparison.pairs) == sum(it.subject.name in names for it in new.measured)
    assert comparison.markdown()
    assert html(new, comparison)
    assert len(compare(new, new, tolerance).regressions) == 0
