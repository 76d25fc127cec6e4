"""The LiteRT engine: layouts, ownership, threads, and files that are not what they should be."""

import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("ai_edge_litert")
pytest.importorskip("litert_torch")

from tracenet_export.programs import Program
from tracenet_export.targets import litert as target
from tracenet_runtime.engines import EngineSettings
from tracenet_runtime.engines.litert import LiteRtEngine, open_engine
from tracenet_runtime.errors import BundleError
from tracenet_runtime.graph.program import ProgramFiles, StoredProgram, TensorSpec


class Two(nn.Module):
    """A convolution of x plus y, and twice x."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 5, 3, padding=1)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        return self.conv(x) + y, x * 2


def two(name: str, height: int, width: int) -> Program:
    return Program(
        name,
        Two().eval(),
        (TensorSpec("x", (1, 3, height, width)), TensorSpec("y", (1, 5, height, width))),
        (TensorSpec("sum", (1, 5, height, width)), TensorSpec("double", (1, 3, height, width))),
        0,
    )


PROGRAMS = (two("small", 4, 6), two("large", 200, 300))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("programs")
    target.convert(PROGRAMS, folder, "fp32", None)
    return folder / target.FILE


def stored(file: Path, programs: tuple[Program, ...] = PROGRAMS) -> ProgramFiles:
    return ProgramFiles(
        file.parent,
        "litert",
        {v.name: replace(v.described(), layout="NHWC") for v in programs},
        {v.name: StoredProgram(file.name, v.name) for v in programs},
        frozenset([file.name]),
    )


def open_all(file: Path, threads: int = 1) -> LiteRtEngine:
    return open_engine(stored(file), ["small", "large"], EngineSettings(threads=threads))


def inputs(program: Program, seed: int = 0) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    values = {}
    for spec in program.inputs:
        _, channels, height, width = spec.shape
        value = random.standard_normal((1, height, width, channels)).astype(np.float32)
        values[spec.name] = value.transpose(0, 3, 1, 2)
    return values


def check(outputs: dict[str, Any], program: Program, given: dict[str, Any]) -> None:
    with torch.inference_mode():
        wanted = program.module(*(torch.from_numpy(given[spec.name]) for spec in program.inputs))
    assert set(outputs) == {"sum", "double"}
    for spec, reference in zip(program.outputs, wanted, strict=True):
        assert outputs[spec.name].shape == spec.shape
        assert outputs[spec.name].dtype == np.float32
        np.testing.assert_allclose(outputs[spec.name], reference.numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("threads", [1, 2])
def test_agrees_with_torch(file: Path, threads: int) -> None:
    engine = open_all(file, threads)
    for program in PROGRAMS:
        given = inputs(program)
        check(engine.run(program.name, given), program, given)


def test_inputs_in_the_other_layout_are_copied(file: Path) -> None:
    given = {name: np.ascontiguousarray(v) for name, v in inputs(PROGRAMS[0]).items()}
    check(open_all(file).run("small", given), PROGRAMS[0], given)


def test_outputs_are_views_that_later_runs_do_not_change(file: Path) -> None:
    engine = open_all(file)
    first = engine.run("small", inputs(PROGRAMS[0], 1))
    kept = {name: value.copy() for name, value in first.items()}
    engine.run("small", inputs(PROGRAMS[0], 2))
    for name, value in first.items():
        np.testing.assert_array_equal(value, kept[name])
        assert value.transpose(0, 2, 3, 1).flags.c_contiguous
    del engine
    assert all(np.array_equal(first[name], kept[name]) for name in first)


def test_several_threads_may_run_it(file: Path) -> None:
    engine = open_all(file)
    given = [inputs(PROGRAMS[1], seed) for seed in range(4)]
    answers: dict[int, dict[str, Any]] = {}

    def work(number: int) -> None:
        for _ in range(5):
            answers[number] = engine.run("large", given[number])

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for number, outputs in answers.items():
        check(outputs, PROGRAMS[1], given[number])


def test_says_what_it_is(file: Path) -> None:
    actual = open_all(file).actual
    assert str(actual["version"])[0].isdigit()
    assert actual["threads"] == "not reported"


def test_only_the_programs_asked_for_are_opened(file: Path) -> None:
    engine = open_engine(stored(file), ["small"], EngineSettings())
    with pytest.raises(KeyError):
        engine.run("large", inputs(PROGRAMS[1]))


def test_signature_that_the_file_lacks(file: Path) -> None:
    programs = (*PROGRAMS, two("other", 4, 6))
    with pytest.raises(BundleError, match=r"does not accept the program 'other'.*export .* again"):
        open_engine(stored(file, programs), ["small", "other"], EngineSettings())


def test_shapes_and_names_that_are_not_the_declared_ones(file: Path) -> None:
    declared = stored(file, (two("small", 4, 7),))
    with pytest.raises(BundleError, match=r"The inputs of the program 'small' are .*4, 6, 3"):
        open_engine(declared, ["small"], EngineSettings())
    declared = stored(file)
    small = declared.programs["small"]
    outputs = {name: spec for name, spec in small.outputs.items() if name != "double"}
    declared = replace(declared, programs={"small": replace(small, outputs=outputs)})
    with pytest.raises(BundleError, match=r"The outputs of the program 'small' are .*double"):
        open_engine(declared, ["small"], EngineSettings())


@pytest.mark.parametrize("kind", ["empty", "text", "truncated", "zeros", "missing"])
def test_file_that_is_no_model(file: Path, tmp_path: Path, kind: str) -> None:
    content = {
        "empty": b"",
        "text": b"hello, I am no flatbuffer" * 40,
        "truncated": file.read_bytes()[:-500],
        "zeros": bytes(4096),
        "missing": None,
    }[kind]
    path = tmp_path / "programs.tflite"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BundleError, match=r"^LiteRT does not accept the program 'small': [^\n]+$"):
        open_engine(stored(path), ["small"], EngineSettings())


def test_wrong_number_of_inputs(file: Path) -> None:
    given = inputs(PROGRAMS[0])
    del given["y"]
    with pytest.raises(BundleError, match="LiteRT cannot run the program 'small'"):
        open_all(file).run("small", given)


def test_import_brings_no_torch() -> None:
    script = (
        "import tracenet_runtime.engines.litert, sys\n"
        "print([m for m in ('torch', 'litert_torch', 'tracenet', 'tracenet_export')"
        " if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
