"""Projections: what programs compute and move, the fit to measured times, and what comes of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from torch.utils.flop_counter import FlopCounterMode

from tracenet_bench.device import roofline
from tracenet_bench.device.profile import Cluster, Profile, Source
from tracenet_bench.device.roofline import Roofline, calibrate, fitted
from tracenet_bench.device.work import (
    KINDS,
    Operator,
    Roof,
    RooflineError,
    Work,
    work_of,
    work_of_bundle,
)
from tracenet_runtime.bundle.files import Bundle

if TYPE_CHECKING:
    from export_fixtures import SmallExport

FLOAT = 4


def model_of(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, list[Any]],
    outputs: list[str],
    constants: dict[str, tuple[int, ...]],
) -> onnx.ModelProto:
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()]
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    weights = [
        onnx.numpy_helper.from_array(np.zeros(shape, np.float32), name)
        for name, shape in constants.items()
    ]
    graph = helper.make_graph(nodes, "graph", values, results, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])


@given(
    size=st.tuples(st.integers(5, 12), st.integers(5, 12)),
    window=st.integers(1, 3),
    stride=st.integers(1, 2),
    groups=st.integers(1, 4),
    of_group=st.tuples(st.integers(1, 3), st.integers(1, 3)),
)
@settings(max_examples=40)
def test_convolutions_as_torch_counts_them(
    size: tuple[int, int], window: int, stride: int, groups: int, of_group: tuple[int, int]
) -> None:
    inputs, outputs = groups * of_group[0], groups * of_group[1]
    conv = helper.make_node(
        "Conv", ["x", "w", "b"], ["y"], group=groups, strides=[stride] * 2, pads=[1] * 4
    )
    constants = {"w": (outputs, of_group[0], window, window), "b": (outputs,)}
    model = model_of([conv], {"x": [1, inputs, *size]}, ["y"], constants)
    (operator,) = work_of(model).operators
    layer = torch.nn.Conv2d(inputs, outputs, window, stride, 1, groups=groups)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        result = layer(torch.zeros(1, inputs, *size))
    assert operator.macs == counter.get_total_flops() // 2
    weights = sum(parameter.numel() for parameter in layer.parameters())
    assert operator.moved == FLOAT * (inputs * size[0] * size[1] + result.numel() + weights)
    alone = of_group[0] == 1 and groups > 1
    assert operator.kind == ("depthwise" if alone else "pointwise" if window == 1 else "dense")


def test_products_resizes_and_what_costs_nothing() -> None:
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["flat"]),
        helper.make_node("MatMul", ["flat", "m"], ["product"]),
        helper.make_node("Relu", ["product"], ["positive"]),
        helper.make_node("Reshape", ["positive", "image"], ["square"]),
        helper.make_node("Resize", ["square", "", "scales"], ["large"]),
    ]
    model = model_of(nodes, {"x": [1, 2, 3, 4]}, ["large"], {"m": (4, 10)})
    model.graph.initializer.extend(
        [
            onnx.numpy_helper.from_array(np.array([6, 4], np.int64), "shape"),
            onnx.numpy_helper.from_array(np.array([1, 6, 2, 5], np.int64), "image"),
            onnx.numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales"),
        ]
    )
    work = work_of(model)
    assert work.operators == (
        Operator("matmul", 6 * 4 * 10, FLOAT * (24 + 40 + 60)),
        Operator("memory", 0, FLOAT * (60 + 60)),
        Operator("resize", 0, FLOAT * (60 + 4 + 240)),
    )
    assert work.weights == FLOAT * 40 + 8 * 2 + 8 * 4 + FLOAT * 4
    assert work.activations == FLOAT * (60 + 240)


def test_what_follows_a_convolution_alone_is_part_of_it() -> None:
    conv = helper.make_node("Conv", ["x", "w"], ["y"])
    relu = helper.make_node("Relu", ["y"], ["z"])
    clip = helper.make_node("Clip", ["z"], ["c"])
    constants = {"w": (3, 3, 1, 1)}
    fused = work_of(model_of([conv, relu, clip], {"x": [1, 3, 4, 4]}, ["c"], constants))
    assert [operator.kind for operator in fused.operators] == ["pointwise"]
    add = helper.make_node("Add", ["y", "z"], ["a"])
    apart = work_of(model_of([conv, relu, add], {"x": [1, 3, 4, 4]}, ["a"], constants))
    assert [operator.kind for operator in apart.operators] == ["pointwise", "memory", "memory"]


def test_a_shape_that_is_not_known() -> None:
    conv = helper.make_node("Conv", ["x", "w"], ["y"])
    model = model_of([conv], {"x": [1, 3, "height", 4]}, ["y"], {"w": (3, 3, 1, 1)})
    with pytest.raises(RooflineError, match="The shape of 'x' in a program is not known"):
        work_of(model)


def test_the_longer_of_computing_and_moving() -> None:
    roof = Roof(macs=100.0, bandwidth=10.0)
    assert roof.seconds(Operator("dense", 500, 20)) == 5.0
    assert roof.seconds(Operator("memory", 0, 20)) == 2.0
    assert roof.bounds(Operator("dense", 500, 20))
    assert not roof.bounds(Operator("dense", 100, 20))


# The fit

ROOF = Roof(macs=50e9, bandwidth=20e9)
FACTORS = dict(zip(KINDS, (1.2, 1.6, 5.0, 2.0, 3.0, 0.8), strict=True))
PER_OPERATOR = 4e-6


def programs(count: int) -> dict[str, Work]:
    random = np.random.default_rng(3)
    return {
        f"program_{i}": Work(
            tuple(
                Operator(
                    kind,
                    int(random.integers(10**6, 10**8)) if kind in KINDS[:4] else 0,
                    int(random.integers(10**4, 10**7)),
                )
                for kind in random.choice(KINDS, random.integers(4, 30)).tolist()
            ),
            weights=1000 * i,
            activations=500,
        )
        for i in range(count)
    }


def planted_seconds(works: dict[str, Work]) -> dict[str, float]:
    return {
        name: PER_OPERATOR * len(work.operators)
        + sum(FACTORS[operator.kind] * ROOF.seconds(operator) for operator in work.operators)
        for name, work in works.items()
    }


def test_planted_factors_are_found() -> None:
    works = programs(20)
    model = fitted(works, planted_seconds(works), ROOF, threads=1)
    for kind, factor in FACTORS.items():
        assert model.slowness.by_kind[kind] == pytest.approx(factor, rel=0.1)
    assert model.calibration.programs == 20
    assert model.calibration.error <= model.calibration.worst < 0.05


def test_the_error_is_of_programs_that_the_fit_has_not_seen() -> None:
    """Twelve programs fit six factors well, seen; unseen, the one that is odd is far off."""
    works = programs(12)
    seconds = planted_seconds(works)
    seconds["program_5"] *= 3
    model = fitted(works, seconds, ROOF, threads=1)
    seen = abs(model.slowness.seconds(works["program_5"], ROOF) / seconds["program_5"] - 1)
    assert model.calibration.worst > seen
    assert model.calibration.worst > 0.5


def test_two_programs_are_too_few() -> None:
    works = programs(2)
    with pytest.raises(RooflineError, match="at least 3 programs and this has 2"):
        fitted(works, planted_seconds(works), ROOF, threads=1)


# On a device


def phone(**changes: Any) -> Profile:
    cluster = Cluster("Big", cores=2, clock=2e9, simd_bits=128, fma_units=2)
    profile = Profile("mine", "A phone", 2020, 2 << 30, 10e9, (cluster,), (Source((), "https://"),))
    return replace(profile, **changes)


def planted(small: SmallExport) -> tuple[Roofline, Any, Bundle]:
    bundle = Bundle.open(small.folder)
    (schedule,) = (v for v in bundle.manifest.schedules if v.name == "all")
    works = work_of_bundle(bundle, schedule.graph.programs())
    return fitted(works, planted_seconds(works), ROOF, threads=1), schedule, bundle


def test_multiply_adds_are_those_of_the_manifest(small: SmallExport) -> None:
    bundle = Bundle.open(small.folder)
    works = work_of_bundle(bundle, bundle.manifest.programs)
    for name, program in bundle.manifest.programs.items():
        assert sum(operator.macs for operator in works[name].operators) == program.macs


def test_a_projection(small: SmallExport) -> None:
    model, schedule, _ = planted(small)
    one = model.project("the bundle", schedule, phone())
    assert (one.subject, one.device, one.fits) == ("the bundle", "mine", True)
    query, *_, largest = schedule.graph.phases
    calls = [*query.program_calls, *largest.program_calls]
    roof = Roof(16e9, 10e9)
    seconds = sum(
        model.slowness.per_operator * ROOF.macs / roof.macs
        + model.slowness.by_kind[operator.kind] * roof.seconds(operator)
        for call in calls
        for operator in model.work[call.program].operators
    )
    assert one.milliseconds == pytest.approx(1000 * seconds)
    assert 0 < one.compute_bound < 1
    faster = phone(bandwidth=20e9, clusters=(replace(phone().clusters[0], clock=4e9),))
    assert model.project("", schedule, faster).milliseconds == pytest.approx(one.milliseconds / 2)


def test_a_tap_that_does_not_fit(small: SmallExport) -> None:
    model, schedule, _ = planted(small)
    loaded = [model.work[name] for name in schedule.graph.programs()]
    needed = sum(work.weights for work in loaded) + max(work.activations for work in loaded)
    assert model.project("", schedule, phone(memory=2 * needed)).fits
    assert not model.project("", schedule, phone(memory=2 * needed - 2)).fits


def test_profiles_that_lack_a_figure(small: SmallExport) -> None:
    model, schedule, _ = planted(small)
    with pytest.raises(RooflineError, match="mine has no memory bandwidth"):
        model.project("", schedule, phone(bandwidth=None))
    without = replace(phone().clusters[0], simd_bits=None, fma_units=None)
    with pytest.raises(RooflineError, match="mine has no multiply-adds per cycle"):
        model.project("", schedule, phone(clusters=(without,)))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"target": "litert"}, "this bundle is for litert"),
        ({"target": "coreml"}, "this bundle is for coreml"),
        ({"precision": "int8"}, "this bundle is int8"),
        ({"precision": "fp16"}, "this bundle is fp16"),
    ],
)
def test_bundles_that_are_not_projected(
    small: SmallExport, changes: dict[str, str], said: str
) -> None:
    bundle = Bundle.open(small.folder)
    other = replace(bundle, manifest=replace(bundle.manifest, **changes))
    with pytest.raises(RooflineError, match=said):
        work_of_bundle(other, bundle.manifest.programs)


def test_every_program_is_timed_on_the_engine(
    small: SmallExport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a clock that gives each what a planted model would, and this machine's roof planted."""
    bundle = Bundle.open(small.folder)
    works = work_of_bundle(bundle, bundle.manifest.programs)
    planted = planted_seconds(works)
    ran = []

    def timed(work: Any) -> float:
        outputs = work()
        program, _ = work.args
        assert set(outputs) == set(bundle.manifest.programs[program].outputs)
        ran.append(program)
        return planted[program]

    monkeypatch.setattr(roofline, "best_seconds", timed)
    monkeypatch.setattr(roofline, "peak_macs_per_second", lambda threads: ROOF.macs)
    monkeypatch.setattr(roofline, "bandwidth", lambda threads: ROOF.bandwidth)
    model = calibrate(bundle, list(works), threads=1)
    assert ran == list(works)
    assert (model.roof, model.threads) == (ROOF, 1)
    assert model.calibration == fitted(works, planted, ROOF, threads=1).calibration
