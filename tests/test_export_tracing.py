"""What programs become does not depend on what is left out while they are traced."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torch._export import utils
from torch.fx import config

from tracenet_export import tracing
from tracenet_export.programs import Program
from tracenet_export.targets import onnx
from tracenet_export.tracing import lean_tracing
from tracenet_runtime.graph.program import TensorSpec


def private() -> tuple[object, object]:
    return getattr(utils, tracing._LISTING), getattr(config, tracing._NO_STACKS)


def test_pytorch_is_left_as_it_was() -> None:
    before = private()

    @lean_tracing()
    def fail() -> None:
        assert private() != before
        with lean_tracing():
            pass
        assert private() != before
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert private() == before


def test_the_files_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    program = Program(
        "convolution",
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Hardswish()).eval(),
        inputs=(TensorSpec("image", (1, 3, 16, 16)),),
        outputs=(TensorSpec("features", (1, 4, 14, 14)),),
        macs=0,
    )

    def files(folder: Path) -> dict[str, bytes]:
        folder.mkdir()
        onnx.convert([program], folder, "fp32", None)
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    lean = files(tmp_path / "lean")
    # As a version of PyTorch that has both elsewhere.
    monkeypatch.setattr(tracing, "_LISTING", "elsewhere")
    monkeypatch.setattr(tracing, "_NO_STACKS", "elsewhere")
    assert lean
    assert files(tmp_path / "full") == lean
