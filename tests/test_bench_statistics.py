"""Medians, their intervals, and the verdict on the machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracenet_bench.measure.noise import judge_noise, same_tap_ratios
from tracenet_bench.measure.statistics import (
    describe,
    fewest_samples,
    median_interval,
    paired_ratio,
    relative_width,
)
from tracenet_bench.report.schema import Steady

times = st.floats(0.01, 1e5)
samples = st.lists(times, min_size=1, max_size=60)
few = settings(max_examples=40)


taps = st.integers(1, 9)


@few
@given(samples, taps, st.integers(0, 2**32))
def test_the_interval_holds_the_median_and_lies_among_the_samples(
    values: list[float], taps: int, seed: int
) -> None:
    low, high = median_interval(values, taps, seed)
    assert min(values) <= low <= np.median(values) <= high <= max(values)
    assert median_interval(values, taps, seed) == (low, high)
    assert relative_width(values, (low, high)) == pytest.approx((high - low) / np.median(values))


@few
@given(samples, taps, st.integers(0, 100), st.floats(0.1, 10))
def test_slower_samples_have_a_later_interval(
    values: list[float], taps: int, seed: int, slower: float
) -> None:
    """With one seed the same resamples are drawn, so nothing can lie earlier."""
    before = median_interval(values, taps, seed)
    after = median_interval([value + slower for value in values], taps, seed)
    assert np.all(np.asarray(after) >= np.asarray(before))
    assert after == pytest.approx(np.asarray(before) + slower)


def test_of_one_sample_and_of_equal_ones_there_is_no_doubt() -> None:
    assert median_interval([7.0], 1, 0) == (7.0, 7.0)
    assert median_interval([7.0] * 30, 3, 0) == (7.0, 7.0)


@pytest.mark.parametrize(("taps", "passes"), [(1, 41), (20, 4), (5, 9)])
def test_the_interval_covers_the_true_median_about_as_often_as_it_says(
    taps: int, passes: int
) -> None:
    random = np.random.default_rng(3)
    own = np.linspace(0, 1, taps) * (taps > 1)
    covered = 0
    for seed in range(200):
        values = 100 + own + random.normal(0, 1, (passes, taps))
        low, high = median_interval(values.ravel().tolist(), taps, seed)
        covered += low <= 100 + own.mean() <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_that_taps_differ_is_no_doubt() -> None:
    random = np.random.default_rng(7)
    values = np.ravel([10.0, 30.0] * random.normal(1, 0.01, (20, 2))).tolist()
    by_tap, mixed = median_interval(values, 2, 0), median_interval(values, 1, 0)
    assert relative_width(values, by_tap) < 0.02 < 0.5 < relative_width(values, mixed)


def test_taps_beyond_the_last_whole_pass_count_for_their_own() -> None:
    values = [10.0, 30.0, 50.0] * 5 + [12.0, 30.0]
    low, high = median_interval(values, 3, 0)
    assert (low, high) == (30.0, 30.0)


def test_of_too_few_passes_the_taps_are_not_told_apart() -> None:
    """One pass through different taps says nothing of how much one of them varies."""
    values = [10.0, 20.0, 30.0, 40.0, 50.0]
    assert median_interval(values, 5, 0) == median_interval(values, 1, 0)
    low, high = median_interval(values, 5, 0)
    assert low < 20 < 40 < high


def test_more_samples_narrow_it() -> None:
    values = np.random.default_rng(0).normal(100, 10, 3000).tolist()
    widths = [
        relative_width(values[:n], median_interval(values[:n], 1, 0)) for n in (30, 300, 3000)
    ]
    assert widths[0] > widths[1] > widths[2]


def test_the_steady_state() -> None:
    values = [5.0, 1.0, 3.0, 4.0, 2.0, 9.0]
    steady = describe(values, [0, 1], 2, target=0.03, seed=0)
    assert steady.samples == tuple(values)
    assert (steady.minimum, steady.p50) == (1.0, 3.5)
    assert steady.p90 == pytest.approx(7.0)
    assert steady.p99 == pytest.approx(8.8)
    assert steady.by_photo == (3.0, 4.0)
    assert steady.interval == median_interval(values, 2, 0)
    assert not steady.converged


def test_convergence_is_a_width_below_the_target() -> None:
    values = [99.0, 100.0, 101.0] * 4
    width = relative_width(values, median_interval(values, 1, 0))
    assert width > 0
    assert not describe(values, [0], 1, target=width, seed=0).converged
    assert describe(values, [0], 1, target=width * 1.01, seed=0).converged
    assert not describe([100.0], [0], 1, target=width, seed=0).converged  # nothing is known


@pytest.mark.parametrize(("taps", "fewest"), [(1, 10), (3, 12), (4, 16), (20, 80)])
def test_few_passes_are_not_believed(taps: int, fewest: int) -> None:
    assert fewest_samples(taps) == fewest
    for count in (fewest - 1, fewest):
        steady = describe([5.0] * count, [0] * taps, 1, target=0.03, seed=0)
        assert steady.converged == (count == fewest)


def test_the_ratio_is_of_pairs() -> None:
    """A machine that becomes ten times as slow half-way changes nothing."""
    of, to = [2.0, 2.2, 20.0, 19.0], [1.0, 1.0, 10.0, 10.0]
    ratio, (low, high) = paired_ratio(of, to, 1, 0)
    assert ratio == pytest.approx(2.0)
    assert 1.9 <= low <= ratio <= high <= 2.2


def test_that_the_ratio_differs_by_tap_is_no_doubt() -> None:
    """On one photo twice as long, on another three times, and three times on a third."""
    random = np.random.default_rng(8)
    to = random.normal(1, 0.001, 120)
    of = to * np.tile([2.0, 3.0, 3.3], 40)
    ratio, (low, high) = paired_ratio(of.tolist(), to.tolist(), 3, 0)
    assert ratio == pytest.approx(3.0)
    assert low == pytest.approx(3.0)
    assert high == pytest.approx(3.0)
    assert np.diff(paired_ratio(of.tolist(), to.tolist(), 1, 0)[1])[0] >= 0


def test_rounds_without_a_pair_are_left_out() -> None:
    assert paired_ratio([2.0, 4.0], [1.0, 2.0, 700.0], 1, 0) == (2.0, (2.0, 2.0))


# Noise


def steady_of(values: Sequence[float], converged: bool = True) -> Steady:
    steady = describe(values, [0], 1, target=0.03, seed=0)
    return dataclasses.replace(steady, converged=converged)


def reasons(values: Sequence[float], taps: int = 2, busy_before: float = 0.01) -> tuple[str, ...]:
    noise = judge_noise({"a": steady_of(values)}, taps, busy_before)
    assert noise.quiet == (not noise.reasons)
    return noise.reasons


def test_a_quiet_machine() -> None:
    assert reasons([10.0, 20.0] * 20) == ()


def test_different_taps_are_no_noise() -> None:
    """A tap with a large mask window takes longer every time."""
    assert reasons([10.0, 10.0, 10.0, 10.0, 30.0] * 8, taps=5) == ()


def test_a_machine_that_was_busy_before() -> None:
    assert reasons([10.0] * 40, busy_before=0.1) == ()
    (reason,) = reasons([10.0] * 40, busy_before=0.31)
    assert reason == "31% of all cores' time was taken before anything was measured."


def test_drift() -> None:
    (reason,) = reasons([10.0] * 20 + [10.6] * 20)
    assert reason == "a: the second half of the taps took 6.0% more than the first."
    (reason,) = reasons([10.6] * 20 + [10.0] * 20)
    assert "less than the first" in reason
    assert reasons([10.0] * 20 + [10.4] * 20) == ()


def test_spread() -> None:
    (reason,) = reasons([10.0, 10.0, 10.0, 13.0] * 10, taps=1)
    assert "one tap in ten took more than 1.30 times as long" in reason
    assert reasons([10.0, 10.0, 10.0, 12.0] * 10, taps=1) == ()


def test_no_convergence() -> None:
    noise = judge_noise({"a": steady_of([1.0, 1.1] * 4, False)}, 2, 0.0)
    assert not noise.quiet
    (reason,) = noise.reasons
    assert reason.startswith("a: the interval of the median is still")
    assert reason.endswith("wide after 8 taps.")


def test_too_few_passes_are_a_reason_by_themselves() -> None:
    """However narrow the interval is: nothing is known of drift and spread."""
    (reason,) = reasons([10.0, 20.0] * 3 + [10.0])
    assert reason == (
        "a: a limit ended the timing after 7 taps, too few passes through the 2 different ones to "
        "judge drift and spread; take fewer --taps, or a larger --limit-seconds or --limit-taps."
    )
    assert reasons([10.0, 20.0] * 4) == ()


def test_too_few_passes_show_neither_drift_nor_spread() -> None:
    assert same_tap_ratios([1.0, 2.0] * 3, 2) is None
    ratios = same_tap_ratios([1.0, 2.0] * 4 + [77.0], 2)
    assert ratios is not None
    assert ratios.tolist() == [1.0] * 8
