"""Any report of tracenet-bench that the schema allows."""

from __future__ import annotations

from typing import get_args

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from tracenet_bench.report.schema import (
    SCHEMA_VERSION,
    Accuracy,
    Calibration,
    ClipMemory,
    Conditions,
    Device,
    Environment,
    Failure,
    Interval,
    Measured,
    Memory,
    Noise,
    NotProjected,
    Operation,
    OperationName,
    Photo,
    Projection,
    Ratio,
    Report,
    Steady,
    Subject,
)
from tracenet_bench.report.tables import STAGES

few_reports = settings(max_examples=25)

CORES = st.integers(1, 16)

# Without the letter that nan, inf, None and undefined have, which tests look for.
texts = st.text(st.characters(exclude_characters="nN"), min_size=1, max_size=40)
shares = st.floats(0, 1)
times = st.floats(1e-3, 1e6)
sizes = st.integers(0, 10**12)


@st.composite
def intervals(draw: st.DrawFn, values: st.SearchStrategy[float] = times) -> Interval:
    low, high = sorted((draw(values), draw(values)))
    return low, high


@st.composite
def steadies(draw: st.DrawFn, photos: int) -> Steady:
    samples = tuple(draw(st.lists(times, min_size=1, max_size=30)))
    return Steady(
        samples,
        min(samples),
        *(float(np.percentile(samples, rank)) for rank in (50, 90, 99)),
        draw(intervals()),
        draw(st.booleans()),
        tuple(draw(st.lists(times, min_size=photos, max_size=photos))),
    )


def subjects(name: str) -> st.SearchStrategy[Subject]:
    maybe = st.none() | texts
    return st.builds(
        Subject,
        name=st.just(name),
        kind=st.sampled_from(["bundle", "outside", "cost-only"]),
        source=texts,
        network=maybe,
        target=maybe,
        precision=maybe,
        engine=maybe,
        engine_says=st.dictionaries(texts, texts | st.integers(), max_size=3),
        schedule=maybe,
        canvas=st.none() | st.tuples(st.integers(1, 9999), st.integers(1, 9999)),
        threads=st.integers(1, 64),
    )


def operations(stages: st.SearchStrategy[str]) -> st.SearchStrategy[Operation]:
    return st.builds(
        Operation,
        name=st.sampled_from(get_args(OperationName)),
        taps=st.integers(1, 1000),
        samples=st.lists(times, min_size=1, max_size=5).map(tuple),
        p50=times,
        interval=intervals(),
        of_tap=times,
        of_tap_interval=intervals(),
        shares=st.none() | st.dictionaries(stages, shares, max_size=3),
        macs=st.none() | st.floats(0, 1e15),
    )


def _whole(parts: dict[str, float]) -> dict[str, float]:
    """The same parts, but in all they are 1."""
    total = sum(parts.values())
    return {name: part / total for name, part in parts.items()}


def measureds(name: str, photos: int) -> st.SearchStrategy[Measured]:
    stages = st.sampled_from(STAGES) | st.builds("engine/{}".format, texts)
    return st.builds(
        Measured,
        subject=subjects(name),
        load=st.none() | times,
        first_tap=st.none() | times,
        steady=st.none() | steadies(photos),
        shares=st.none() | st.dictionaries(stages, st.floats(0.01, 1), min_size=1).map(_whole),
        taps_per_second=st.none() | times,
        memory=st.none()
        | st.builds(Memory, sizes, sizes, sizes, st.integers(-(10**9), 10**12), st.none() | sizes),
        bundle_size=st.none() | sizes,
        macs=st.none() | st.floats(0, 1e15),
        share_of_peak=st.none() | shares,
        accuracy=st.none()
        | st.builds(Accuracy, *(shares, st.none() | intervals(shares)) * 2, sizes, sizes),
        no_accuracy=st.none() | texts,
        operations=st.lists(operations(stages), max_size=3).map(tuple),
        clip_memory=st.none() | st.builds(ClipMemory, *[sizes] * 4),
        failure=st.none() | st.builds(Failure, texts, texts),
    )


@st.composite
def reports(draw: st.DrawFn) -> Report:
    """Any report that the schema allows, down to one without a configuration."""
    photos = draw(
        st.lists(
            st.builds(Photo, texts, st.integers(1, 20000), st.integers(1, 20000)),
            min_size=1,
            max_size=3,
        )
    )
    names = draw(st.lists(texts, unique=True, max_size=4))
    whose = st.sampled_from(names) if names else texts
    maybe_count, by_threads = (
        st.none() | st.integers(1, 256),
        st.dictionaries(st.integers(1, 64), st.floats(1, 1e15), max_size=2),
    )
    return Report(
        schema=SCHEMA_VERSION,
        command=tuple(draw(st.lists(texts, max_size=3))),
        environment=draw(
            st.builds(
                Environment,
                measured_at=texts,
                cpu=st.none() | texts,
                logical_cores=st.integers(1, 256),
                physical_cores=maybe_count,
                usable_cores=st.integers(1, 256),
                governor=st.none() | texts,
                memory=sizes,
                system=texts,
                versions=st.dictionaries(texts, texts, max_size=3),
                commit=st.none() | texts,
                modified=st.none() | st.booleans(),
                busy_before=shares,
                load_before=st.none() | st.floats(0, 100),
                load_after=st.none() | st.floats(0, 100),
                peak_macs_per_second=by_threads,
                bandwidth=by_threads,
            )
        ),
        conditions=draw(
            st.builds(
                Conditions,
                st.just(tuple(photos)),
                st.integers(1, 1000),
                st.integers(0, 1000),
                st.integers(0, 1000),
                shares,
                st.integers(1, 10000),
                times,
                times,
            )
        ),
        device=draw(
            st.none()
            | st.builds(
                Device,
                profile=texts,
                profile_cores=CORES,
                cores=CORES,
                profile_memory=st.integers(1, 10**12),
                memory=sizes,
                memory_by=st.sampled_from(["cgroup", "rlimit"]),
            )
        ),
        measured=tuple(draw(measureds(name, len(photos))) for name in names),
        ratios=tuple(
            draw(
                st.lists(
                    st.builds(Ratio, whose, whose, times, intervals(), st.none() | times),
                    max_size=3,
                )
            )
        ),
        noise=draw(st.builds(Noise, st.booleans(), st.lists(texts, max_size=2).map(tuple))),
        projections=tuple(
            draw(
                st.lists(
                    st.builds(Projection, whose, texts, times, shares, st.booleans()), max_size=3
                )
            )
        ),
        not_projected=tuple(draw(st.lists(st.builds(NotProjected, whose, texts), max_size=2))),
        calibration=draw(
            st.none()
            | st.builds(Calibration, st.floats(0, 50), st.floats(0, 50), st.integers(1, 99))
        ),
    )
