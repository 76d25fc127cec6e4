"""Engines: the registry, and ONNX Runtime with hostile models."""

import errno
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from runtime_fixtures import (
    NumpyEngine,
    make_model,
    random_photo,
    read_manifest,
    replay_of,
    write_manifest,
    write_tiny_bundle,
)

from tracenet_runtime.bundle.files import Bundle
from tracenet_runtime.engines import EngineSettings, load_engine
from tracenet_runtime.engines.onnx_files import external_locations
from tracenet_runtime.errors import BundleError, EngineUnavailable, OutOfMemory, is_out_of_memory
from tracenet_runtime.graph.schedule import Choice
from tracenet_runtime.segmenter import TapSegmenter


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny_bundle(tmp_path / "bundle")


@pytest.mark.parametrize("name", ["all", "P3", "warm"])
def test_onnx_runtime_agrees_with_numpy(
    folder: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    bundle = Bundle.open(folder)
    schedule = next(v for v in bundle.manifest.schedules if v.name == name)
    height, width = schedule.canvas
    photo = random_photo(2, height, width)
    replays = [
        replay_of(bundle.manifest, Choice.own(schedule), engine)
        for engine in (
            NumpyEngine(),
            load_engine("onnxruntime", bundle.program_files, EngineSettings(1))[0],
        )
    ]
    for tap in ((0, 0), (41, 30), (width - 1, height - 1)):
        queries = [replay.answer_query(replay.encode(photo), tap) for replay in replays]
        for level in range(len(replays[0].levels)):
            assert queries[0].levels[level].score == pytest.approx(
                queries[1].levels[level].score, abs=1e-5
            )
            for mask in range(len(schedule.graph.windows)):
                a, b = (
                    replay.compute_mask(query, level, mask).probability
                    for replay, query in zip(replays, queries, strict=True)
                )
                assert np.abs(a - b).max() < 1e-3
    assert capfd.readouterr() == ("", "")


def test_only_the_programs_asked_for_are_opened(folder: Path) -> None:
    bundle = Bundle.open(folder)
    whole = {"image": np.zeros((1, 3, 64, 96), np.float32)}
    engine, _ = load_engine("onnxruntime", bundle.program_files, EngineSettings(1), ["trunk_whole"])
    assert set(engine.run("trunk_whole", whole)) == {"p3", "p4"}
    with pytest.raises(KeyError):
        engine.run("features_all", whole)


def test_a_broken_program_of_another_schedule_does_no_harm(folder: Path) -> None:
    (folder / "programs" / "trunk_whole.onnx").write_bytes(b"hello")
    write_manifest(folder, read_manifest(folder))
    TapSegmenter.load(folder, threads=1)
    with pytest.raises(BundleError, match="trunk_whole"):
        TapSegmenter.load(folder, threads=1, schedule="warm")


def test_unknown_engine(folder: Path) -> None:
    with pytest.raises(EngineUnavailable, match="engines are coreml, coreml-reference, litert, "):
        load_engine("tpu", Bundle.open(folder).program_files, EngineSettings())


def test_engine_for_another_target(folder: Path) -> None:
    manifest = read_manifest(folder)
    manifest["target"] = "coreml"
    write_manifest(folder, manifest)
    with pytest.raises(EngineUnavailable, match="runs onnx bundles and this one is for coreml"):
        TapSegmenter.load(folder, engine="onnxruntime")


def test_the_engine_is_that_of_the_target(folder: Path) -> None:
    segmenter = TapSegmenter.load(folder, threads=1)
    report = segmenter.engine_report
    assert report is not None
    assert report.name == "onnxruntime"
    assert report.requested == EngineSettings(threads=1)
    assert report.actual == {"version": onnxruntime.__version__, "threads": 1}


def test_a_target_without_an_engine(folder: Path) -> None:
    manifest = read_manifest(folder)
    manifest["target"] = "abacus"
    write_manifest(folder, manifest)
    with pytest.raises(EngineUnavailable, match="No engine runs bundles for 'abacus'"):
        TapSegmenter.load(folder)


def test_compute_units_are_for_core_ml(folder: Path) -> None:
    with pytest.raises(EngineUnavailable, match="onnxruntime has no compute units"):
        TapSegmenter.load(folder, compute_units="cpu_only")


def test_engine_of_another_system(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    manifest = read_manifest(folder)
    manifest["target"] = "coreml"
    write_manifest(folder, manifest)
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(EngineUnavailable, match=r"coreml does not run on this .* coreml-reference"):
        TapSegmenter.load(folder)


def test_engine_that_is_not_installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EngineUnavailable, match=r"pip install 'tracenet\[onnxruntime\]'"):
        TapSegmenter.load(folder)


@pytest.mark.parametrize("does", ["open", "run"])
def test_memory_that_is_refused_is_no_fault_of_the_bundle(
    folder: Path, monkeypatch: pytest.MonkeyPatch, does: str
) -> None:
    def refuses(*arguments: Any, **options: Any) -> Any:
        raise RuntimeError("Non-zero status: Failed to allocate memory for requested buffer")

    bundle = Bundle.open(folder)
    session = onnxruntime.InferenceSession
    monkeypatch.setattr(session, "__init__" if does == "open" else "run", refuses)
    with pytest.raises(OutOfMemory, match=f"not enough memory to {does} the program 'trunk_whole'"):
        load_engine("onnxruntime", bundle.program_files, EngineSettings(1), ["trunk_whole"])[0].run(
            "trunk_whole", {"image": np.zeros((1, 3, 64, 96), np.float32)}
        )


@pytest.mark.parametrize(
    ("error", "is_told"),
    [
        (MemoryError(), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("[enforce fail]\nDefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("Available memory of 1 is smaller than requested bytes of 2"), True),
        (RuntimeError("Failed to allocate tensors"), False),
        (OSError(errno.ENOENT, "No such file or directory"), False),
    ],
)
def test_how_refused_memory_is_told(error: Exception, is_told: bool) -> None:
    assert is_out_of_memory(error) == is_told
    wrapped = ValueError("another")
    wrapped.__cause__ = error
    assert is_out_of_memory(wrapped) == is_told


def test_a_bundle_whose_path_is_not_utf8(folder: Path) -> None:
    other = folder.with_name(os.fsdecode(b"caf\xe9"))
    try:
        folder.rename(other)
    except (OSError, ValueError):
        pytest.skip("this system has no such names")
    with pytest.raises(BundleError, match=r"path of the bundle is not UTF-8.*caf\\udce9"):
        TapSegmenter.load(other)


def model_with_weights_in(location: str) -> onnx.ModelProto:
    tensor = TensorProto(
        name="w", data_type=TensorProto.FLOAT, dims=[3], data_location=TensorProto.EXTERNAL
    )
    for key, value in (("location", location), ("offset", "0"), ("length", "12")):
        tensor.external_data.add(key=key, value=value)
    tensors: dict[str, list[dict[str, Any]]] = {
        "inputs": [{"name": "x", "shape": [3]}],
        "outputs": [{"name": "y", "shape": [3]}],
    }
    return make_model("g", tensors, [helper.make_node("Add", ["x", "w"], ["y"])], [tensor])


@pytest.mark.parametrize("kind", ["parent", "absolute", "unlisted", "dotted"])
def test_weights_outside_the_bundle_are_refused(folder: Path, kind: str) -> None:
    secret = folder.parent / "secret.bin"
    secret.write_bytes(bytes(12))
    location = {
        "parent": "../../secret.bin",
        "absolute": str(secret),
        "unlisted": "hidden.bin",
        "dotted": "../programs/weights.bin",
    }[kind]
    onnx.save_model(model_with_weights_in(location), folder / "programs" / "trunk.onnx")
    write_manifest(folder, read_manifest(folder))
    (folder / "programs" / "hidden.bin").write_bytes(bytes(12))
    with pytest.raises(BundleError, match="does not list"):
        TapSegmenter.load(folder)


def test_external_locations_are_found_wherever_a_tensor_can_be() -> None:
    def tensor(location: str) -> TensorProto:
        return model_with_weights_in(location).graph.initializer[0]

    def graph(location: str) -> onnx.GraphProto:
        return helper.make_graph([], "g", [], [], [tensor(location)])

    model = model_with_weights_in("initializer")
    node = model.graph.node[0]
    node.attribute.append(helper.make_attribute("t", tensor("attribute")))
    node.attribute.append(helper.make_attribute("ts", [tensor("attributes")]))
    node.attribute.append(helper.make_attribute("g", graph("subgraph")))
    node.attribute.append(helper.make_attribute("gs", [graph("subgraphs")]))
    model.graph.sparse_initializer.add().values.CopyFrom(tensor("sparse values"))
    model.graph.sparse_initializer.add().indices.CopyFrom(tensor("sparse indices"))
    sparse = onnx.SparseTensorProto(values=tensor("sparse attribute"))
    node.attribute.append(helper.make_attribute("s", sparse))
    model.training_info.add().algorithm.CopyFrom(graph("training"))
    function = model.functions.add()
    function.node.add().attribute.append(helper.make_attribute("t", tensor("function")))
    function.attribute_proto.append(helper.make_attribute("t", tensor("default")))
    assert external_locations(model.SerializeToString()) == {
        "initializer",
        "attribute",
        "attributes",
        "subgraph",
        "subgraphs",
        "sparse values",
        "sparse indices",
        "sparse attribute",
        "training",
        "function",
        "default",
    }


def test_model_that_is_no_model(folder: Path) -> None:
    path = folder / "programs" / "trunk.onnx"
    for content in (b"hello, I am no protobuf", b"", path.read_bytes()[:-20]):
        path.write_bytes(content)
        write_manifest(folder, read_manifest(folder))
        with pytest.raises(BundleError, match="trunk"):
            TapSegmenter.load(folder)


def test_model_that_is_not_the_declared_program(folder: Path) -> None:
    programs = folder / "programs"
    (programs / "trunk.onnx").write_bytes((programs / "head_all.onnx").read_bytes())
    write_manifest(folder, read_manifest(folder))
    with pytest.raises(BundleError, match="trunk"):
        TapSegmenter.load(folder)


SHARED_ARENA = """
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

from tracenet_runtime.engines import onnxruntime as engine


def resident():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024


def session():
    shape = [16, 1 << 20]  # 64 MB a tensor
    nodes = [
        helper.make_node("Expand", ["x", "shape"], ["a"]),
        helper.make_node("Softplus", ["a"], ["b"]),
        helper.make_node("ReduceMax", ["b"], ["y"], keepdims=0),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [])
    sizes = helper.make_tensor("shape", TensorProto.INT64, [2], shape)
    graph = helper.make_graph(nodes, "g", [x], [y], [sizes])
    opset = [helper.make_opsetid("", 18)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=9)
    return onnxruntime.InferenceSession(model.SerializeToString(), engine.session_options(1))


if sys.argv[1] == "app":
    kind = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR
    memory = onnxruntime.OrtMemoryInfo("Cpu", kind, 0, onnxruntime.OrtMemType.DEFAULT)
    onnxruntime.create_and_register_allocator(memory, None)
engine._register_arena()
engine._register_arena()
before = resident()
for one in [session() for _ in range(3)]:
    value = one.run(None, {"x": np.ones(1, np.float32)})[0]
print(resident() - before, value)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("registered_by", ["us", "app"])
def test_sessions_share_one_arena(registered_by: str) -> None:
    """Three sessions of 64 MB each take it once, whoever made the arena."""
    command = [sys.executable, "-c", SHARED_ARENA, registered_by]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    megabytes, value = map(float, done.stdout.split())
    assert value == pytest.approx(np.log1p(np.e))
    assert 60 < megabytes < 120
