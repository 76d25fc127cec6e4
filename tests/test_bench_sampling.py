"""Rounds of taps, and when they end; by subjects that take as long as they are told."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from tracenet_bench.measure.sampling import (
    MINIMUM_SECONDS,
    Rules,
    Sample,
    Samples,
    Tap,
    orders,
    take_samples,
)
from tracenet_bench.measure.statistics import (
    MINIMUM_SAMPLES,
    PASSES,
    describe,
    median_interval,
    relative_width,
)
from tracenet_bench.measure.worker import WorkerFailed
from tracenet_bench.report.schema import Failure, Photo

TAPS = [Tap(0, (1, 1)), Tap(0, (2, 2))]
SLOW = 1000 * MINIMUM_SECONDS / MINIMUM_SAMPLES
"""Milliseconds of a tap of which few are needed."""
Heard = list[tuple[str, Tap]]


def rules(**changes: float) -> Rules:
    settings = {
        "warm_up": 0, "target_interval": 0.03, "limit_taps": 200, "limit_seconds": 1e9, "seed": 0,
    }  # fmt: skip
    return Rules(**(settings | changes))  # type: ignore[arg-type]


def fake(name: str, milliseconds: Iterator[float], heard: Heard) -> Callable[[Tap], Sample]:
    """Takes as long as it is told, and notes its taps."""

    def tap(at: Tap) -> Sample:
        heard.append((name, at))
        return Sample(next(milliseconds), {"engine/one": 1.0}, 7)

    return tap


def same(value: float) -> Iterator[float]:
    return itertools.repeat(value)


def noisy(seed: int, spread: float = 0.1) -> Iterator[float]:
    random = np.random.default_rng(seed)
    while True:
        yield float(random.uniform(100 * (1 - spread), 100 * (1 + spread)))


def counted(heard: Heard, subjects: int, photos: int = 1) -> Heard:
    """Without the least warm-up."""
    return heard[subjects * photos :]


def test_every_round_is_one_tap_on_each() -> None:
    heard: Heard = []
    subjects = {name: fake(name, same(SLOW), heard) for name in "abc"}
    samples = take_samples(subjects, TAPS, rules())
    counted_taps = counted(heard, 3)
    rounds = [counted_taps[i : i + 3] for i in range(0, len(counted_taps), 3)]
    assert [[name for name, _ in one] for one in rounds] == list(
        itertools.islice(orders("abc", 2, 0), len(rounds))
    )
    for number, one in enumerate(rounds):
        assert {name for name, _ in one} == set("abc")
        assert {tap for _, tap in one} == {TAPS[number % 2]}
    # What does not vary is known as soon as there are samples enough.
    assert [len(v.taken) for v in samples.values()] == [MINIMUM_SAMPLES] * 3


@pytest.mark.parametrize("taps", [1, 2, 3, 20])
@pytest.mark.parametrize("names", ["a", "ab", "abc", "abcde"])
def test_the_order_favours_nobody(names: str, taps: int) -> None:
    """Whom one follows, and its place in the round at each tap, are as often one as the other."""
    count = len(names)
    rounds = list(itertools.islice(orders(names, taps, seed=0), 2 * taps * (2000 // taps)))
    assert all(sorted(order) == list(names) for order in rounds)
    assert rounds == list(itertools.islice(orders(names, taps, seed=0), len(rounds)))
    places = np.zeros((count, count, taps))
    for number, order in enumerate(rounds):
        for place, name in enumerate(order):
            places[names.index(name), place, number % taps] += 1
    assert np.all(places == places[:, ::-1])  # as often first as last, and so on
    expected = len(rounds) / count / taps
    assert np.abs(places - expected).max() <= 6 * np.sqrt(expected)
    sequence = [names.index(name) for order in rounds for name in order]
    follows = np.zeros((count, count))
    np.add.at(follows, (sequence[1:], sequence[:-1]), 1)
    others = follows[~np.eye(count, dtype=bool)]
    assert count == 1 or others.max() - others.min() <= 0.15 * others.mean()
    alone = np.diag(follows)
    assert np.ptp(alone) <= 6 * np.sqrt(alone.mean())
    assert count == 1 or alone.sum() <= len(rounds) / taps  # only where a pass ends


def test_warm_up_is_not_counted_and_takes_nothing_from_what_is() -> None:
    heard: Heard = []
    values = itertools.chain([900.0] * 3, same(SLOW))
    samples = take_samples({"a": fake("a", values, heard)}, TAPS, rules(warm_up=3))
    assert samples["a"].milliseconds == [SLOW] * MINIMUM_SAMPLES
    assert [tap for _, tap in heard[3:5]] == TAPS


def test_every_photo_is_warmed_up() -> None:
    heard: Heard = []
    taps = [Tap(photo, (0, 0)) for photo in range(5)]
    new_to = set(range(5))

    def tap(at: Tap) -> Sample:
        heard.append(("a", at))
        first = at.photo in new_to
        new_to.discard(at.photo)
        return Sample(9000.0 if first else SLOW, {}, None)

    samples = take_samples({"a": tap}, taps, rules(warm_up=3))
    assert set(samples["a"].milliseconds) == {SLOW}
    assert [at.photo for _, at in heard[:6]] == [0, 1, 2, 3, 4, 0]
    assert [rules(warm_up=3).warm_up_on(photos) for photos in (1, 5)] == [3, 5]


def test_it_goes_on_until_every_interval_is_narrow() -> None:
    subjects = {"a": fake("a", same(SLOW), []), "b": fake("b", noisy(1), [])}
    samples = take_samples(subjects, TAPS, rules(limit_taps=100_000))
    count = len(samples["b"].taken)
    assert len(samples["a"].taken) == count > MINIMUM_SAMPLES  # pairs to the end
    assert count % len(TAPS) == 0
    for found in samples.values():
        interval = median_interval(found.milliseconds, len(TAPS), 0)
        assert relative_width(found.milliseconds, interval) < 0.03


def test_taps_that_differ_are_no_reason_to_go_on() -> None:
    """Two photos, one of which takes three times as long: a steady machine all the same."""
    taps = [Tap(photo, (0, 0)) for photo in (0, 1)]
    random = np.random.default_rng(4)
    quick_and_slow = (
        float(middle * random.normal(1, 0.01)) for middle in itertools.cycle([100.0, 300.0])
    )
    samples = take_samples({"a": fake("a", quick_and_slow, [])}, taps, rules(limit_taps=1000))
    assert len(samples["a"].taken) < 60
    assert describe(samples["a"].milliseconds, [0, 1], 2, target=0.03, seed=0).converged


def test_it_does_not_end_before_there_are_passes_to_judge() -> None:
    taps = [Tap(0, (x, 0)) for x in range(20)]
    samples = take_samples({"a": fake("a", same(5000.0), [])}, taps, rules())
    assert len(samples["a"].taken) == 20 * PASSES
    steady = describe(samples["a"].milliseconds, [0] * 20, 1, target=0.03, seed=0)
    assert steady.converged


def test_quick_taps_are_watched_for_some_time() -> None:
    quick, slow = fake("quick", same(2.0), []), fake("slow", same(SLOW), [])
    samples = take_samples({"quick": quick, "slow": slow}, TAPS, rules(limit_taps=100_000))
    assert MINIMUM_SECONDS <= samples["quick"].seconds < 1.3 * MINIMUM_SECONDS
    assert len(samples["slow"].taken) == len(samples["quick"].taken)


@pytest.mark.parametrize(
    ("limits", "count"),
    [({"limit_taps": 37}, 37), ({"limit_seconds": 3.0}, 30), ({"limit_taps": 1}, 1)],
)
def test_limits(limits: dict[str, float], count: int) -> None:
    values = itertools.cycle([50.0, 150.0, 150.0, 50.0])  # the same tap varies
    samples = take_samples({"a": fake("a", values, [])}, TAPS, rules(**limits))
    assert len(samples["a"].taken) == count


def test_what_is_at_its_limit_leaves_and_the_others_go_on() -> None:
    heard: Heard = []
    slow = fake("slow", itertools.cycle([5000.0, 9000.0]), heard)
    quick = fake("quick", noisy(2), heard)
    samples = take_samples(
        {"slow": slow, "quick": quick}, TAPS, rules(limit_seconds=40, limit_taps=100_000)
    )
    assert len(samples["slow"].taken) == 6
    assert len(samples["quick"].taken) > 50
    assert not any(name == "slow" for name, _ in counted(heard, 2)[12:])


def test_every_photo_is_tapped_whatever_the_limit() -> None:
    heard: Heard = []
    taps = [Tap(photo, (0, 0)) for photo in (0, 1, 2, 0, 1, 2)]
    take_samples({"a": fake("a", same(9.0), heard)}, taps, rules(limit_taps=1))
    assert [tap.photo for _, tap in counted(heard, 1, photos=3)] == [0, 1, 2]


def test_few_samples_are_not_believed() -> None:
    samples = take_samples({"a": fake("a", same(SLOW), [])}, TAPS[:1], rules())
    assert len(samples["a"].taken) == MINIMUM_SAMPLES


def test_one_that_fails_leaves_the_rounds_and_has_no_samples() -> None:
    failure = Failure("tap", "the process was ended by SIGSEGV")
    heard: Heard = []
    left = iter(range(4))

    def dies(at: Tap) -> Sample:
        if next(left, None) is None:
            raise WorkerFailed(failure)
        return Sample(1.0, {}, None)

    samples = take_samples({"dies": dies, "a": fake("a", same(SLOW), heard)}, TAPS, rules())
    assert samples["dies"] == Samples(failure=failure)
    assert samples["a"].failure is None
    assert len(samples["a"].taken) == len(counted(heard, 1)) == MINIMUM_SAMPLES


@pytest.mark.parametrize("warm_up", [0, 2])
def test_where_all_fail_there_is_nothing_to_wait_for(warm_up: int) -> None:
    failure = Failure("tap", "no")

    def dies(at: Tap) -> Sample:
        raise WorkerFailed(failure)

    samples = take_samples({"a": dies, "b": dies}, TAPS, rules(warm_up=warm_up))
    assert [found.failure for found in samples.values()] == [failure, failure]
    assert take_samples({}, TAPS, rules()) == {}


def test_taps_are_uniform_and_on_the_photos_in_turn() -> None:
    from tracenet_bench.measure.photos import random_taps

    photos = [Photo("a", 3, 5), Photo("b", 1, 1)]
    taps = random_taps(photos, 4000, seed=1)
    assert taps == random_taps(photos, 4000, seed=1) != random_taps(photos, 4000, seed=2)
    assert [tap.photo for tap in taps] == [0, 1] * 2000
    on_first = [tap.at for tap in taps if tap.photo == 0]
    assert set(on_first) == {(x, y) for x in range(5) for y in range(3)}
    assert min(on_first.count(at) for at in set(on_first)) > 2000 / 15 / 2
    assert {tap.at for tap in taps if tap.photo == 1} == {(0, 0)}


def test_photos_are_tapped_at_the_same_places() -> None:
    from tracenet_bench.measure.photos import random_taps

    taps = random_taps([Photo("a", 100, 200), Photo("a", 300, 600)], 21, seed=0)
    for small, large in zip(taps[0:20:2], taps[1:20:2], strict=True):
        assert small.at == (large.at[0] // 3, large.at[1] // 3)
