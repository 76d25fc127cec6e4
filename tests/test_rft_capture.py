"""What is captured: names, multiply-adds, and what is refused and how."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from tracenet.rft import ReceptiveFieldTracer, Rect, RegionError, TracerError, UnsupportedOperator
from tracenet_runtime.tool import run_tool

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


class Permute(nn.Module):
    def __init__(self, *axes: int) -> None:
        super().__init__()
        self.axes = axes

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(self.axes)


class Function(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


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
        (lambda x: F.adaptive_max_pool2d(x, (9, 10)), "aten.adaptive_max_pool2d.default", "pools"),
        (lambda x: x / x.amax(), "aten.amax.default", "pools the whole picture"),
        (lambda x: x - x.max(), "aten.max.default", "pools the whole picture"),
        (lambda x: x.norm(dim=(2, 3)), "aten.linalg_vector_norm.default", "pools"),
        (lambda x: x.max(1, keepdim=True)[1], "aten.max.dim", "several tensors at once"),
        (lambda x: x[x.amax((1, 2, 3)) > 0].permute(0, 2, 3, 1), "aten.index.Tensor", "values"),
        (lambda x: x.argmax(2, keepdim=True), "aten.argmax.default", "pools"),
        (lambda x: x.log_softmax(2), "aten.log_softmax.int", "every position read every other"),
        (nn.LayerNorm(20), "aten.layer_norm.default", "statistics of the whole picture"),
        (lambda x: x.cumsum(2), "aten.cumsum.default", "along rows or columns"),
        (lambda x: x.cumprod(2), "aten.cumprod.default", "along rows or columns"),
        (lambda x: x.sort(2)[0], "aten.sort.default", "along the channels either.* use amax"),
        (lambda x: x.sort(1)[0], "aten.sort.default", "along the channels either.* use amax"),
        (lambda x: x.sort(dim=1, stable=True)[0], "aten.sort.stable", "puts values in order"),
        (lambda x: x.argsort(1), "aten.argsort.default", "puts values in order"),
        (lambda x: x.topk(2, 1)[0], "aten.topk.default", "puts values in order"),
        (lambda x: x.median(1, True)[0], "aten.median.dim", "puts values in order"),
        (lambda x: x.roll(1, 3), "aten.roll.default", "along rows or columns"),
        (lambda x: x.roll(1), "aten.roll.default", "along rows or columns"),
        (lambda x: x.flip(3), "aten.flip.default", "along rows or columns"),
        (lambda x: x.transpose(2, 3), "aten.transpose.int", "gives up the rows and columns"),
        (lambda x: x.flatten(1), "aten.flatten.using_ints", "gives up the rows and columns"),
        (lambda x: x.view(1, 4, 20, 18), "aten.view.default", "gives up the rows and columns"),
        (lambda x: x.select(3, 1), "aten.select.int", "takes an axis away.* Slice instead"),
        (lambda x: x[:, :, 0], "aten.select.int", "takes an axis away.* Slice instead"),
        (lambda x: x[:, 1], "aten.select.int", "takes an axis away.* Slice instead"),
        (lambda x: x.unbind(1)[0], "aten.unbind.int", "takes an axis away.* Slice instead"),
        (lambda x: torch.stack([x, x], 1), "aten.stack.default", "adds one.* torch.cat along"),
        (lambda x: x[:, :, [1, 0]], "aten.index.Tensor", "another axis than the channels"),
        (lambda x: x[:, :, 3:3], "aten.slice.Tensor", r"shape \(1, 4, 0, 20\)"),
        (lambda x: F.glu(x, 2), "aten.glu.default", "another axis than the channels"),
        (lambda x: torch.cat([x, x], 3), "aten.cat.default", "another axis than the channels"),
        (lambda x: x.repeat(1, 1, 2, 1), "aten.repeat.default", "spreads an input"),
        (lambda x: x[:, :, :1].expand(-1, -1, 18, -1), "aten.expand.default", "spreads an input"),
        (torch.nonzero, "aten.nonzero.default", "values of the picture"),
        (lambda x: x[x > 0], "aten.index.Tensor", "values of the picture"),
        (lambda x: x.masked_select(x > 0), "aten.masked_select.default", "values of the picture"),
        (
            lambda x: x.masked_scatter(x > 0, x * 2),
            "aten.masked_scatter.default",
            "values of the picture",
        ),
        (
            lambda x: F.grid_sample(x, torch.zeros(1, 18, 20, 2), align_corners=False),
            "aten.grid_sampler.default",
            "values of the picture",
        ),
        (
            lambda x: x.index_select(1, x[0, :, 0, 0].long()),
            "aten.select.int",
            "takes an axis away",
        ),
        (lambda x: x.mean(1), "aten.mean.dim", "returns a tensor of shape"),
        (lambda x: x + torch.ones(18, 20), "aten.add.Tensor", "varies over the picture"),
        (lambda x: x + F.max_pool2d(x, (18, 20)), "aten.add.Tensor", "spreads an input"),
        (lambda x: F.dropout(x, training=True), "aten.dropout.default", "draws random numbers"),
        (lambda x: F.rrelu(x, training=True), "aten.rrelu.default", "draws random numbers"),
        (lambda x: x + torch.rand(4, 1, 1), "aten.rand.default", "draws random numbers"),
        (lambda x: x + torch.rand_like(x), "aten.rand_like.default", "draws random numbers"),
        (lambda x: F.pad(x, (1, 1, 1, 1), "circular"), "aten.pad.default", "circular"),
        (lambda x: F.pad(x, (0,) * 6 + (1, 1)), "aten.pad.default", "pads the batch"),
        (lambda x: F.conv2d(x, x[:, :, :3, :3]), "aten.conv2d.default", "weights are computed"),
        (lambda x: F.conv_transpose2d(x[:, :1], x), "aten.conv_transpose2d.input", "weights are"),
        (lambda x: F.conv2d(x, x), "aten.conv2d.default", "weights are computed"),
    ],
)
def test_what_has_no_bounded_receptive_field_is_refused_by_name(
    top: Callable[[Tensor], Any], operator: str, reason: str
) -> None:
    with pytest.raises(UnsupportedOperator, match=reason) as caught:
        ReceptiveFieldTracer(Stem(top), (EXAMPLE,))
    error = caught.value
    assert error.operator == operator
    assert operator in str(error)
    assert repr(error.node) in str(error)
    assert str(error).endswith(".")


def test_a_refusal_is_a_sentence_in_the_tools(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        ReceptiveFieldTracer(Stem(nn.GroupNorm(2, 4)), (EXAMPLE,))

    assert run_tool("tracenet-trace", "export", work) == 2
    assert re.fullmatch(
        r"tracenet-trace: node '\w+' \(aten\.group_norm\.default, in .*\) cannot be traced: .*\.\n",
        capsys.readouterr().err,
    )


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
        lambda x: x.std(1, keepdim=True) + x.var(-3, keepdim=True) + x.log_softmax(1),
        lambda x: x.amax(1, keepdim=True) - x.amin(1, True) + x.norm(dim=1, keepdim=True),
        lambda x: x.max(1, keepdim=True)[0] - x.min(1, keepdim=True).values,
        lambda x: x * x.argmax(1, keepdim=True) + x.logsumexp(1, keepdim=True),
        lambda x: F.normalize(x, dim=1) + x[:, :1].expand(-1, 4, 18, 20),
        lambda x: x.mean(1, True).expand_as(x) + x.mean(1, True).broadcast_to(x.shape),
        lambda x: x.repeat(1, 2, 1, 1) - x.tile(1, 2, 1, 1) + x.repeat_interleave(2, 1),
        lambda x: x[:, [2, 0]] + x.index_select(1, torch.tensor([1, 1])) + F.glu(x, 1),
        lambda x: x.flip(1) + x.roll(1, 1) + x.cumsum(1) + x.cumprod(1),
        lambda x: F.pad(x[:, 1:], (0, 0, 0, 0, 1, 2)),
        lambda x: torch.where(x > 0, x, torch.zeros_like(x)) + x.masked_fill(x < 1, 2.0),
        lambda x: torch.addcmul(x, x, x.lerp(x * 2, 0.3)).nan_to_num() // 2,
        lambda x: (x > 0).type_as(x) + (x > 1).to(x) + (x >= x * x).float(),
        lambda x: F.alpha_dropout(F.feature_alpha_dropout(F.rrelu(x))),
        lambda x: F.softsign(x) + F.logsigmoid(x) + F.softshrink(x) + F.threshold(x, 0.1, 20),
        lambda x: x.to(memory_format=torch.channels_last) * 2,
        nn.InstanceNorm2d(4, track_running_stats=True),
        lambda x: torch.sub(x, x.clone().detach() + 1, alpha=2).float().double(),
        # N x H x W x C on the way
        lambda x: F.layer_norm(x.permute(0, 2, 3, 1), (4,)).permute(0, 3, 1, 2),
        lambda x: F.linear(x.movedim(1, -1), torch.eye(5, 4), torch.arange(5.0)).movedim(-1, 1),
        lambda x: (nn.Dropout().eval()(F.gelu(x.permute(0, 2, 3, 1))) * torch.arange(4.0)).permute(
            0, 3, 1, 2
        ),
        lambda x: x.permute(0, 2, 3, 1)[..., 1:].softmax(-1).permute(0, 3, 1, 2).contiguous(),
        lambda x: torch.cat([x.permute(0, 2, 3, 1)] * 2, -1).permute(0, 3, 1, 2),
        lambda x: (x.permute(0, 2, 3, 1) + x.transpose(1, 2).transpose(2, 3)).permute(0, 3, 1, 2),
        lambda x: x.flatten(2).transpose(1, 2).reshape(1, 18, 20, 4).permute(0, 3, 1, 2),
        # the channels in another order
        lambda x: F.channel_shuffle(x, 2),
        lambda x: x.view(1, 2, 2, 18, 20).transpose(1, 2).contiguous().view(x.shape),
        lambda x: x.unflatten(1, (2, 2)).swapaxes(1, 2).flatten(1, 2),
        lambda x: (
            x.permute(0, 2, 3, 1)
            .unflatten(3, (2, 2))
            .transpose(3, 4)
            .flatten(3)
            .permute(0, 3, 1, 2)
        ),
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


@pytest.mark.parametrize(
    "top",
    [
        lambda x: x[:, :, 1:-2:2, 3:],
        lambda x: x.chunk(2, 1)[1][:, :, :-1] + x[:, 2:, 1:],
        lambda x: x[:, :1].expand(x.shape) * F.normalize(x, dim=1),
        lambda x: F.interpolate(x, size=(2 * x.shape[2], x.shape[3]), mode="nearest-exact"),
        lambda x: F.conv_transpose2d(F.pixel_unshuffle(x, 2), torch.ones(16, 1, 3, 3), None, 2),
        lambda x: F.pixel_shuffle(F.channel_shuffle(x, 2), 2),
        lambda x: F.layer_norm(x.permute(0, 2, 3, 1), (4,)).permute(0, 3, 1, 2),
        lambda x: x.view(1, 2, 2, *x.shape[2:]).transpose(1, 2).reshape(x.shape),
    ],
)
def test_what_is_captured_holds_for_windows(top: Callable[[Tensor], Tensor]) -> None:
    """Every call as it stands, on a picture of other sizes than were captured."""
    module = Stem(top).eval()
    graph = ReceptiveFieldTracer(module, (EXAMPLE,)).graph
    window = torch.randn(1, 3, 8, 12)
    values = {graph.input_name: window}
    with torch.no_grad():
        for node in graph.nodes.values():
            if node.operation is not None:
                inputs = [values[edge.source] for edge in node.edges]
                values[node.name] = node.operation.call.run(inputs)
        torch.testing.assert_close(values[graph.outputs["output_0"]], module(window))


def test_cuts_of_rows_and_columns_are_slices() -> None:
    def top(x: Tensor) -> Tensor:
        parts = (x.split(6, 2)[2], x.chunk(3, 2)[1], x.narrow(2, -6, 6), x.tensor_split(3, 2)[0])
        return sum(parts[1:], parts[0])[..., -1:]

    module = Stem(top).eval()
    picture = torch.randn(EXAMPLE.shape)
    trace = ReceptiveFieldTracer(module, (EXAMPLE,)).trace({"output_0": Rect(2, 4, 0, 1)})
    assert trace.input_region == Rect(2, 16, 19, 20)
    with torch.no_grad():
        full = module(picture)
    torch.testing.assert_close(trace.run(picture)["output_0"], full[..., 2:4, :])


@pytest.mark.parametrize(
    ("top", "operator", "reason"),
    [
        (nn.Conv2d(18, 4, 1), "aten.conv2d.default", "works on N x H x W x C"),
        (nn.BatchNorm2d(18), "aten.batch_norm.default", "works on N x H x W x C"),
        (nn.AvgPool2d(2), "aten.avg_pool2d.default", "works on N x H x W x C"),
        (nn.PReLU(18), "aten.prelu.default", "works on N x H x W x C"),
        (nn.LayerNorm([20, 4]), "aten.layer_norm.default", "statistics of the whole picture"),
        (lambda x: x[:, 1:], "aten.slice.Tensor", "another axis than the channels"),
        (lambda x: x.softmax(1), "aten.softmax.int", "every position read every other"),
        (lambda x: x.norm(dim=(1, 2), keepdim=True), "aten.linalg_vector_norm.default", "pools"),
        (lambda x: x * torch.ones(18, 1, 1), "aten.mul.Tensor", "varies over the picture"),
        (lambda x: F.channel_shuffle(x, 2), "aten.channel_shuffle.default", "not taken for"),
    ],
)
def test_what_is_refused_where_channels_are_last(
    top: Callable[[Tensor], Any], operator: str, reason: str
) -> None:
    module = Stem(nn.Sequential(Permute(0, 2, 3, 1), Function(top), Permute(0, 3, 1, 2)))
    with pytest.raises(UnsupportedOperator, match=reason) as caught:
        ReceptiveFieldTracer(module, (EXAMPLE,))
    assert caught.value.operator == operator


def test_layouts_do_not_mix() -> None:
    square = torch.zeros(1, 3, 4, 4)
    with pytest.raises(UnsupportedOperator, match="rows and columns meet channels"):
        ReceptiveFieldTracer(Stem(lambda x: x + x.permute(0, 2, 3, 1)), (square,))


def test_an_output_with_channels_last_is_refused() -> None:
    with pytest.raises(TracerError, match=r"output 'output_0' is N x H x W x C"):
        ReceptiveFieldTracer(Stem(lambda x: x.permute(0, 2, 3, 1)), (EXAMPLE,))


@pytest.mark.parametrize(
    ("top", "reason"),
    [
        (lambda x: x if x.sum() > 0 else -x, "data-dependent"),
        (lambda x: x[:, : int(x[0, 0, 0, 0])], "ata-dependent"),
        (lambda x: x.view(7), "RuntimeError"),
    ],
)
def test_what_torch_cannot_export_is_refused_in_one_sentence(
    top: Callable[[Tensor], Any], reason: str
) -> None:
    with pytest.raises(TracerError, match=reason) as caught:
        ReceptiveFieldTracer(Stem(top), (EXAMPLE,))
    assert "torch.export cannot capture the network" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("groups", [1, 2])
def test_a_transposed_convolution_counts_what_it_reads(groups: int) -> None:
    module = nn.ConvTranspose2d(4, 6, (3, 4), 2, 1, groups=groups, dilation=2, output_padding=1)
    picture = torch.zeros(2, 4, 9, 7)
    with FlopCounterMode(display=False) as counter:
        module(picture)
    tracer = ReceptiveFieldTracer(module, (picture,))
    assert tracer.full_macs * 2 == counter.get_total_flops()
    trace = tracer.trace({"output_0": Rect(4, 6, 4, 5)})
    (node,) = (node for node in tracer.graph.nodes.values() if node.edges)
    read = trace.input_region
    assert trace.macs == node.macs_per_cell * read.height * read.width
    heights, widths = np.array([3, 5]), np.array([2, 4])
    counted = node.macs((2 * heights, 2 * widths), (heights, widths))
    assert counted.tolist() == [node.macs_per_cell * 6, node.macs_per_cell * 20]
