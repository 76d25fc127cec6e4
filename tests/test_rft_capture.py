"""What is captured: names, multiply-adds, and what is refused and how."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from tracenet.rft import ReceptiveFieldTracer, Rect, RegionError, TracerError, UnsupportedOperator

EXAMPLE = torch.zeros(1, 3, 18, 20)


class Stem(nn.Module):
    """A 1x1 convolution to four channels and what is under test on top of it."""

    def __init__(self, top: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.top = top

    def forward(self, picture: Tensor) -> Any:
        return self.top(self.stem(picture))


class SelfAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        mixed, _ = self.attention(tokens, tokens, tokens)
        return mixed.transpose(1, 2).reshape(x.shape)


class SqueezeExcite(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.gate = nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.gate(self.pool(x)))


@pytest.mark.parametrize(
    ("top", "operator", "reason"),
    [
        (nn.GroupNorm(2, 4), "aten.group_norm.default", "statistics of the whole picture"),
        (nn.InstanceNorm2d(4), "aten.instance_norm.default", "statistics of the whole picture"),
        (nn.LayerNorm([4, 18, 20]), "aten.layer_norm.default", "statistics of the whole picture"),
        (
            nn.BatchNorm2d(4, track_running_stats=False),
            "aten.batch_norm.default",
            "statistics of the whole picture",
        ),
        (SqueezeExcite(), "aten.adaptive_avg_pool2d.default", "squeeze-and-excitation"),
        (nn.AdaptiveAvgPool2d(1), "aten.adaptive_avg_pool2d.default", "pools the whole picture"),
        (lambda x: x.mean((2, 3)), "aten.mean.dim", "pools the whole picture"),
        (lambda x: x * x.mean((2, 3), keepdim=True), "aten.mean.dim", "pools the whole picture"),
        (lambda x: x.amax((2, 3), keepdim=True), "aten.amax.default", "pools the whole picture"),
        (SelfAttention(), "aten.flatten.using_ints", "as attention"),
        (lambda x: x.softmax(-1), "aten.softmax.int", "attention"),
        (lambda x: x @ torch.ones(20, 20), "aten.matmul.default", "matrix products over space"),
        (nn.Linear(20, 20), "aten.linear.default", "matrix products over space"),
        (lambda x: x.cumsum(2), "aten.cumsum.default", "not taken for the identity"),
        (lambda x: x.flip(3), "aten.flip.default", "not taken for the identity"),
        (lambda x: x[..., 1:], "aten.slice.Tensor", "another axis than the channels"),
        (lambda x: x.chunk(2, 2)[0], "aten.chunk.default", "another axis than the channels"),
        (lambda x: torch.cat([x, x], 3), "aten.cat.default", "another axis than the channels"),
        (lambda x: x.mean(1), "aten.mean.dim", "returns a tensor of shape"),
        (lambda x: x + torch.ones(18, 20), "aten.add.Tensor", "varies over the picture"),
        (lambda x: x + F.max_pool2d(x, (18, 20)), "aten.add.Tensor", "spreads an input"),
        (lambda x: F.dropout(x, training=True), "aten.dropout.default", "at random"),
        (lambda x: F.pad(x, (1, 1, 1, 1), "circular"), "aten.pad.default", "circular"),
        (lambda x: F.pad(x, (0, 0, 0, 0, 1, 1)), "aten.pad.default", "other axes"),
        (lambda x: F.conv2d(x, x[:, :, :3, :3]), "aten.slice.Tensor", "another axis"),
        (lambda x: F.conv2d(x, x), "aten.conv2d.default", "weights are computed"),
    ],
)
def test_what_has_no_bounded_receptive_field_is_refused_by_name(
    top: Callable[[Tensor], Any], operator: str, reason: str
) -> None:
    with pytest.raises(UnsupportedOperator, match=reason) as caught:
        ReceptiveFieldTracer(Stem(top), (EXAMPLE,))
    error = caught.value
    assert isinstance(error, TracerError)
    assert error.operator == operator
    assert operator in str(error)
    assert repr(error.node) in str(error)
    assert str(error).endswith(".")


def test_a_refusal_names_the_module() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(nn.ReLU(), nn.GroupNorm(2, 4)))
    with pytest.raises(UnsupportedOperator, match=r"in 1\.1") as caught:
        ReceptiveFieldTracer(module, (EXAMPLE,))
    assert caught.value.module_path == "1.1"


def relu_on_a_slice(x: Tensor) -> Tensor:
    doubled = x * 2
    F.relu_(doubled[:, :2])
    return doubled


def relu_through_dropout(x: Tensor) -> Tensor:
    doubled = x * 2
    F.relu_(F.dropout(doubled, training=False))
    return doubled


@pytest.mark.parametrize("top", [relu_on_a_slice, relu_through_dropout])
def test_a_mutation_seen_through_a_view_is_refused(top: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(UnsupportedOperator, match="changes memory in place"):
        ReceptiveFieldTracer(Stem(top), (EXAMPLE,))


def relu_of_what_is_read_again(x: Tensor) -> Tensor:
    doubled = x * 2
    return F.relu_(doubled) + doubled


def test_a_mutation_of_the_tensor_itself_is_followed() -> None:
    module = Stem(relu_of_what_is_read_again).eval()
    picture = torch.randn(EXAMPLE.shape)
    trace = ReceptiveFieldTracer(module, (EXAMPLE,)).trace({"output_0": Rect(0, 18, 0, 20)})
    torch.testing.assert_close(trace.run(picture)["output_0"], module(picture).detach())


class Pair(NamedTuple):
    score: Tensor
    box: Tensor


@pytest.mark.parametrize(
    ("top", "names"),
    [
        (lambda x: x, ["output_0"]),
        (lambda x: (x, x + 1), ["output_0", "output_1"]),
        (lambda x: [x, None, x + 1], ["output_0", "output_2"]),
        (lambda x: {"score": x, "box": x + 1}, ["score", "box"]),
        (
            lambda x: {"p3": (x, x + 1), "p4": {"score": x}},
            ["p3.output_0", "p3.output_1", "p4.score"],
        ),
        (lambda x: ({"score": x}, x), ["output_0.score", "output_1"]),
    ],
)
def test_outputs_are_named_by_their_path(top: Callable[[Tensor], Any], names: list[str]) -> None:
    module = Stem(top).eval()
    tracer = ReceptiveFieldTracer(module, (EXAMPLE,))
    assert sorted(tracer.graph.outputs) == sorted(names)
    rect = Rect(3, 5, 0, 2)
    parts = tracer.trace(dict.fromkeys(names, rect)).run(EXAMPLE)
    assert {name: part.shape for name, part in parts.items()} == dict.fromkeys(names, (1, 4, 2, 2))


def test_named_tuples_name_their_outputs() -> None:
    tracer = ReceptiveFieldTracer(Stem(lambda x: Pair(x, x + 1)), (EXAMPLE,))
    assert sorted(tracer.graph.outputs) == ["box", "score"]


def test_the_picture_itself_may_be_an_output() -> None:
    tracer = ReceptiveFieldTracer(nn.Identity(), (EXAMPLE,))
    picture = torch.randn(EXAMPLE.shape)
    part = tracer.trace({"output_0": Rect(2, 4, 1, 5)}).run(picture)["output_0"]
    assert torch.equal(part, picture[..., 2:4, 1:5])


@pytest.mark.parametrize(
    ("top", "message"),
    [
        (lambda x: {"a": x, "b": torch.ones(3)}, "'b' does not depend on the picture"),
        (lambda x: {"a": x, "b": 3}, "'b' is 3"),
        (lambda x: {"a.b": x, "a": {"b": x}}, "two outputs are named 'a.b'"),
        (lambda x: None, "returns no tensor"),
    ],
)
def test_outputs_that_cannot_be_traced(top: Callable[[Tensor], Any], message: str) -> None:
    with pytest.raises(TracerError, match=message):
        ReceptiveFieldTracer(Stem(top), (EXAMPLE,))


@pytest.mark.parametrize("inputs", [(), (EXAMPLE, EXAMPLE), (EXAMPLE[0],), ("picture",)])
def test_inputs_other_than_one_picture_are_refused(inputs: tuple[Any, ...]) -> None:
    with pytest.raises(TracerError, match="N x C x H x W"):
        ReceptiveFieldTracer(nn.Conv2d(3, 4, 1), inputs)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"mask": Rect(0, 1, 0, 1)}, r"no output 'mask'; ask for one of \['output_0'\]"),
        ({"output_0": Rect(4, 4, 0, 1)}, "rows .* are empty"),
        ({"output_0": Rect(0, 1, 5, 4)}, "columns .* are empty"),
        ({"output_0": Rect(-1, 1, 0, 1)}, r"rows \[-1, 1\) .* leave its extent \[0, 18\)"),
        ({"output_0": Rect(0, 1, 0, 21)}, r"columns \[0, 21\) .* leave its extent \[0, 20\)"),
        ({}, "nothing is wanted"),
    ],
)
def test_wrong_rectangles(wanted: dict[str, Rect], message: str) -> None:
    tracer = ReceptiveFieldTracer(nn.Conv2d(3, 4, 1), (EXAMPLE,))
    with pytest.raises(RegionError, match=message):
        tracer.trace(wanted)


class Bottleneck(nn.Module):
    def __init__(self, channels: int, stride: int, groups: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, 8, 1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(inplace=True),
            nn.Conv2d(8, 8, 3, stride, 1, groups=groups, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU6(inplace=True),
            nn.Conv2d(8, 16, 1),
        )
        self.shortcut = nn.Conv2d(channels, 16, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.shortcut(x))


@pytest.mark.parametrize("batch", [1, 2])
def test_multiply_adds_agree_with_the_flop_counter(batch: int) -> None:
    module = nn.Sequential(
        nn.Conv2d(3, 16, (7, 5), 2, (3, 2)),
        nn.MaxPool2d(3, 2, 1),
        Bottleneck(16, 1, groups=1),
        Bottleneck(16, 2, groups=4),
        Bottleneck(16, 1, groups=8),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(16, 5, 2, dilation=2, padding="same"),
    ).eval()
    picture = torch.zeros(batch, 3, 45, 38)
    with FlopCounterMode(display=False) as counter:
        module(picture)
    tracer = ReceptiveFieldTracer(module, (picture,))
    assert tracer.full_macs * 2 == counter.get_total_flops()
    height, width = tracer.graph.nodes[tracer.graph.outputs["output_0"]].extent
    assert tracer.trace({"output_0": Rect(0, height, 0, width)}).macs == tracer.full_macs


def test_the_macs_of_a_trace_are_those_of_its_regions() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 2, 3, padding=1))
    trace = ReceptiveFieldTracer(module, (EXAMPLE,)).trace({"output_0": Rect(0, 1, 7, 9)})
    assert trace.macs == (2 * 4) * (3 * 4 * 9) + (1 * 2) * (4 * 2 * 9)


def test_capture_leaves_the_training_mode_of_every_part_alone() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout())
    module[1].eval()
    ReceptiveFieldTracer(module, (EXAMPLE,))
    assert [part.training for part in module.modules()] == [True, True, False, True]


def test_nodes_say_where_they_come_from() -> None:
    graph = ReceptiveFieldTracer(Bottleneck(3, 2, groups=1), (EXAMPLE,)).graph
    paths = {
        node.module_path: node for node in graph.nodes.values() if node.operator.startswith("aten")
    }
    strided = paths["body.3"]
    assert strided.operator == "aten.conv2d.default"
    assert (strided.extent, strided.channels) == ((9, 10), 8)
    assert [graph.nodes[edge.source].module_path for edge in strided.edges] == ["body.2"]
    assert paths["shortcut"].edges[0].source == graph.input_name


def test_normalisation_by_constants_is_folded_into_constants() -> None:
    class Normalise(nn.Module):
        mean: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.tensor([0.1, 0.2, 0.3]))

        def forward(self, picture: Tensor) -> Tensor:
            deviation = torch.tensor([0.5, 0.6, 0.7]).view(1, 3, 1, 1)
            return (picture - self.mean.view(1, -1, 1, 1)) / deviation

    module = Normalise()
    tracer = ReceptiveFieldTracer(module, (EXAMPLE,))
    assert len(tracer.graph.nodes) == 3
    picture = torch.randn(EXAMPLE.shape)
    part = tracer.trace({"output_0": Rect(1, 2, 3, 9)}).run(picture)["output_0"]
    assert torch.equal(part, module(picture)[..., 1:2, 3:9])


@pytest.mark.parametrize(
    "top",
    [
        nn.ReLU(),
        nn.ReLU6(inplace=True),
        nn.Hardtanh(),
        nn.Hardswish(),
        nn.Hardsigmoid(),
        nn.SiLU(inplace=True),
        nn.Mish(),
        nn.GELU(),
        nn.ELU(),
        nn.SELU(),
        nn.CELU(),
        nn.LeakyReLU(inplace=True),
        nn.PReLU(4),
        nn.Softplus(),
        nn.Sigmoid(),
        nn.Tanh(),
        nn.Dropout2d(),
        lambda x: -x.exp() + x.abs().sqrt() * (2 - x) / 3 - x.sign(),
        lambda x: x.clamp(-1, 1).clamp_(min=0).clamp(max=0.5) ** 2,
        lambda x: torch.minimum(x, x * torch.linspace(0, 1, 4).view(4, 1, 1)),
        lambda x: torch.cat([x[:, 1:3], *x.split([3, 1], 1), *x.chunk(2, 1)], 1).contiguous(),
        lambda x: x.sum(1, keepdim=True) + x.mean(1, keepdim=True) * x.softmax(1),
        lambda x: torch.sub(x, x.clone().detach() + 1, alpha=2).float().double(),
    ],
)
def test_what_works_cell_by_cell(top: Callable[[Tensor], Tensor]) -> None:
    module = Stem(top).eval()
    picture = torch.randn(EXAMPLE.shape)
    trace = ReceptiveFieldTracer(module, (EXAMPLE,)).trace({"output_0": Rect(3, 6, 19, 20)})
    assert set(trace.regions.values()) == {Rect(3, 6, 19, 20)}
    with torch.no_grad():
        full = module(picture.clone())
    torch.testing.assert_close(trace.run(picture)["output_0"], full[..., 3:6, 19:20])
