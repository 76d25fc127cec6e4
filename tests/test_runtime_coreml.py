"""The Core ML engine, with a stand-in for Core ML where that is not to be had."""

import enum
import subprocess
import sys
import threading
import types
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tracenet_runtime.engines import COMPUTE_UNITS, EngineSettings
from tracenet_runtime.engines.coreml import open_engine
from tracenet_runtime.errors import BundleError

ComputeUnit = enum.Enum("ComputeUnit", ["ALL", "CPU_AND_NE", "CPU_AND_GPU", "CPU_ONLY"])


class StandInFiles:
    """Knows where programs are."""

    def path(self, program: str) -> Path:
        return Path("bundle", "programs", f"{program}.mlpackage")


class StandInModel:
    """Records what it is given, and fails as coremltools does."""

    made: list["StandInModel"]

    def __init__(self, model: str, compute_units: ComputeUnit) -> None:
        self.path, self.compute_unit = model, compute_units
        self.given: list[dict[str, Any]] = []
        self.made.append(self)
        if "broken" in model:
            raise ValueError("no such file.\nand more")
        if "refused" in model:
            message = "You will not be able to run predict() on this Core ML model. Because"
            warnings.warn(message, RuntimeWarning, stacklevel=2)

    def predict(self, data: dict[str, Any]) -> dict[str, Any]:
        self.given.append(data)
        if "failing" in self.path:
            raise RuntimeError("Error computing NN outputs.")
        return {"output_0": np.ones((1, 2, 3, 4), np.float32), "output_1": [[1.0]]}


@pytest.fixture(autouse=True)
def _coremltools(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = types.ModuleType("coremltools")
    stand_in.__version__ = "9.9"  # type: ignore[attr-defined]
    stand_in.ComputeUnit = ComputeUnit  # type: ignore[attr-defined]
    stand_in.models = types.SimpleNamespace(MLModel=StandInModel)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "coremltools", stand_in)
    monkeypatch.setattr(StandInModel, "made", [], raising=False)


def opened(*programs: str, compute_units: str | None = None) -> Any:
    settings = EngineSettings(threads=3, compute_units=compute_units)
    return open_engine(StandInFiles(), programs, settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("units", [*COMPUTE_UNITS, None])
def test_compute_units(units: str | None) -> None:
    engine = opened("one", "two", compute_units=units)
    wanted = "all" if units is None else units
    assert [model.path for model in StandInModel.made] == [
        str(Path("bundle", "programs", f"{name}.mlpackage")) for name in ("one", "two")
    ]
    assert {model.compute_unit.name for model in StandInModel.made} == {wanted.upper()}
    assert engine.actual == {
        "version": "9.9",
        "threads": "not reported",
        "compute_units": wanted,
    }


def test_what_the_model_says_is_reported() -> None:
    """Not what was asked for."""

    class Stubborn(StandInModel):
        def __init__(self, model: str, compute_units: ComputeUnit) -> None:
            super().__init__(model, ComputeUnit.CPU_ONLY)

    sys.modules["coremltools"].models.MLModel = Stubborn  # type: ignore[attr-defined]
    assert opened("one", compute_units="cpu_and_ne").actual["compute_units"] == "cpu_only"


def test_inputs_and_outputs() -> None:
    engine = opened("one", "two")
    wide = np.arange(48, dtype=np.float64).reshape(1, 2, 3, 8)
    outputs = engine.run("two", {"input_0": wide[..., ::2]})
    (given,) = StandInModel.made[1].given
    assert not StandInModel.made[0].given
    assert given["input_0"].dtype == np.float32
    assert given["input_0"].flags.c_contiguous
    np.testing.assert_array_equal(given["input_0"], wide[..., ::2])
    assert all(isinstance(value, np.ndarray) for value in outputs.values())
    assert {name: value.shape for name, value in outputs.items()} == {
        "output_0": (1, 2, 3, 4),
        "output_1": (1, 1),
    }


@pytest.mark.parametrize(("name", "reason"), [("broken", "no such file"), ("refused", "Because")])
def test_package_that_is_not_accepted(name: str, reason: str) -> None:
    message = (
        rf"^Core ML does not accept the program '{name}': .*{reason}; export the bundle again\.$"
    )
    with pytest.raises(BundleError, match=message):
        opened("one", name)


def test_program_that_fails_to_run() -> None:
    engine = opened("failing")
    message = r"^Core ML cannot run the program 'failing': .*outputs; export the bundle again\.$"
    with pytest.raises(BundleError, match=message):
        engine.run("failing", {"input_0": np.zeros((1, 1, 1, 1), np.float32)})


def test_a_model_runs_one_prediction_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """But two models may run at once, and a prediction that failed lets the next one run."""
    engine = opened("one", "two", "failing")
    inputs = {"input_0": np.zeros((1, 1, 1, 1), np.float32)}
    one = StandInModel.made[0]
    inside: list[bool] = []
    entered, leave = threading.Event(), threading.Event()
    predict = StandInModel.predict

    def slow(self: StandInModel, data: dict[str, Any]) -> dict[str, Any]:
        if self is one:
            inside.append(True)
            entered.set()
            assert len(inside) == 1
            leave.wait(10)
            inside.pop()
        return predict(self, data)

    monkeypatch.setattr(StandInModel, "predict", slow)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(engine.run, "one", inputs)
        assert entered.wait(10)
        second = pool.submit(engine.run, "one", inputs)
        engine.run("two", inputs)
        with pytest.raises(TimeoutError):
            second.result(0.1)
        leave.set()
        first.result(10)
        second.result(10)
    assert len(one.given) == 2
    for _ in range(2):
        with pytest.raises(BundleError, match="outputs"):
            engine.run("failing", inputs)


def test_import_brings_neither_torch_nor_coremltools() -> None:
    absent = ["torch", "coremltools", "tracenet", "tracenet_export"]
    script = f"""import sys, tracenet_runtime.engines.coreml
print([m for m in {absent} if m in sys.modules])"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.skipif(sys.platform != "darwin", reason="Core ML runs on macOS only")
def test_core_ml_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package made here, on every choice of compute units, against numpy."""
    monkeypatch.delitem(sys.modules, "coremltools")
    pytest.importorskip("coremltools")
    import torch

    from tracenet_export.programs import Program
    from tracenet_export.targets import coreml
    from tracenet_runtime.graph.program import TensorSpec

    conv = torch.nn.Conv2d(3, 4, 1)
    program = Program(
        "conv",
        torch.nn.Sequential(conv).eval(),
        (TensorSpec("input_0", (1, 3, 8, 8)),),
        (TensorSpec("output_0", (1, 4, 8, 8)),),
        0,
    )
    coreml.convert([program], tmp_path, "fp16", None)
    monkeypatch.setattr(StandInFiles, "path", lambda self, name: tmp_path / f"{name}.mlpackage")
    x = np.random.default_rng(0).normal(size=(1, 3, 8, 8)).astype(np.float32)
    weight, bias = (p.detach().numpy() for p in (conv.weight[..., 0, 0], conv.bias))
    wanted = np.einsum("oc,nchw->nohw", weight, x) + bias[:, None, None]
    for units in COMPUTE_UNITS:
        engine = opened("conv", compute_units=units)
        assert engine.actual["compute_units"] == units
        found = engine.run("conv", {"input_0": x})["output_0"]
        np.testing.assert_allclose(found, wanted, atol=1e-2)
