"""Fixed windows, timed for the paper's table: bundles, as tracenet-bench times them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from paper_counts import EVERY_LEVEL, FULLNET, LEVELS
from tracenet_bench.device.constraint import Launcher
from tracenet_bench.measure.benchmark import Options, measure
from tracenet_bench.measure.configurations import Size, Wanted
from tracenet_bench.measure.sampling import Rules
from tracenet_bench.report.schema import Interval, Report
from tracenet_runtime.errors import TraceNetError


class PaperTableError(TraceNetError):
    """A configuration of the table could not be measured."""


@dataclass(frozen=True)
class TimedForm:
    """A form of TraceNet over FullNet on the same engine.

    Attributes:
        network: its name.
        form: the schedule, or what is computed.
        latency, interval: median, over the same taps in turn, of the time of a tap over FullNet's.
        throughput: taps per second over FullNet's.
        macs: multiply-adds of the timed taps over FullNet's.
        tracing: share of a tap's time that goes into finding its regions; None where a table has
            them.
    """

    network: str
    form: str
    latency: float
    interval: Interval
    throughput: float
    macs: float
    tracing: float | None = None


def measure_windows(
    bundles: Sequence[Path],
    canvas: Size,
    photo: Path,
    threads: int,
    taps: int,
    rules: Rules,
    command: Sequence[str],
) -> Report:
    """FullNet and the two schedules of every bundle, as ``tracenet-bench`` measures them.

    Raises:
        PaperTableError: one of them fails.
    """
    wanted = Wanted(
        bundles=tuple(bundles),
        schedules=(FULLNET,),
        canvases=(canvas,),
        threads=(threads,),
        baselines=(LEVELS, EVERY_LEVEL),
    )
    report = measure(Options(wanted, photo, (), taps, 1, rules, Launcher(), tuple(command)))
    for one in report.measured:
        if one.failure is not None:
            raise PaperTableError(
                f"{one.subject.name} fails ({one.failure.stage}): {one.failure.message}; "
                "no table was written"
            )
    return report


def window_forms(report: Report) -> tuple[TimedForm, ...]:
    """The schedules over FullNet, network by network, from a report of :func:`measure_windows`."""
    measured = {one.subject.name: one for one in report.measured}
    forms = []
    for ratio in report.ratios:
        of, to = measured[ratio.of], measured[ratio.to]
        assert of.subject.network is not None
        assert of.subject.schedule is not None
        assert of.taps_per_second is not None
        assert to.taps_per_second is not None
        assert ratio.macs is not None
        forms.append(
            TimedForm(
                network=of.subject.network,
                form=of.subject.schedule,
                latency=ratio.ratio,
                interval=ratio.interval,
                throughput=of.taps_per_second / to.taps_per_second,
                macs=ratio.macs,
            )
        )
    networks = [form.network for form in forms]
    return tuple(sorted(forms, key=lambda form: networks.index(form.network)))
