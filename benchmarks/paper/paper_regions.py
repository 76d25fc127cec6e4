"""Exact regions, timed for the paper's table: its own form, each layer on the tap's region."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from paper_counts import FULLNET, PlannedNetwork
from paper_windows import TimedForm
from tracenet_bench.measure import timed
from tracenet_bench.measure.sampling import Rules, Sample, Samples, Tap, take_samples
from tracenet_bench.measure.statistics import describe, paired_ratio
from tracenet_bench.report.schema import Steady

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor

    from tracenet.rft import ConvGraph, ReceptiveFieldTracer, Rect
    from tracenet_export.schedule import SchedulePlan

Tapped = Callable[[Tap], Sample]
WantedAt = Callable[[Tap], dict[str, "Rect"]]
"""What a tap wants of each output, by the output's name."""

EVERYTHING = "everything, by the same executor"
"""FullNet layer by layer: what cutting and padding cost where nothing is saved."""


@dataclass(frozen=True)
class ExactTimes:
    """A network's exact regions over FullNet, and the times of each, by what was timed."""

    forms: tuple[TimedForm, ...]
    steady: Mapping[str, Steady]


def time_regions(
    planned: PlannedNetwork, photo: npt.NDArray[np.uint8], taps: Sequence[Tap], rules: Rules
) -> ExactTimes:
    """The paper's own form: every layer on the tap's region only, in PyTorch, beside FullNet.

    Args:
        planned: the network.
        photo: uint8 H x W x 3, of the canvas's size.
        taps: on it.
        rules: when to stop.
    """
    import torch

    from tracenet.rft import ReceptiveFieldTracer

    image = torch.from_numpy(photo).permute(2, 0, 1)[None].float()
    tracer = ReceptiveFieldTracer(planned.source.network, (image,))
    wanted = {EVERYTHING: _everything(tracer.graph)}
    wanted |= {form: _at_tap(plan, window) for form, (plan, window) in planned.forms.items()}
    whole = f"{planned.name} {FULLNET} in PyTorch"
    names = {form: f"{planned.name} {form}, exact regions in PyTorch" for form in wanted}
    tapped = {whole: _fullnet(planned, image)}
    tapped |= {names[form]: _exact_regions(tracer, wanted[form], image) for form in wanted}
    samples = take_samples(tapped, taps, rules)
    per_second = {name: taps_per_second(tap, taps) for name, tap in tapped.items()}
    forms = []
    for form, name in names.items():
        of, to = samples[name], samples[whole]
        ratio, interval = paired_ratio(of.milliseconds, to.milliseconds, len(taps), rules.seed)
        shares = timed.stage_shares(of.taken)
        forms.append(
            TimedForm(
                network=planned.name,
                form=form,
                latency=ratio,
                interval=interval,
                throughput=per_second[name] / per_second[whole],
                macs=_mean_macs(of) / _mean_macs(to),
                tracing=shares["tracing"] if shares else None,
            )
        )
    steady = {name: _steady(found, len(taps), rules) for name, found in samples.items()}
    return ExactTimes(tuple(forms), steady)


def taps_per_second(tap: Tapped, taps: Sequence[Tap]) -> float:
    """Over a stream of taps without a pause, by the rules of ``timed.TimedSubject``."""
    taps, count, began = taps[: timed.STREAM_TAPS], 0, time.perf_counter()
    while count == 0 or time.perf_counter() - began < timed.STREAM_SECONDS:
        for one in taps:
            tap(one)
        count += len(taps)
    return count / (time.perf_counter() - began)


def _fullnet(planned: PlannedNetwork, image: Tensor) -> Tapped:
    import torch

    network, macs = planned.source.network, planned.plans[FULLNET].plan.graph.full_macs

    @torch.no_grad()
    def tap(_: Tap) -> Sample:
        began = time.perf_counter()
        network(image)
        return Sample(1000 * (time.perf_counter() - began), {}, macs)

    return tap


def _exact_regions(tracer: ReceptiveFieldTracer, wanted_at: WantedAt, image: Tensor) -> Tapped:
    """Taps that find their regions and compute them."""

    def tap(at: Tap) -> Sample:
        began = time.perf_counter()
        trace = tracer.trace(wanted_at(at))
        traced = time.perf_counter()
        trace.run(image)
        ended = time.perf_counter()
        return Sample(1000 * (ended - began), {"tracing": 1000 * (traced - began)}, trace.macs)

    return tap


def _at_tap(plan: SchedulePlan, window: str) -> WantedAt:
    """The answers of the levels under the tap, and the mask features around it."""
    from tracenet.rft import Rect
    from tracenet_export.schedule import mask_spans, mask_stride, query_wanted

    stride = plan.key.stride
    spans = dict(query_wanted(plan.canvas, plan.levels))
    features_stride = mask_stride(plan.plan.graph)
    spans["mask_features"] = mask_spans(plan.canvas, stride, plan.windows[window], features_stride)

    def wanted(tap: Tap) -> dict[str, Rect]:
        column, row = (at // stride for at in tap.at)
        return {
            output: Rect(*(int(v) for v in (y.lo[row], y.hi[row], x.lo[column], x.hi[column])))
            for output, (y, x) in spans.items()
        }

    return wanted


def _everything(graph: ConvGraph) -> WantedAt:
    from tracenet.rft import Rect

    extents = {output: graph.nodes[node].extent for output, node in graph.outputs.items()}
    whole = {output: Rect(0, height, 0, width) for output, (height, width) in extents.items()}
    return lambda _: whole


def _mean_macs(samples: Samples) -> float:
    macs = timed.mean_macs(samples.taken)
    assert macs is not None
    return macs


def _steady(samples: Samples, taps: int, rules: Rules) -> Steady:
    on_the_one_photo = [0] * taps
    return describe(samples.milliseconds, on_the_one_photo, 1, rules.target_interval, rules.seed)
