"""Taps of all configurations in turn, until each has been timed long enough.

Every round is one tap on every configuration, in an order that changes, so that a drift of the
machine, and what the one before leaves in the caches, cancel in ratios.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tqdm.auto import tqdm

from tracenet_bench.measure.statistics import fewest_samples, median_interval, relative_width
from tracenet_bench.measure.worker import WorkerFailed
from tracenet_bench.report.schema import Failure

MINIMUM_SECONDS = 2.0
"""Of counted taps: in less, of quick ones, a machine may seem steadier than it is."""

_LONGER = 1.2
"""From one look at the intervals to the next; each costs as much as some taps."""


@dataclass(frozen=True)
class Tap:
    """A tap at (x, y) on a photo, by its number."""

    photo: int
    at: tuple[int, int]


@dataclass(frozen=True)
class Sample:
    """What one tap took, in all and by stage in milliseconds, and its multiply-adds if known.

    ``operations`` are the same of what went with it in its round (``schema.Operation``), by name.
    """

    milliseconds: float
    stages: Mapping[str, float]
    macs: int | None
    operations: Mapping[str, Sample] = field(default_factory=dict)


@dataclass
class Samples:
    """Of one configuration, one per round from the first on; what failed has none."""

    taken: list[Sample] = field(default_factory=list)
    failure: Failure | None = None

    @property
    def milliseconds(self) -> list[float]:
        """Of every tap, in order."""
        return [sample.milliseconds for sample in self.taken]

    @property
    def seconds(self) -> float:
        """In all."""
        return sum(self.milliseconds) / 1000


@dataclass(frozen=True)
class Rules:
    """When to start counting, and when to stop; see ``schema.Conditions`` for the fields."""

    warm_up: int
    target_interval: float
    limit_taps: int
    limit_seconds: float
    seed: int

    def warm_up_on(self, photos: int) -> int:
        """Rounds before the first counted one: a photo that is new to an engine is no warm one."""
        return max(self.warm_up, photos)


def take_samples(
    subjects: Mapping[str, Callable[[Tap], Sample]], taps: Sequence[Tap], rules: Rules
) -> dict[str, Samples]:
    """Tap until the median of every configuration is known well enough, or its limit is reached.

    Intervals are looked at after whole passes through the taps, and not before there are enough
    samples, over a time long enough. One that has reached a limit, or fails, leaves the rounds, but
    none before every photo was tapped once.

    Args:
        subjects: by name, what taps; it raises ``WorkerFailed``.
        taps: gone through again and again; the first of them are on different photos.
        rules: when to stop.
    """
    all_samples = {name: Samples() for name in subjects}
    active = list(subjects)
    photos = len({tap.photo for tap in taps})
    look = fewest_samples(len(taps))

    def go_round(order: Sequence[str], tap: Tap) -> dict[str, Sample]:
        found = {}
        for name in order:
            if name not in active:
                continue
            try:
                found[name] = subjects[name](tap)
            except WorkerFailed as failed:
                all_samples[name] = Samples(failure=failed.failure)
        active[:] = [name for name in active if name in found]
        return found

    rounds = zip(orders(list(subjects), len(taps), rules.seed), itertools.cycle(taps))
    for order, tap in itertools.islice(rounds, rules.warm_up_on(photos)):
        go_round(order, tap)
    rounds = zip(orders(list(subjects), len(taps), rules.seed), itertools.cycle(taps))
    with tqdm(total=rules.limit_taps, unit="round", desc="tapping") as progress:
        for count, (order, tap) in enumerate(rounds, start=1):
            if not active:
                break
            for name, sample in go_round(order, tap).items():
                all_samples[name].taken.append(sample)
            progress.update()
            if count >= look:
                widest = max((_width(all_samples[v], taps, rules) for v in active), default=0.0)
                progress.set_postfix_str(f"widest interval {widest:.1%}")
                long_enough = all(all_samples[v].seconds >= MINIMUM_SECONDS for v in active)
                if long_enough and widest < rules.target_interval:
                    break
                passes = math.ceil(_LONGER * count / len(taps))
                look = passes * len(taps)
            if count >= photos:
                active[:] = [v for v in active if not _at_limit(all_samples[v], rules)]
    return all_samples


def orders(names: Sequence[str], taps: int, seed: int) -> Iterator[Sequence[str]]:
    """In which order to go through the names, round after round, without end.

    The order of every tap is drawn at random, and every other pass takes those of the pass before
    in reverse. Nobody follows itself but where a pass ends, and nobody has a place or a neighbour
    more often than another. (Two have one order in all of a pass, and the other in the next.)
    """
    draw = random.Random(seed)
    while True:
        drawn: list[Sequence[str]] = []
        while len(drawn) < taps:
            order = draw.sample(names, len(names))
            if len(drawn) == 0 or len(names) < 2 or not _follows_itself(drawn[-1], order):
                drawn.append(order)
        yield from drawn
        yield from (order[::-1] for order in drawn)


def _follows_itself(before: Sequence[str], after: Sequence[str]) -> bool:
    """Forwards, or if both are reversed."""
    return before[-1] == after[0] or before[0] == after[-1]


def _width(samples: Samples, taps: Sequence[Tap], rules: Rules) -> float:
    interval = median_interval(samples.milliseconds, len(taps), rules.seed)
    return relative_width(samples.milliseconds, interval)


def _at_limit(samples: Samples, rules: Rules) -> bool:
    return len(samples.taken) >= rules.limit_taps or samples.seconds >= rules.limit_seconds
