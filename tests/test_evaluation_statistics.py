"""One-tap evaluation: estimates, their errors, and the tables of figures."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracenet.evaluation.protocol import ProtocolName
from tracenet.evaluation.report import markdown
from tracenet.evaluation.scores import InstanceScore, PhotoScore, TapScore
from tracenet.evaluation.statistics import bootstrap_intervals, estimate_share
from tracenet.evaluation.summary import summarise

BAND_PIXELS = (4, 12, 30, 0, 54)


def draw(random: np.random.Generator, pixels: Any, protocol: ProtocolName) -> tuple[Any, Any]:
    """Values and bands of a sample from an instance whose pixels have these values, by band."""
    bands = np.repeat(np.arange(1, 6), BAND_PIXELS)
    if protocol == "uniform":
        rows = random.integers(len(pixels), size=25)
    else:
        rows = np.concatenate(
            [
                random.permutation(np.flatnonzero(bands == band))[:5]
                for band in range(1, 6)
                if BAND_PIXELS[band - 1]
            ]
        )
    return pixels[rows], bands[rows]


@pytest.mark.parametrize("protocol", ["uniform", "bands"])
def test_the_share_and_its_variance_are_unbiased(protocol: ProtocolName) -> None:
    random = np.random.default_rng(0)
    bands = np.repeat(np.arange(1, 6), BAND_PIXELS)
    pixels = (random.random(100) < 0.9 - 0.15 * bands).astype(np.float64)
    estimates = np.array(
        [
            estimate_share(*draw(random, pixels, protocol), BAND_PIXELS, protocol)
            for _ in range(4000)
        ]
    )
    shares, variances = estimates.T
    error = shares.std() / math.sqrt(len(shares))
    assert abs(shares.mean() - pixels.mean()) < 4 * error
    assert variances.mean() == pytest.approx(shares.var(), rel=0.1)


def test_what_a_sample_cannot_tell() -> None:
    one = np.ones(1), np.ones(1, np.intp)
    assert estimate_share(*one, (9, 0, 0, 0, 0), "uniform")[0] == 1.0
    assert math.isnan(estimate_share(*one, (9, 0, 0, 0, 0), "uniform")[1])
    # All of a band is no sample.
    assert estimate_share(*one, (1, 0, 0, 0, 0), "bands") == (1.0, 0.0)


def test_the_interval_covers_the_truth() -> None:
    """Photos of one to five instances that resemble each other: 95 % of the intervals cover."""
    random = np.random.default_rng(1)
    covered = covered_if_instances_were_independent = 0
    trials = 300
    for trial in range(trials):
        sizes = random.integers(1, 6, 60)
        photo = np.repeat(np.arange(60), sizes)
        values = random.normal(0, 1, 60)[photo] + random.normal(0, 0.3, len(photo))
        ((low, high),) = bootstrap_intervals(values[:, None], list(photo), trial) or [(1, 0)]
        covered += low <= 0 <= high
        narrow = 1.96 * values.std() / math.sqrt(len(values))
        covered_if_instances_were_independent += abs(values.mean()) <= narrow
    assert 0.90 * trials <= covered <= 0.99 * trials
    assert covered_if_instances_were_independent < 0.85 * trials


def test_draws_in_which_nothing_counts_are_left_out() -> None:
    values, weights = np.array([[0.2], [0.9], [0.4]]), np.array([[0.0], [0.0], [2.0]])
    ((low, high),) = bootstrap_intervals(values, [0, 1, 2], 0, weights) or []
    assert (low, high) == pytest.approx((0.4, 0.4))


def test_intervals_are_seeded() -> None:
    values = np.random.default_rng(0).random((40, 2))
    photos = list(range(0, 80, 2))
    first = bootstrap_intervals(values, photos, 0)
    assert first == bootstrap_intervals(values, photos, 0) != bootstrap_intervals(values, photos, 1)
    assert first is not None
    assert all(
        low < mean < high for (low, high), mean in zip(first, values.mean(axis=0), strict=True)
    )
    assert bootstrap_intervals(values, [3] * 40, 0) is None


def test_a_weight_is_as_good_as_so_many_rows() -> None:
    random = np.random.default_rng(3)
    values, photos = random.random((40, 2)), np.arange(40) // 2
    weights = random.integers(1, 5, 40)
    repeated = bootstrap_intervals(
        values.repeat(weights, axis=0), photos.repeat(weights).tolist(), 0
    )
    weighted = bootstrap_intervals(
        values, photos.tolist(), 0, np.column_stack([weights, np.ones(40)])
    )
    assert repeated is not None
    assert weighted is not None
    plain = bootstrap_intervals(values, photos.tolist(), 0)
    assert plain is not None
    assert weighted[0] == pytest.approx(repeated[0])
    assert weighted[1] == pytest.approx(plain[1])
    assert weighted[0] != pytest.approx(plain[0])


# Figures


def instance(
    ious: list[float],
    oracles: list[float] | None = None,
    *,
    area: int = 2000,
    category: str | None = None,
    above: int | None = None,
) -> InstanceScore:
    """Its taps are in the bands 1, 2, 3, ... in turn."""
    taps = tuple(
        TapScore(0, 0, n % 5 + 1, "P3", iou, None if oracles is None else oracles[n], iou / 2)
        for n, iou in enumerate(ious)
    )
    return InstanceScore(1, category, area, (area // 5,) * 5, taps, above)


def figures(*instances: InstanceScore, protocol: ProtocolName = "uniform") -> dict[str, Any]:
    return summarise(
        [PhotoScore(n, f"photo {n}", "x", (one,)) for n, one in enumerate(instances)], protocol, 0
    )


def test_means_are_of_instances_not_of_taps() -> None:
    summary = figures(instance([1.0] * 4, [1.0] * 4), instance([0.0] * 2, [0.5, 0.5]))
    assert (summary["miou_t"], summary["miou_t_oracle_level"]) == (0.5, 0.75)
    assert (summary["mta_0.7"], summary["mta_0.7_oracle_level"]) == (0.5, 0.5)
    assert (summary["boundary_iou_t"], summary["boundary_iou_t_interval"]) == (0.25, [0.0, 0.5])
    assert (summary["instances"], summary["taps"]) == (2, 6)
    assert summary["mta_0.7_standard_error"] == 0.0
    assert summary["miou_t_interval"] == [0.0, 1.0]


def test_the_threshold_itself_is_not_above() -> None:
    assert figures(instance([0.7, 0.7]))["mta_0.7"] == 0.0


def test_the_standard_error_of_mta() -> None:
    # Two of four: 0.25 / 3 each; two instances.
    summary = figures(instance([1.0, 1.0, 0.0, 0.0]), instance([1.0, 0.0, 1.0, 0.0]))
    assert summary["mta_0.7_standard_error"] == pytest.approx(math.sqrt(2 * 0.25 / 3) / 2, abs=1e-6)
    one_tap = figures(instance([1.0]), instance([1.0, 0.0]))
    assert one_tap["mta_0.7_standard_error"] is None
    assert one_tap["mta_0.7"] == 0.75


def test_where_all_pixels_were_tapped_there_is_no_error() -> None:
    summary = figures(
        instance([1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0], area=100, above=60),
        instance([1.0, 1.0], [1.0, 1.0], area=100, above=100),
    )
    assert summary["mta_0.7"] == 0.8
    assert summary["mta_0.7_standard_error"] == 0.0
    # The oracle adds a quarter of the taps of the first; only that is estimated.
    assert summary["mta_0.7_oracle_level"] == pytest.approx((0.85 + 1.0) / 2)
    assert summary["mta_0.7_oracle_level_standard_error"] == pytest.approx(
        math.sqrt(0.25 * 0.75 / 3) / 2, abs=1e-6
    )


def test_groups() -> None:
    summary = figures(
        instance([1.0] * 5, [1.0] * 5, area=32**2 - 1, category="cat"),
        instance([0.5] * 5, [0.6] * 5, area=32**2, category="cat"),
        instance([0.0] * 5, [0.9] * 5, area=96**2, category=None),
    )
    assert list(summary["sizes"]) == ["small", "medium", "large"]
    assert [block["miou_t"] for block in summary["sizes"].values()] == [1.0, 0.5, 0.0]
    assert {name: block["instances"] for name, block in summary["categories"].items()} == {
        "cat": 2, "without a name": 1,
    }  # fmt: skip
    assert summary["categories"]["cat"]["miou_t"] == 0.75
    assert list(summary["bands"]) == ["1", "2", "3", "4", "5"]
    for block in (*summary["bands"].values(), *summary["sizes"].values()):
        assert set(block) == set(summary) - {"bands", "sizes", "categories"}
    assert summary["bands"]["4"]["miou_t_oracle_level"] == pytest.approx(2.5 / 3, abs=1e-6)
    assert figures(instance([1.0]))["categories"] is None


def test_bands_are_weighted_with_their_pixels() -> None:
    taps = tuple(
        TapScore(n, 0, 1 if n < 5 else 2, None, float(n < 5), None, 0.0) for n in range(10)
    )
    one = InstanceScore(1, None, 100, (20, 80, 0, 0, 0), taps, None)
    summary = figures(one, one, protocol="bands")
    assert summary["miou_t"] == 0.5
    assert summary["mta_0.7"] == 0.2
    assert summary["mta_0.7_standard_error"] == 0.0
    assert [summary["bands"][band]["mta_0.7"] for band in ("1", "2")] == [1.0, 0.0]
    assert "3" not in summary["bands"]


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=6),
    st.sampled_from(["uniform", "bands"]),
)
def test_the_oracle_is_never_worse(pairs: list[tuple[float, float]], name: ProtocolName) -> None:
    taps = [TapScore(0, 0, 1, "P3", min(pair), max(pair), 0.0) for pair in pairs]
    one = InstanceScore(1, None, 50, (50, 0, 0, 0, 0), tuple(taps), None)
    summary = figures(one, protocol=name)
    for block in (summary, *summary["bands"].values(), *summary["sizes"].values()):
        for metric in ("miou_t", "mta_0.7"):
            assert block[metric] <= block[f"{metric}_oracle_level"]
            assert block[f"{metric}_interval"] is None  # one photo says nothing of others


def test_the_table() -> None:
    summary = figures(
        instance([1.0, 0.0], category="a|b"), instance([1.0, 1.0], category="c\n\ud800")
    )
    conditions = {"evaluated": "x", "model": {"form": "y"}}
    found = {"broken_rle": {"count": 2, "rule": "skipped", "first": ["1", "2"]}}
    table = markdown({**summary, "conditions": conditions, "problems": found})
    rows = [line for line in table.splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in rows}) == 1
    assert rows[2].startswith(
        "| **all** | 2 | 4 | 0.750 [0.500, 1.000] | - | 0.375 [0.250, 0.500] | 0.750 ["
    )
    for said in (
        "| band 1 ",
        "| size medium ",
        "| category a\\|b ",
        r"| category 'c\n\ud800' ",
        "- model, form: y",
        "- annotations: skipped 2 (broken rle)",
    ):
        assert said in table
