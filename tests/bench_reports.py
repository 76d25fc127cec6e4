"""Reports of tracenet-bench: one like a real run's, and one that comes from an enemy."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tracenet_bench.measure.statistics import median_interval
from tracenet_bench.report.schema import (
    SCHEMA_VERSION,
    Accuracy,
    Calibration,
    Conditions,
    Device,
    Environment,
    Failure,
    Measured,
    Memory,
    Noise,
    NotProjected,
    Operation,
    Photo,
    Projection,
    Ratio,
    Report,
    Steady,
    Subject,
)

PHOTOS = (
    Photo("photos/street.jpg", 480, 640),
    Photo("photos/garden.jpg", 1536, 2048),
    Photo("photos/harbour.jpg", 3024, 4032),
)

TAPS = 60


def steady(median: float, seed: int, spread: float = 0.04, slower_by_photo: float = 0.12) -> Steady:
    """Log-normal latencies, slower on larger photos, with the odd stray tap."""
    random = np.random.default_rng(seed)
    factor = 1 + slower_by_photo * (np.arange(300) % len(PHOTOS) - 1)
    values = median * factor * random.lognormal(0, spread, 300)
    values[17] *= 4
    return steady_of(values.tolist(), *median_interval(values.tolist(), TAPS, seed))


def steady_of(samples: Sequence[float], low: float, high: float) -> Steady:
    ordered = tuple(float(sample) for sample in samples)
    return Steady(
        samples=ordered,
        minimum=min(ordered),
        p50=statistics.median(ordered),
        p90=float(np.percentile(ordered, 90)),
        p99=float(np.percentile(ordered, 99)),
        interval=(low, high),
        converged=True,
        by_photo=tuple(
            statistics.median(ordered[index :: len(PHOTOS)] or ordered)
            for index in range(len(PHOTOS))
        ),
    )


def subject(name: str, **changes: object) -> Subject:
    plain = Subject(
        name=name,
        kind="bundle",
        source="out/bundle",
        network="mobilenetv2-fpn",
        target="onnx",
        precision="fp32",
        engine="onnxruntime",
        engine_says={"providers": "CPUExecutionProvider", "threads": 1},
        schedule="all",
        canvas=(640, 640),
        threads=1,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


SHARES = {
    "canvas": 0.047,
    "cut": 0.018,
    "engine/backbone": 0.512,
    "engine/query_P3": 0.149,
    "engine/query_P4": 0.083,
    "engine/mask_branch": 0.101,
    "engine/mask_head": 0.022,
    "mask": 0.013,
    "paste": 0.041,
    "other": 0.014,
}


OPERATIONS = (
    Operation(
        "encode",
        40,
        (11.9, 12.1, 12.4),
        12.1,
        (12.0, 12.3),
        0.274,
        (0.271, 0.278),
        {"canvas": 0.06, "encode": 0.92, "other": 0.02},
        5.99e8,
    ),
    Operation(
        "correction",
        40,
        (4.31, 4.42, 4.5),
        4.42,
        (4.38, 4.47),
        0.101,
        (0.099, 0.102),
        {"tap": 0.11, "correction": 0.62, "mask": 0.14, "paste": 0.1, "other": 0.03},
        1.23e8,
    ),
    Operation(
        "undo",
        40,
        (0.41, 0.43, 0.46),
        0.43,
        (0.42, 0.44),
        0.0098,
        (0.0097, 0.0099),
        {"paste": 0.97, "other": 0.03},
        0.0,
    ),
)


def measured(name: str, median: float, seed: int, **changes: object) -> Measured:
    plain = Measured(
        subject=subject(name),
        load=412.7,
        first_tap=median * 2.3,
        steady=steady(median, seed),
        shares=SHARES,
        taps_per_second=1000 / median * 0.985,
        memory=Memory(31_400_000, 36_600_000, 152_300_000, 84_300_000, 41_900_000),
        bundle_size=8_540_000,
        macs=2.48e9,
        share_of_peak=0.613,
        accuracy=Accuracy(0.384, (0.305, 0.470), 0.233, (0.172, 0.316), 412, 1236),
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def realistic(**changes: object) -> Report:
    """Two precisions, the schedule warm, FullNet, a small SAM whose cost is all, and a failure."""
    names = [
        "mobilenetv2-fpn all 640x640 onnxruntime fp32",
        "mobilenetv2-fpn all 640x640 litert int8",
        "mobilenetv2-fpn warm 640x640 onnxruntime fp32",
        "mobilenetv2-fpn full 640x640 onnxruntime fp32",
        "edgetam 1 thread",
        "r50-fpn P3-P5 1536x2048 onnxruntime fp32",
    ]
    int8 = {"cut": 0.04, "engine/all": 0.79, "mask": 0.02, "paste": 0.09, "other": 0.06}
    rows = (
        measured(names[0], 44.1, 1, operations=OPERATIONS),
        measured(
            names[1],
            14.6,
            2,
            shares=int8,
            bundle_size=2_410_000,
            memory=Memory(31_400_000, 36_600_000, 104_800_000, 36_800_000, None),
            accuracy=Accuracy(0.381, (0.302, 0.468), 0.229, (0.168, 0.312), 412, 1236),
        ),
        measured(names[2], 46.9, 3, macs=2.6e9, share_of_peak=0.597),
        measured(
            names[3],
            53.8,
            4,
            macs=3.35e9,
            accuracy=Accuracy(0.386, (0.308, 0.472), 0.235, (0.174, 0.318), 412, 1236),
        ),
        Measured(
            subject=subject(
                names[4],
                kind="cost-only",
                source="transformers 5.23.0: EdgeTamModel",
                network="edgetam",
                target=None,
                precision=None,
                engine=None,
                engine_says={},
                schedule=None,
                canvas=(1024, 1024),
            ),
            load=1890.0,
            first_tap=1402.0,
            steady=steady(872.0, 5, slower_by_photo=0.01),
            taps_per_second=1.13,
            memory=Memory(31_400_000, 36_600_000, 742_000_000, 674_000_000, None),
            macs=2.67e10,
            share_of_peak=0.42,
        ),
        Measured(
            subject=subject(names[5], network="r50-fpn", schedule="P3-P5", canvas=(1536, 2048)),
            load=2210.0,
            bundle_size=141_000_000,
            failure=Failure("tap", "The engine could not allocate 411 MB for mask_branch."),
        ),
    )
    report = Report(
        schema=SCHEMA_VERSION,
        command=("tracenet-bench", "--bundle", "out/bundle", "--baseline", "fullnet"),
        environment=Environment(
            measured_at="2026-03-14T15:09:26+00:00",
            cpu="AMD EPYC 7B13",
            logical_cores=8,
            physical_cores=4,
            usable_cores=4,
            governor="performance",
            memory=33_600_000_000,
            system="Linux 6.1.0",
            versions={"Python": "3.11.7", "numpy": "2.3.1", "onnxruntime": "1.22.1"},
            commit="f9ef2a1c0de3",
            modified=False,
            busy_before=0.02,
            load_before=0.08,
            load_after=1.02,
            peak_macs_per_second={1: 9.2e10, 2: 1.78e11},
            bandwidth={1: 1.31e10},
        ),
        conditions=Conditions(PHOTOS, TAPS, 7, 5, 0.03, 300, 120.0, 5.0),
        device=None,
        measured=rows,
        ratios=(
            Ratio(names[3], names[0], 1.221, (1.207, 1.236), 1.35),
            Ratio(names[1], names[0], 0.331, (0.326, 0.337), None),
        ),
        noise=Noise(True, ()),
        projections=(
            Projection(names[0], "Pixel 6a", 31.7, 0.71, True),
            Projection(names[3], "Pixel 6a", 38.2, 0.77, True),
            Projection(names[5], "Pixel 6a", 912.0, 0.94, False),
        ),
        not_projected=(
            NotProjected(names[1], "this bundle is int8, and fp32 is projected"),
            NotProjected(names[4], "Only the programs of bundles are projected."),
        ),
        calibration=Calibration(0.118, 0.402, 14),
    )
    return replace(report, **changes)  # type: ignore[arg-type]


PHONE = Device("Galaxy A14", 2, 2, 3_200_000_000, 1_600_000_000, "cgroup")


def changed(**changes: Any) -> Report:
    """The realistic report with another first configuration."""
    report = realistic()
    return replace(report, measured=(replace(report.measured[0], **changes), *report.measured[1:]))


HOSTILE = (
    '<script>document.title = "taken"; alert(1)</script>',
    '"><img src="http://localhost:9/x.png" onerror="alert(1)">',
    "{{ 7 * 7 }}|`code`<!-- \udcff\x00\n# heading",
)


def hostile() -> Report:
    """Every text that comes from outside tries to be markup."""
    script, image, template = HOSTILE
    plain = realistic()
    environment = replace(
        plain.environment, cpu=image, system=script, versions={script: image}, commit=template
    )
    rows = []
    for index, it in enumerate(plain.measured):
        subject = replace(it.subject, name=f"{HOSTILE[index % 3]} {index}", source=image)
        rows.append(replace(it, subject=subject, shares=it.shares and {f"engine/{script}": 1.0}))
    return replace(
        plain,
        command=(script, image),
        environment=environment,
        conditions=replace(
            plain.conditions,
            photos=tuple(Photo(it, 100, 90 + len(it)) for it in HOSTILE),
        ),
        device=replace(PHONE, profile=image),
        measured=(*rows[:-1], replace(rows[-1], failure=Failure(script, image))),
        ratios=(replace(plain.ratios[0], of=script, to=image),),
        noise=Noise(False, HOSTILE),
        projections=(replace(plain.projections[0], subject=script, device=image),),
    )
