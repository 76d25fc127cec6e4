"""What is said of the machine, its memory and its photos; never how fast it is."""

from __future__ import annotations

import errno
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from tracenet_bench.device.constraint import Launcher
from tracenet_bench.measure import ceilings, environment, memory, photos
from tracenet_bench.measure.environment import Activity
from tracenet_runtime.errors import OutputError, PhotoError
from tracenet_runtime.image.photo import load_photo

# The machine


def test_the_environment() -> None:
    found = environment.describe_environment(Activity(0.25, 0.5), {1: 2e9}, {1: 3e9})
    assert found.cpu != ""
    age = datetime.now(UTC) - datetime.fromisoformat(found.measured_at)
    assert timedelta() <= age < timedelta(minutes=1)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", found.measured_at)
    assert found.memory > 100_000_000
    assert 1 <= found.usable_cores <= found.logical_cores
    assert found.physical_cores is None or found.physical_cores <= found.logical_cores
    assert found.versions["python"] == platform.python_version()
    assert found.versions["numpy"] == np.__version__
    assert (found.busy_before, found.load_before) == (0.25, 0.5)
    assert found.peak_macs_per_second == {1: 2e9}
    assert found.load_after is None or found.load_after >= 0


def test_how_busy_the_machine_is_is_watched_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """The load average still has in it what has just ended."""
    watched = []

    def taken(seconds: float) -> float:
        watched.append(seconds)
        return 12.5

    monkeypatch.setattr(psutil, "cpu_percent", taken)
    monkeypatch.setattr(environment, "load_average", lambda: 7.5)
    assert Activity.now() == Activity(0.125, 7.5)
    assert watched == [environment.WATCHED_SECONDS]


@pytest.mark.skipif(sys.platform != "linux", reason="has another source")
def test_the_processor_names_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = tmp_path / "cpuinfo"
    told.write_text("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nmodel name\t: Other\n")
    monkeypatch.setattr(environment, "_CPUINFO", told)
    assert environment.cpu_name() == "Some CPU @ 2 GHz"
    told.write_text("processor\t: 0\n")
    assert environment.cpu_name() is None


def arm_core(number: int, part: str) -> str:
    return (
        f"processor\t: {number}\nCPU implementer\t: 0x41\nCPU architecture: 8\n"
        f"CPU variant\t: 0x1\nCPU part\t: {part}\nCPU revision\t: 0\n\n"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="has another source")
def test_a_processor_of_arm_has_a_board_and_numbers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told, board = tmp_path / "cpuinfo", tmp_path / "model"
    parts = ("0xd05", "0xd05", "0xd41", "0xd44")
    told.write_text("".join(arm_core(n, part) for n, part in enumerate(parts)))
    monkeypatch.setattr(environment, "_CPUINFO", told)
    monkeypatch.setattr(environment, "_BOARD", board)
    kinds = "implementer 0x41 part 0xd05, implementer 0x41 part 0xd41, implementer 0x41 part 0xd44"
    assert environment.cpu_name() == kinds
    board.write_text("Some Board Rev 1.2\0")
    assert environment.cpu_name() == f"Some Board Rev 1.2, {kinds}"


def test_the_governor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = tmp_path / "scaling_governor"
    monkeypatch.setattr(environment, "_GOVERNOR", told)
    assert environment.governor() is None
    told.write_text("powersave\n")
    assert environment.governor() == "powersave"


def test_git_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file.py"
    file.write_text("first")
    assert environment.git_state(file) == (None, None)  # no tree

    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init")
    assert environment.git_state(file) == (None, None)  # not tracked
    git("add", "file.py")
    git("commit", "-m", "first")
    assert environment.git_state(file) == (git("rev-parse", "HEAD"), False)
    file.write_text("second")
    assert environment.git_state(file) == (git("rev-parse", "HEAD"), True)
    monkeypatch.setenv("PATH", "")  # no git
    assert environment.git_state(file) == (None, None)


# Memory


def test_the_peak_is_that_of_the_process_even_after_it_gave_memory_back() -> None:
    code = (
        "from tracenet_bench.measure.memory import peak_resident\n"
        "before = peak_resident()\n"
        "held = b'x' * 80_000_000\n"
        "del held\n"
        "print(before, peak_resident())"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    before, after = map(int, done.stdout.split())
    assert 70_000_000 < after - before < 100_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="has another source")
def test_without_the_kernels_mark(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    marked = memory.peak_resident()
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "nowhere")
    assert memory.peak_resident() >= marked // 2


def test_a_bare_interpreter_is_small_whatever_this_process_holds() -> None:
    held = np.ones(100_000_000, np.uint8)
    assert 1_000_000 < memory.interpreter_memory() < 60_000_000
    assert held[-1] == 1


TWO_PRODUCTS = """
import numpy as np, onnxruntime
from onnx import TensorProto, helper
from tracenet_bench.measure.models import let_onnxruntime_tell_of_its_arenas
from tracenet_runtime.engines.onnxruntime import session_options

let_onnxruntime_tell_of_its_arenas()
a, b = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1000, 1000]) for n in "ab")
products = [helper.make_node("MatMul", ["a", "a"], ["c"]), helper.make_node("MatMul", "ca", "b")]
graph = helper.make_graph(products, "products", [a], [b])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
session = onnxruntime.InferenceSession(model.SerializeToString(), session_options(1))
session.run(None, {"a": np.ones((1000, 1000), np.float32)})
"""


def test_arenas_by_the_log_of_onnxruntime(tmp_path: Path) -> None:
    """Its real log: a release that words it otherwise makes this fail, and the figure None."""
    log = tmp_path / "log"
    with log.open("wb") as printed:
        subprocess.run([sys.executable, "-c", TWO_PRODUCTS], check=True, stderr=printed)
    held = memory.arenas_logged(log)
    assert held is not None
    assert 8_000_000 <= held < 40_000_000  # two products of 4 MB


def test_arenas_that_nobody_spoke_of(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("Extended allocation by 7 bytes")
    assert memory.arenas_logged(log) is None
    log.write_text("Creating BFCArena for Cpu")
    assert memory.arenas_logged(log) == 0


# The best that the machine can do


def test_ceilings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceilings, "_SIDE", 64)
    monkeypatch.setattr(ceilings, "_COPIED_BYTES", 1 << 16)
    assert ceilings.peak_macs_per_second(1) > 0
    assert ceilings.bandwidth(2) > 0


def test_the_product_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceilings, "_SIDE", 3)
    random = np.random.default_rng(0)
    left, right = random.random((2, 3, 3), np.float32)
    (by_engine,) = ceilings._matrix_product(left, right, 1)()  # type: ignore[misc]
    np.testing.assert_allclose(by_engine, left @ right, rtol=1e-5)
    monkeypatch.setattr(ceilings.importlib.util, "find_spec", lambda name: None)
    np.testing.assert_allclose(ceilings._matrix_product(left, right, 1)(), left @ right)


def test_the_best_of_several(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 5.0, 10.0, 12.0, 20.0, 29.0])
    monkeypatch.setattr(ceilings, "_ATTEMPTS", 3)
    monkeypatch.setattr(ceilings.time, "perf_counter", lambda: next(clock))
    assert ceilings.best_seconds(lambda: None) == 2.0


def test_a_ceiling_for_each_number_of_threads(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that cannot be measured within a device's limits is left out."""
    measures = "import os; print('{\"macs\": 1e9, \"bytes\":', os.environ['OMP_NUM_THREADS'], '}')"

    def command(self: Launcher, module: str, *arguments: str) -> list[str]:
        assert module == "tracenet_bench.measure.ceilings"
        return [
            sys.executable,
            "-c",
            measures if arguments == ("2",) else "import sys; sys.exit('no room for it')",
        ]

    monkeypatch.setattr(Launcher, "command", command)
    assert ceilings.measure_ceilings(Launcher(), (2, 4)) == ({2: 1e9}, {2: 2})
    said = "the machine's peak is not known with 4 thread(s): no room for it"
    assert said in capsys.readouterr().err


# Photos


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, size in (("b.jpg", (40, 30)), ("a.PNG", (8, 6)), ("c.jpeg", (10, 20))):
        Image.new("RGB", size, (10, 200, 30)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no photo")
    return tmp_path


def test_photos_of_a_folder_in_the_order_of_their_names(folder: Path) -> None:
    assert [path.name for path in photos.find_photos(folder, 9)] == ["a.PNG", "b.jpg", "c.jpeg"]
    assert [path.name for path in photos.find_photos(folder, 2)] == ["a.PNG", "b.jpg"]
    assert photos.find_photos(folder / "b.jpg", 9) == [folder / "b.jpg"]
    (folder / "._a.jpg").write_bytes(b"what a Mac leaves beside a file")
    (folder / "a.jpg").mkdir()
    Image.new("RGB", (8, 6)).save(folder / "d.webp")
    found = photos.find_photos(folder, 9)
    assert [path.name for path in found] == ["a.PNG", "b.jpg", "c.jpeg", "d.webp"]
    assert len(photos.decode_photos(found, (), folder)) == 4
    assert not photos.is_annotated(folder)


def test_instance_maps_are_no_photos(folder: Path) -> None:
    (folder / "index.jsonl").write_text("{}")
    assert [path.name for path in photos.find_photos(folder, 9)] == ["b.jpg", "c.jpeg"]
    assert photos.is_annotated(folder)
    assert not photos.is_annotated(None)


def test_a_folder_without_photos(tmp_path: Path) -> None:
    with pytest.raises(photos.PhotosError, match=r"has no photo, \.jpg or \.jpeg or \.png"):
        photos.find_photos(tmp_path, 9)


def test_decoded_once(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    out = tmp_path_factory.mktemp("decoded")
    found = photos.decode_photos(photos.find_photos(folder, 9), (), out)
    assert [(v.photo.source, v.photo.height, v.photo.width) for v in found] == [
        ("a.PNG", 6, 8), ("b.jpg", 30, 40), ("c.jpeg", 20, 10),
    ]  # fmt: skip
    pixels = np.load(found[1].path)
    np.testing.assert_array_equal(pixels, load_photo(folder / "b.jpg"))
    assert found[1].bytes == pixels.nbytes


def test_the_first_photo_in_several_sizes(folder: Path) -> None:
    found = photos.decode_photos([folder / "b.jpg", folder / "a.PNG"], (0.0003, 0.03), folder)
    assert [(v.photo.height, v.photo.width) for v in found] == [(15, 20), (150, 200)]
    assert found[1].photo.source == "b.jpg at 0.03 megapixels"
    assert np.load(found[1].path).shape == (150, 200, 3)


def test_a_full_temporary_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, pixels: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OutputError, match=r"b\.jpg, decoded, .*: No space left on device; make"):
        photos.decode_photos([folder / "b.jpg"], (), folder)


def test_a_photo_that_cannot_be_decoded(folder: Path) -> None:
    (folder / "b.jpg").write_bytes(b"damaged")
    with pytest.raises(PhotoError):
        photos.decode_photos([folder / "b.jpg"], (), folder)
