"""How long the engine's part of a tap would take on a device: projected, not measured.

A roofline: each operator takes the longer of its multiply-adds over the device's peak and its bytes
over the device's bandwidth, times how much slower than that its class runs on this machine. Those
factors are fitted first, and the error of programs that the fit has not seen is part of the result.
"""

from __future__ import annotations

import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls
from tqdm.auto import tqdm

from tracenet_bench.device.profile import Profile
from tracenet_bench.device.work import KINDS, Kind, Roof, RooflineError, Work, work_of_bundle
from tracenet_bench.measure.ceilings import bandwidth, best_seconds, peak_macs_per_second
from tracenet_bench.report.schema import Calibration, Projection
from tracenet_runtime.bundle.files import Bundle
from tracenet_runtime.engines import EngineSettings, load_engine
from tracenet_runtime.graph.schedule import Schedule

_HOLD = 0.03
"""An error of a class's factor by all of it counts as much as one of 3 % of a program's time."""

_FEWEST_PROGRAMS = 3
"""Of which one is left out and the others are fitted."""


@dataclass(frozen=True)
class Slowness:
    """How far from the roof this machine stays.

    Attributes:
        by_kind: time over the roof's, for each class of operators.
        per_operator: seconds that each operator takes besides, whatever it does: an engine's own.
    """

    by_kind: Mapping[Kind, float]
    per_operator: float

    def seconds(self, work: Work, roof: Roof) -> float:
        """What a program takes under a roof."""
        return self.per_operator * len(work.operators) + sum(
            self.by_kind[operator.kind] * roof.seconds(operator) for operator in work.operators
        )


@dataclass(frozen=True)
class Roofline:
    """A calibrated model of an engine.

    Attributes:
        work: of each program that was calibrated.
        slowness: as fitted to all of them.
        threads: that they were timed with.
        roof: this machine's, with as many threads.
        calibration: how far off the model is on this machine.
    """

    work: Mapping[str, Work]
    slowness: Slowness
    threads: int
    roof: Roof
    calibration: Calibration

    def project(self, subject: str, schedule: Schedule, profile: Profile) -> Projection:
        """The engine's part of a cold tap on a device, with the largest mask window.

        What an engine takes for each operator besides is work of the same cores: on the device it
        takes longer by as much as the peak is lower.

        Raises:
            RooflineError: the profile lacks a figure.
        """
        peak = profile.peak(self.threads)
        if peak is None or profile.bandwidth is None:
            lacking = "multiply-adds per cycle" if peak is None else "memory bandwidth"
            raise RooflineError(
                f"The device profile {profile.name} has no {lacking}, for which there is no "
                "source; a tap can be constrained to it, not projected."
            )
        roof = Roof(peak, profile.bandwidth)
        slowness = Slowness(
            self.slowness.by_kind, self.slowness.per_operator * self.roof.macs / roof.macs
        )
        *_, largest = schedule.graph.phases
        phases = (v for v in schedule.graph.phases if v.when != "window" or v is largest)
        works = [self.work[call.program] for phase in phases for call in phase.program_calls]
        seconds = sum(slowness.seconds(work, roof) for work in works)
        bound = sum(
            slowness.by_kind[operator.kind] * roof.seconds(operator)
            for work in works
            for operator in work.operators
            if roof.bounds(operator)
        )
        loaded = [self.work[name] for name in schedule.graph.programs()]
        needed = sum(work.weights for work in loaded) + max(work.activations for work in loaded)
        return Projection(
            subject=subject,
            device=profile.name,
            milliseconds=1000 * seconds,
            compute_bound=bound / seconds,
            fits=needed <= profile.app_memory,
        )


def calibrate(bundle: Bundle, programs: Collection[str], threads: int) -> Roofline:
    """Time each program on its bundle's engine, with random inputs, and fit the model to that.

    Progress on standard error.

    Raises:
        RooflineError: the bundle's programs cannot be read, or are fewer than three.
        BundleError, EngineUnavailable: they do not run here.
    """
    works = work_of_bundle(bundle, programs)
    engine, _ = load_engine(None, bundle.program_files, EngineSettings(threads), programs)
    random = np.random.default_rng(0)
    seconds = {}
    with tqdm(works, unit="program", desc="calibrating") as names:
        for name in names:
            inputs = {
                spec.name: random.random(spec.shape, np.float32).astype(spec.dtype)
                for spec in bundle.manifest.programs[name].inputs.values()
            }
            seconds[name] = best_seconds(partial(engine.run, name, inputs))
    roof = Roof(peak_macs_per_second(threads), bandwidth(threads))
    return fitted(works, seconds, roof, threads)


def fitted(
    works: Mapping[str, Work], seconds: Mapping[str, float], roof: Roof, threads: int
) -> Roofline:
    """The model that comes nearest to measured seconds, each program counting the same.

    Raises:
        RooflineError: there are fewer than three programs.
    """
    if len(works) < _FEWEST_PROGRAMS:
        raise RooflineError(
            f"A projection is calibrated on at least {_FEWEST_PROGRAMS} programs and this has "
            f"{len(works)}; name a schedule with more, such as all."
        )
    names = list(works)
    errors = []
    for left_out in names:
        others = [name for name in names if name != left_out]
        slowness = _fit([works[name] for name in others], [seconds[name] for name in others], roof)
        errors.append(abs(slowness.seconds(works[left_out], roof) / seconds[left_out] - 1))
    return Roofline(
        work=works,
        slowness=_fit(list(works.values()), [seconds[name] for name in names], roof),
        threads=threads,
        roof=roof,
        calibration=Calibration(statistics.median(errors), max(errors), len(names)),
    )


def _fit(works: Sequence[Work], seconds: Sequence[float], roof: Roof) -> Slowness:
    """Non-negative least squares on relative errors, so that small programs count too."""
    rows: npt.NDArray[np.float64] = np.array([_row(work, roof) for work in works])
    relative = rows / np.array(seconds)[:, None]
    overall = relative[:, : len(KINDS)].sum(axis=1)
    common = float(overall.sum() / (overall @ overall))  # the best factor for all classes at once
    # Each class is held to it, weakly: programs tell little of a class that is a small part of few.
    held = _HOLD / common * np.eye(len(KINDS), rows.shape[1])
    equations = np.vstack([relative, held])
    targets = np.concatenate([np.ones(len(works)), np.full(len(KINDS), _HOLD)])
    *by_kind, per_operator = nnls(equations, targets)[0].tolist()
    return Slowness(dict(zip(KINDS, by_kind, strict=True)), per_operator)


def _row(work: Work, roof: Roof) -> list[float]:
    of_kind = [
        sum(roof.seconds(operator) for operator in work.operators if operator.kind == kind)
        for kind in KINDS
    ]
    return [*of_kind, float(len(work.operators))]
