"""The network: what it costs, what it says, that it is local, and that checkpoints keep it."""

from __future__ import annotations

import json
import math
import os
import re
import stat
from pathlib import Path
from typing import get_args

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from scenes import TINY, make_scene
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tracenet.model import (
    CONFIGS,
    LEVELS,
    CheckpointError,
    MaskHead,
    MaskProbability,
    TraceNet,
    TraceNetConfig,
    answer_taps,
    build_network,
    checkpoint_licence,
    load_checkpoint,
    save_checkpoint,
    shipped_checkpoint,
    tap_score,
    untrained_network,
)
from tracenet.model import checkpoint as checkpoint_module
from tracenet.model.config import FILTER_SIZE, BackboneName, NeckName
from tracenet.model.layers import DepthwiseConv2d, LevelSharedBatchNorm, Rectifier


@pytest.fixture(scope="module")
def untrained_tiny() -> TraceNet:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CONFIGS, "tiny", TINY)
        return untrained_network("tiny")


def scene(size: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(make_scene(size, size, seed).photo).permute(2, 0, 1)[None].float()


def refused(path: Path, match: str) -> None:
    with pytest.raises(CheckpointError, match=match) as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


# What it costs


@pytest.mark.parametrize(
    ("name", "parameters", "least", "most"),
    [
        # The paper's multiply-adds at 640 x 640 (arXiv 2406.14874, table 2), within 5 %.
        ("r50-fpn", 33_980_151, 0.95 * 86.67e9, 1.05 * 86.67e9),
        ("r101-fpn", 52_972_279, 0.95 * 118.28e9, 1.05 * 118.28e9),
        ("mobilenetv2-fpn", 2_029_623, 2e9, 3.5e9),
        ("shufflenetv2-pan", 1_199_593, 2e9, 2.7e9),
        ("shufflenetv2-1.5x-pan", 2_419_895, 3.5e9, 4.3e9),
    ],
)
def test_cost(name: str, parameters: int, least: float, most: float) -> None:
    with torch.device("meta"):
        network = build_network(name).eval()
        image = torch.empty(1, 3, 640, 640)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(image)
    assert least <= counter.get_total_flops() / 2 <= most


# What it says


def test_outputs(untrained_tiny: TraceNet) -> None:
    with torch.no_grad():
        outputs = untrained_tiny(torch.rand(2, 3, 128, 256) * 255)
    expected = {"mask_features": (2, 8, 16, 32)}
    for name, stride in (("p3", 8), ("p4", 16), ("p5", 32), ("p6", 64), ("p7", 128)):
        cells = 128 // stride, 256 // stride
        for kind, channels in (("score", 1), ("box", 4), ("filter", 169)):
            expected[f"{name}_{kind}"] = (2, channels, *cells)
    assert {name: tuple(tensor.shape) for name, tensor in outputs.items()} == expected
    for name, tensor in outputs.items():
        assert tensor.isfinite().all(), name
        if name.endswith("score"):
            assert 0 <= tensor.min() <= tensor.max() <= 1


def test_names_of_outputs_come_from_the_levels() -> None:
    assert [level.output("score") for level in LEVELS] == [f"p{i}_score" for i in range(3, 8)]
    assert [level.stride for level in LEVELS] == [8, 16, 32, 64, 128]
    assert [level.size_of_interest for level in LEVELS] == [64, 128, 256, 512, 1024]
    assert FILTER_SIZE == 169


@pytest.mark.parametrize("name", CONFIGS)
def test_only_local_layers(name: str) -> None:
    local = {
        nn.Conv2d,
        DepthwiseConv2d,
        nn.BatchNorm2d,
        LevelSharedBatchNorm,
        nn.ReLU,
        nn.ReLU6,
        Rectifier,
        nn.MaxPool2d,
        nn.Identity,
    }
    with torch.device("meta"):
        network = build_network(name)
    leaves = {type(module) for module in network.modules() if not list(module.children())}
    assert leaves <= local


def test_a_far_pixel_changes_nothing_and_a_near_one_does(untrained_tiny: TraceNet) -> None:
    image = torch.rand(1, 3, 128, 2560) * 255
    changed = image.clone()
    changed[0, :, 64, 2500] = 255 - changed[0, :, 64, 2500]
    with torch.no_grad():
        before, after = untrained_tiny(image), untrained_tiny(changed)
    for name in before:
        difference = (before[name] - after[name]).abs().amax((0, 1, 2))
        assert difference[-1] > 0, name
        assert difference[: len(difference) * 3 // 5].max() == 0, name


def test_untrained_network(untrained_tiny: TraceNet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CONFIGS, "tiny", TINY)
    torch.manual_seed(7)
    expected_next = torch.rand(1)
    torch.manual_seed(7)
    again, other = untrained_network("tiny"), untrained_network("tiny", seed=1)
    assert torch.rand(1) == expected_next  # the caller's random numbers are left alone
    for name, tensor in untrained_tiny.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    assert not torch.equal(untrained_tiny.heads.box.weight, other.heads.box.weight)
    assert not untrained_tiny.training
    for module in untrained_tiny.modules():
        assert not module._forward_hooks
        if isinstance(module, nn.BatchNorm2d):
            assert module.momentum == 0.1
    # What every level says depends on the picture: nothing has died away.
    with torch.no_grad():
        one, two = untrained_tiny(scene(256, 0)), untrained_tiny(scene(256, 1))
    for name in one:
        floor = 0.01 if name.startswith("p7") else 0.1
        assert (one[name] - two[name]).std() > floor * one[name].std(), name


def test_no_such_network() -> None:
    with pytest.raises(CheckpointError, match="choose one of r50-fpn, r101-fpn, mobilenetv2-fpn"):
        build_network("r51-fpn")


# Its score


@given(
    st.floats(allow_nan=False, width=32),
    st.floats(allow_nan=False, width=32),
    st.floats(0, 10, width=32),
)
def test_tap_score(class_logit: float, quality_logit: float, more: float) -> None:
    def score(a: float, b: float) -> float:
        return float(tap_score(torch.tensor(a), torch.tensor(b)))

    value = score(class_logit, quality_logit)
    assert 0 <= value <= 1
    assert score(class_logit + more, quality_logit) >= value
    assert score(class_logit, quality_logit + more) >= value
    product = (1 + np.tanh(class_logit / 2)) * (1 + np.tanh(quality_logit / 2)) / 4
    assert value == pytest.approx(product, rel=1e-5, abs=1e-7)


# Its configuration

CONFIGURATIONS = st.builds(
    TraceNetConfig,
    name=st.text(max_size=10),
    backbone=st.sampled_from(get_args(BackboneName)),
    neck=st.sampled_from(get_args(NeckName)),
    pixel_mean=st.tuples(*[st.floats(0, 255)] * 3),
    pixel_std=st.tuples(*[st.floats(1, 255)] * 3),
    pyramid_channels=st.integers(1, 512),
    tower_depth=st.integers(0, 8),
    mask_stride=st.sampled_from([4, 8]),
    kernel=st.sampled_from([1, 3, 5]),
    separable=st.booleans(),
)


@given(CONFIGURATIONS)
@settings(max_examples=50)
def test_configuration_survives_json(config: TraceNetConfig) -> None:
    again = TraceNetConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config
    assert hash(again) == hash(config)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"towers": 3, "necks": 1}, "unknown keys .*: necks, towers"),
        ({"name": None}, "incomplete .*'name'"),
        ({"backbone": None}, "incomplete .*'backbone'"),
        ({"backbone": "vgg16"}, "no trunk 'vgg16'; choose one of resnet50, "),
        ({"neck": "bifpn"}, "no neck 'bifpn'; choose one of fpn, ghost-pan"),
        ({"mask_stride": 2}, "no mask stride 2; choose one of 4, 8"),
        ({"pixel_mean": [math.nan, 0, 0]}, "must be finite numbers"),
        ({"pixel_std": [1, math.inf, 1]}, "must be finite numbers"),
        ({"pixel_std": [1, 1, 0]}, "pixel_std must be above 0"),
    ],
)
def test_wrong_configurations(change: dict[str, object], match: str) -> None:
    values = TINY.to_dict() | change
    values = {key: value for key, value in values.items() if value is not None}
    with pytest.raises(ValueError, match=match):
        TraceNetConfig.from_dict(values)


# Its checkpoints


@pytest.mark.parametrize("half", [False, True])
def test_checkpoint_round_trip(untrained_tiny: TraceNet, tmp_path: Path, half: bool) -> None:
    path = tmp_path / "new" / "net.safetensors"
    save_checkpoint(untrained_tiny, path, licence="CC0", half=half)
    assert sorted(file.name for file in path.parent.iterdir()) == ["net.json", "net.safetensors"]
    assert path.stat().st_mode & stat.S_IRGRP == path.with_suffix(".json").stat().st_mode & (
        stat.S_IRGRP
    )
    assert checkpoint_licence(path) == "CC0"
    loaded = load_checkpoint(path)
    assert loaded.config == TINY
    assert not loaded.training
    stored = load_file(path)
    for name, tensor in untrained_tiny.state_dict().items():
        rounded = half and tensor.is_floating_point() and "running_" not in name
        assert stored[name].dtype == (torch.float16 if rounded else tensor.dtype), name
        expected = tensor.half().to(tensor.dtype) if rounded else tensor
        assert torch.equal(loaded.state_dict()[name], expected), name
        assert loaded.state_dict()[name].dtype == tensor.dtype, name


def test_saving_replaces_at_once(
    untrained_tiny: TraceNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "net.safetensors"
    save_checkpoint(untrained_tiny, path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def disk_full(descriptor: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", disk_full)
    with pytest.raises(OSError, match="disk full"):
        save_checkpoint(TraceNet(TINY), path, licence="another")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_unusable_checkpoints(untrained_tiny: TraceNet, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    beside = tmp_path / "net.json"
    refused(path, "net.safetensors does not exist")
    for folder in ("", "/", "."):
        refused(Path(folder), "does not exist; a checkpoint is a .safetensors file")
    save_checkpoint(untrained_tiny, path)
    good, good_json = path.read_bytes(), beside.read_text()

    for damaged in (b"", b"hello", good[:100], good[:-1], good[: len(good) // 2]):
        path.write_bytes(damaged)
        refused(path, "net.safetensors is not a usable checkpoint: ")
    tensors = load_file_bytes(good, tmp_path)
    del tensors["heads.box.bias"]
    save_file(tensors, path)
    refused(path, r"not a usable checkpoint: .*heads\.box\.bias")
    save_checkpoint(TraceNet(CONFIGS["mobilenetv2-fpn"]), path)
    beside.write_text(good_json)
    refused(path, "not a usable checkpoint: .*key")

    path.write_bytes(good)
    description = json.loads(good_json)
    for text in ("", "[]", "{}", '{"network": 3, "licence": ""}', "\x00", "[" * 100_000):
        beside.write_text(text)
        refused(path, r"net\.json must hold the network's configuration and licence as JSON")
    for change in (
        {"kernel": "3"},
        {"pyramid_channels": 0},
        {"tower_channels": 0},
        {"pixel_mean": [1, 2]},
        {"backbone": "vgg16"},
        {"colour": "red"},
    ):
        beside.write_text(json.dumps({**description, "network": {**TINY.to_dict(), **change}}))
        refused(path, "not a usable checkpoint: ")
    beside.unlink()
    refused(path, r"net\.json does not exist")
    with pytest.raises(CheckpointError, match=r"net\.json does not exist"):
        checkpoint_licence(path)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("backbone.features.0.0.weight", math.nan),
        ("heads.box.bias", math.inf),
        ("heads.box.bias", -math.inf),
        ("running_mean", math.nan),
        ("running_var", math.inf),
        ("running_var", -1e-3),
        ("num_batches_tracked", -1),
    ],
)
def test_weights_that_no_training_leaves_behind(
    untrained_tiny: TraceNet, tmp_path: Path, name: str, value: float, half: bool
) -> None:
    path = tmp_path / "net.safetensors"
    save_checkpoint(untrained_tiny, path, half=half)
    tensors = load_file(path)
    name = next(key for key in tensors if key.endswith(name))
    tensors[name].view(-1)[-1] = value
    save_file(tensors, path)
    refused(path, rf"unusable weights: 1 of the \d+ values of {re.escape(name)} are")


def test_weights_too_large_for_what_computes_with_them(
    untrained_tiny: TraceNet, tmp_path: Path
) -> None:
    path = tmp_path / "net.safetensors"
    save_checkpoint(untrained_tiny, path)
    tensors = load_file(path)
    save_file(tensors | {"heads.box.bias": tensors["heads.box.bias"].double() + 1e39}, path)
    refused(path, r"4 of the 4 values of heads\.box\.bias are not finite")


def test_a_checkpoint_in_a_folder_whose_name_is_not_utf8(
    untrained_tiny: TraceNet, tmp_path: Path
) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    try:
        folder.mkdir()
    except (OSError, ValueError):
        pytest.skip("this system has no such names")
    save_checkpoint(untrained_tiny, folder / "net.safetensors")
    assert load_checkpoint(folder / "net.safetensors").config == TINY


def load_file_bytes(data: bytes, folder: Path) -> dict[str, torch.Tensor]:
    path = folder / "copy.safetensors"
    path.write_bytes(data)
    return {name: tensor.clone() for name, tensor in load_file(path).items()}


def test_shipped_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint_module, "SHIPPED", tmp_path)
    with pytest.raises(CheckpointError, match=r"shipped: none.*tracenet-train --model r50-fpn"):
        shipped_checkpoint("r50-fpn")
    (tmp_path / "r50-fpn.safetensors").touch()
    assert shipped_checkpoint("r50-fpn") == tmp_path / "r50-fpn.safetensors"
    with pytest.raises(CheckpointError, match=r"shipped: r50-fpn\)"):
        shipped_checkpoint("r101-fpn")


# Its mask head


def numpy_mask_head(
    features: npt.NDArray[np.float64],
    filter: npt.NDArray[np.float64],
    offset: tuple[float, float],
    size: float,
    stride: int,
) -> npt.NDArray[np.float64]:
    """Logits, pixel by pixel and product by product."""
    weights = [filter[:80].reshape(8, 10), filter[80:144].reshape(8, 8), filter[144:152][None]]
    biases = [filter[152:160], filter[160:168], filter[168:169]]
    _, height, width = features.shape
    logits = np.empty((height, width))
    for row in range(height):
        for column in range(width):
            x = (stride * column + offset[0]) / size
            y = (stride * row + offset[1]) / size
            values = [x, y, *features[:, row, column]]
            for weight, bias in zip(weights, biases, strict=True):
                sums = [
                    sum(w * v for w, v in zip(line, values, strict=True)) + b
                    for line, b in zip(weight, bias, strict=True)
                ]
                values = [max(0.0, s) for s in sums]
            logits[row, column] = sums[0]
    return logits


@pytest.mark.parametrize("stride", [4, 8])
def test_mask_head(stride: int) -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(2, 8, 5, 7))
    filters = random.normal(size=(2, 169))
    offsets = random.uniform(-90, 40, (2, 2))
    sizes = (64.0, 512.0)
    inputs = (
        torch.from_numpy(features),
        torch.from_numpy(filters)[:, :, None, None],
        torch.from_numpy(offsets)[:, :, None, None],
        1 / torch.tensor(sizes, dtype=torch.float64)[:, None, None, None],
    )
    logits = MaskHead(stride)(*inputs)
    assert logits.shape == (2, 1, 5, 7)
    for index in range(2):
        expected = numpy_mask_head(
            features[index], filters[index], tuple(offsets[index]), sizes[index], stride
        )
        assert expected.std() > 0.1
        np.testing.assert_allclose(logits[index, 0].numpy(), expected, rtol=1e-10, atol=1e-10)

    finer = stride // 2
    probability = MaskProbability(stride)(*inputs)
    assert probability.shape == (2, 1, 5 * finer, 7 * finer)
    cells = 1 / (1 + np.exp(-logits.numpy()))
    # Half-pixel centres: outputs 1 and 2 of four lie an eighth of a cell beside the cell's centre,
    # those of two a quarter.
    near = {4: 0.875, 2: 0.75}[finer]
    at = {4: (5, 10), 2: (2, 5)}[finer]  # in the upper half of row 1, in the right one of column 2
    row = near * cells[..., 1:2, :] + (1 - near) * cells[..., 0:1, :]
    expected = near * row[..., 2] + (1 - near) * row[..., 3]
    np.testing.assert_allclose(probability[:, :, *at].numpy(), expected[..., 0], rtol=1e-9)


# Its answers


def test_answer_taps_against_indexing(untrained_tiny: TraceNet) -> None:
    taps = [(0, 0), (127, 63), (128, 64), (255, 127), (8, 7), (200, 100)]
    with torch.no_grad():
        outputs = untrained_tiny(torch.rand(1, 3, 128, 256) * 255)
        answers = answer_taps(outputs, torch.tensor(taps))
        probable = answer_taps(outputs, torch.tensor(taps), probability=True)
    assert answers.score.shape == (6, 5)
    assert answers.box.shape == (6, 5, 4)
    assert answers.filter.shape == (6, 5, 169)
    assert answers.mask.shape == (6, 5, 16, 32)
    assert probable.mask.shape == (6, 5, 64, 128)
    for tap, (x, y) in enumerate(taps):
        for level in range(5):
            stride, size = 8 * 2**level, 64 * 2**level
            row, column = y // stride, x // stride
            assert answers.score[tap, level] == outputs[f"p{level + 3}_score"][0, 0, row, column]
            filter = outputs[f"p{level + 3}_filter"][0, :, row, column]
            assert torch.equal(answers.filter[tap, level], filter)
            sides = outputs[f"p{level + 3}_box"][0, :, row, column] * size
            left, top, right, bottom = sides.tolist()
            centre_x, centre_y = (column + 0.5) * stride, (row + 0.5) * stride
            expected = [centre_x - left, centre_y - top, centre_x + right, centre_y + bottom]
            assert answers.box[tap, level].tolist() == pytest.approx(expected, rel=1e-5, abs=1e-3)
            mask = numpy_mask_head(
                outputs["mask_features"][0, :, :3, :4].double().numpy(),
                filter.double().numpy(),
                (4 - (x + 0.5), 4 - (y + 0.5)),
                size,
                stride=8,
            )
            found = answers.mask[tap, level, :3, :4].numpy()
            np.testing.assert_allclose(found, mask, rtol=1e-3, atol=1e-4)


# Its BatchNorm over levels


def test_level_shared_batch_norm() -> None:
    torch.manual_seed(0)
    norm, plain = LevelSharedBatchNorm(3), nn.BatchNorm2d(3)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    plain.load_state_dict(norm.state_dict())
    levels = [torch.randn(2, 3, size, 2 * size) * size + size for size in (4, 2, 1)]
    cells = torch.cat([level.permute(0, 2, 3, 1).reshape(-1, 3) for level in levels])

    outputs = norm.train().forward_levels(levels)
    mean, variance = cells.mean(0), cells.var(0, unbiased=False)
    for level, output in zip(levels, outputs, strict=True):
        assert output.shape == level.shape
        standard = (level - mean[:, None, None]) / (variance[:, None, None] + 1e-5).sqrt()
        expected = standard * norm.weight[:, None, None] + norm.bias[:, None, None]
        torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.running_mean, 0.1 * mean)
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * cells.var(0))

    plain.load_state_dict(norm.state_dict())
    norm.eval()
    plain.eval()
    for level, output in zip(levels, norm.forward_levels(levels), strict=True):
        torch.testing.assert_close(output, plain(level))


@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
def test_level_shared_norm_has_the_gradients_of_its_definition(
    memory_format: torch.memory_format,
) -> None:
    norm = LevelSharedBatchNorm(3).double().train()
    nn.init.normal_(norm.weight)
    shapes = [(2, 3, 8, 6), (2, 3, 4, 3), (2, 3, 1, 1)]
    upstream = [torch.randn(shape, dtype=torch.float64) for shape in shapes]

    def gradients(outputs: list[torch.Tensor], inputs: list[torch.Tensor]) -> list[torch.Tensor]:
        loss = sum(((o * g).sum() for o, g in zip(outputs, upstream, strict=True)), torch.zeros(()))
        return list(torch.autograd.grad(loss, [*inputs, norm.weight, norm.bias]))

    levels = [
        torch.randn(shape, dtype=torch.float64).contiguous(memory_format=memory_format)
        for shape in shapes
    ]
    levels = [level.requires_grad_() for level in levels]
    cells = torch.cat([level.permute(0, 2, 3, 1).reshape(-1, 3) for level in levels])
    mean, deviation = cells.mean(0), (cells.var(0, unbiased=False) + norm.eps).sqrt()
    defined = [
        ((level.permute(0, 2, 3, 1) - mean) / deviation * norm.weight + norm.bias).permute(
            0, 3, 1, 2
        )
        for level in levels
    ]
    for ours, theirs in zip(
        gradients(norm.forward_levels(levels), levels), gradients(defined, levels), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


def test_depthwise_convolution_is_full_precision_under_autocast_on_a_cpu() -> None:
    depthwise = DepthwiseConv2d(6, 5, 2, bias=True)
    plain = nn.Conv2d(6, 6, 5, 2, 2, groups=6)
    plain.load_state_dict(depthwise.state_dict())
    image = torch.randn(2, 6, 9, 12)
    torch.testing.assert_close(depthwise(image), plain(image), rtol=0, atol=0)
    with torch.autocast("cpu", torch.bfloat16):
        assert plain(image).dtype == torch.bfloat16
        output = depthwise(image.bfloat16())
    assert output.dtype == torch.float32
    torch.testing.assert_close(output, plain(image.bfloat16().float()), rtol=0, atol=0)
