"""What follows from samples: the steady state, shares, multiply-adds, ratios."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import get_args

from tracenet_bench.measure.configurations import Configuration
from tracenet_bench.measure.sampling import Rules, Sample, Tap
from tracenet_bench.measure.statistics import describe, median_interval, paired_ratio
from tracenet_bench.measure.timed import macs_per_second, mean_macs, stage_shares
from tracenet_bench.report.schema import Measured, Operation, OperationName, Ratio


def with_figures(
    measured: Measured,
    taken: Sequence[Sample],
    taps: Sequence[Tap],
    rules: Rules,
    peak: Mapping[int, float],
) -> Measured:
    """A configuration with what its samples come to.

    Args:
        measured: the configuration.
        taken: one or more, of the taps in their order, again and again.
        taps: on every photo.
        rules: by which they were taken.
        peak: of the machine, multiply-adds per second by number of threads.
    """
    photo_of = [tap.photo for tap in taps]
    photos = len(set(photo_of))
    milliseconds = [sample.milliseconds for sample in taken]
    steady = describe(milliseconds, photo_of, photos, rules.target_interval, rules.seed)
    rate, best = macs_per_second(taken), peak.get(measured.subject.threads)
    return replace(
        measured,
        steady=steady,
        shares=stage_shares(taken),
        macs=mean_macs(taken),
        share_of_peak=rate / best if rate and best else None,
        operations=operations_of(taken, len(taps), rules.seed),
    )


def operations_of(taken: Sequence[Sample], taps: int, seed: int) -> tuple[Operation, ...]:
    """What went with taps, of those that it went with; ``taken`` as for :func:`with_figures`."""
    found = []
    for name in get_args(OperationName):
        with_it = [sample for sample in taken if name in sample.operations]
        if not with_it:
            continue
        different = sum(name in sample.operations for sample in taken[:taps])
        operations = [sample.operations[name] for sample in with_it]
        samples = [operation.milliseconds for operation in operations]
        whole = [sample.milliseconds for sample in with_it]
        of_tap, of_tap_interval = paired_ratio(samples, whole, different, seed)
        found.append(
            Operation(
                name=name,
                taps=different,
                samples=tuple(samples),
                p50=statistics.median(samples),
                interval=median_interval(samples, different, seed),
                of_tap=of_tap,
                of_tap_interval=of_tap_interval,
                shares=stage_shares(operations),
                macs=mean_macs(operations),
            )
        )
    return tuple(found)


def ratios_of(
    configurations: Sequence[Configuration], measured: Mapping[str, Measured], taps: int, seed: int
) -> tuple[Ratio, ...]:
    """Of each baseline to what it is compared with, where both were timed, by different taps."""
    ratios = []
    for baseline in configurations:
        for name in baseline.compared_with:
            of, to = measured[baseline.name], measured[name]
            if name == baseline.name or not (of.steady and to.steady):
                continue
            ratio, interval = paired_ratio(of.steady.samples, to.steady.samples, taps, seed)
            macs = of.macs / to.macs if of.macs and to.macs else None
            ratios.append(Ratio(baseline.name, name, ratio, interval, macs))
    return tuple(ratios)
