"""Was the machine quiet enough to compare? By figures that every report has.

The aim is that the medians of two runs of one configuration differ by less than 5 %.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from tracenet_bench.measure.statistics import PASSES
from tracenet_bench.report.schema import Noise, Steady

BUSY = 0.1
"""Most that may be going on before the first measurement, as a share of all cores' time."""

DRIFT = 0.05
"""Most that the medians of the first and the second half of a configuration's taps differ by."""

SPREAD = 1.25
"""Most that the 90th percentile may be of the median, of the same tap again and again."""


def judge_noise(steady: Mapping[str, Steady], taps: int, busy_before: float) -> Noise:
    """The verdict, and a sentence for everything that speaks against the machine.

    Args:
        steady: by configuration.
        taps: different ones, which each configuration's samples go through in turn.
        busy_before: share of all cores' time that was taken before the first measurement; what is
            taken later shows in drift and spread.
    """
    reasons = []
    if busy_before > BUSY:
        reasons.append(
            f"{busy_before:.0%} of all cores' time was taken before anything was measured."
        )
    for name, figures in steady.items():
        reasons += [f"{name}: {reason}" for reason in _reasons(figures, taps)]
    return Noise(quiet=not reasons, reasons=tuple(reasons))


def _reasons(steady: Steady, taps: int) -> list[str]:
    slowness = same_tap_ratios(steady.samples, taps)
    if slowness is None:
        return [
            f"a limit ended the timing after {len(steady.samples)} taps, too few passes through "
            f"the {taps} different ones to judge drift and spread; take fewer --taps, or a larger "
            "--limit-seconds or --limit-taps."
        ]
    reasons = []
    if not steady.converged:
        width = (steady.interval[1] - steady.interval[0]) / steady.p50
        reasons.append(
            f"the interval of the median is still {width:.1%} of it wide after "
            f"{len(steady.samples)} taps."
        )
    half = len(slowness) // 2
    drift = float(np.median(slowness[half:]) / np.median(slowness[:half])) - 1
    if abs(drift) > DRIFT:
        reasons.append(
            f"the second half of the taps took {abs(drift):.1%} {'more' if drift > 0 else 'less'} "
            "than the first."
        )
    spread = float(np.percentile(slowness, 90) / np.median(slowness))
    if spread > SPREAD:
        reasons.append(
            f"one tap in ten took more than {spread:.2f} times as long as it mostly does."
        )
    return reasons


def same_tap_ratios(samples: Sequence[float], taps: int) -> npt.NDArray[np.float64] | None:
    """Each sample over the median of its own tap, in order; None for too few passes.

    Different taps may take different mask windows, which is no noise.
    """
    passes = len(samples) // taps
    if passes < PASSES:
        return None
    by_tap = np.asarray(samples[: passes * taps], np.float64).reshape(passes, taps)
    return (by_tap / np.median(by_tap, axis=0)).ravel()
