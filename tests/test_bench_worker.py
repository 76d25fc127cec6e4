"""Worker processes: what they answer, and what is said of those that die."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from export_fixtures import SmallExport, calls_of, macs_of

from tracenet_bench.device.constraint import Launcher
from tracenet_bench.measure import models
from tracenet_bench.measure.photos import DecodedPhoto
from tracenet_bench.measure.worker import Worker, WorkerFailed
from tracenet_bench.measure.worker_process import Server
from tracenet_bench.report.schema import Failure, Photo

PROFILES = Path(__file__).parent.parent / "benchmarks/devices"
COMMAND = Launcher().command("tracenet_bench.measure.worker_process")

SEGMENT = '''
"""A model that prints, kills itself, runs out of memory or answers, by where it is tapped."""
import os, signal, sys
import numpy as np
print("imported")
def segment(photo, at):
    x, y = at
    print("tapped", flush=True)
    os.write(1, b"from a library\\n")
    sys.stdin.read()
    if x == 1: os.kill(os.getpid(), signal.SIGKILL)
    if x == 2: os._exit(7)
    if x == 3: raise MemoryError
    if x == 4: return "a mask"
    return np.zeros(photo.shape[:2], bool)
'''


@pytest.fixture
def outside(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "model.py").write_text(SEGMENT)
    return {"kind": "outside", "where": f"{tmp_path}/model.py:segment", "threads": 1}


@pytest.fixture
def photo(tmp_path: Path) -> DecodedPhoto:
    path = tmp_path / "photo.npy"
    np.save(path, np.zeros((6, 9, 3), np.uint8))
    return DecodedPhoto(Photo("photo", 6, 9), path)


def test_a_library_may_print_and_read(
    tmp_path: Path, outside: dict[str, Any], photo: DecodedPhoto
) -> None:
    with Worker(COMMAND, 1, tmp_path / "log") as worker:
        loaded = worker.ask("load", "load", model=outside, observed=False)
        assert loaded["engine_says"] == {}
        assert loaded["milliseconds"] > 0
        worker.ask("photo", "photo", path=str(photo.path))
        tapped = worker.ask("tap", "tap", at=[0, 0])
        assert tapped["milliseconds"] > 0
        assert (tapped["stages"], tapped["macs"]) == ({}, None)
        stream = worker.ask("stream", "stream", taps=[[0, 0], [0, 1]], seconds=0)
        assert stream["taps"] == 2  # each equally often
        assert worker.ask("memory", "memory")["peak"] > 1_000_000
    said = (tmp_path / "log").read_text()
    assert said.count("from a library") == 3
    assert "imported" in said


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (1, "the process was killed, as systems do that are out of memory"),
        (2, "the process ended with code 7"),
        (3, "out of memory"),
        (4, "it must give a numpy bool array, 6 x 9"),
    ],
)
def test_a_tap_that_fails_is_a_failure_with_its_stage(
    tmp_path: Path, outside: dict[str, Any], photo: DecodedPhoto, x: int, said: str
) -> None:
    with Worker(COMMAND, 1, tmp_path / "log") as worker:
        worker.ask("load", "load", model=outside, observed=False)
        worker.ask("photo", "photo", path=str(photo.path))
        with pytest.raises(WorkerFailed) as failed:
            worker.ask("first tap", "tap", at=[x, 0])
        assert failed.value.failure.stage == "first tap"
        assert said in failed.value.failure.message
        if x <= 2:
            with pytest.raises(WorkerFailed) as again:
                worker.ask("tap", "tap", at=[0, 0])
            assert again.value.failure.stage == "tap"


def test_a_worker_that_cannot_start_says_why(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('no such thing')"]
    with Worker(command, 1, tmp_path / "log") as worker:
        with pytest.raises(WorkerFailed) as failed:
            worker.ask("load", "load")
        assert failed.value.failure == Failure(
            "load", "the process ended with code 1: no such thing"
        )


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"kind": "outside", "where": "nowhere.py:segment"}, "nowhere.py does not exist"),
        ({"kind": "bundle", "bundle": "nowhere", "engine": None}, "no bundle folder at nowhere"),
    ],
)
def test_what_cannot_be_loaded_is_one_sentence(
    tmp_path: Path, model: dict[str, Any], said: str
) -> None:
    with Worker(COMMAND, 1, tmp_path / "log") as worker:
        with pytest.raises(WorkerFailed) as failed:
            worker.ask("load", "load", model=model, observed=False)
        assert failed.value.failure.stage == "load"
        assert said in failed.value.failure.message
        assert "\n" not in failed.value.failure.message


def test_a_bundle_names_the_call_that_was_running(
    small: SmallExport, photo: DecodedPhoto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the process that measures memory, where it costs nothing to say so before each call."""
    model = {
        "kind": "bundle", "bundle": str(small.folder), "engine": None, "schedule": "full",
        "canvas": None, "threads": 1,
    }  # fmt: skip
    said: list[dict[str, Any]] = []
    server = Server(said.append)
    # Here, and not in a process of its own, its log would go on in the tests after this one.
    monkeypatch.setattr(models, "let_onnxruntime_tell_of_its_arenas", lambda: None)
    loaded = server.answer({"command": "load", "model": model, "observed": True})
    assert loaded["engine_says"]["threads"] == 1
    server.answer({"command": "photo", "path": str(photo.path)})
    tapped = server.answer({"command": "tap", "at": [3, 3]})
    (encode,) = calls_of(small.schedule("full"), "photo")
    (head,) = (call["program"] for call in calls_of(small.schedule("full"), "window"))
    assert said == [{"stage": f"engine/{name}"} for name in (encode["program"], head)]
    assert (tapped["stages"], tapped["macs"]) == ({}, None)  # asked for, they might take memory
    server.answer({"command": "load", "model": model, "observed": False})
    tapped = server.answer({"command": "tap", "at": [3, 3]})
    assert len(said) == 2
    assert set(tapped["stages"]) == {
        "canvas", "cut", "mask", "paste", f"engine/{encode['program']}", f"engine/{head}",
    }  # fmt: skip
    assert 0 < sum(tapped["stages"].values()) <= tapped["milliseconds"]
    macs = macs_of(small, "full")
    assert tapped["macs"] == macs["encode"] + macs["query"] + macs["masks"]["all"]


def test_a_worker_that_never_answers_is_ended(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    with Worker(command, 1, tmp_path / "log", patience=0.2) as worker:
        with pytest.raises(WorkerFailed) as failed:
            worker.ask("load", "load")
        assert failed.value.failure == Failure(
            "load", "there was no answer within 0.2 s, so the process was ended"
        )


def test_the_stage_that_was_named_last_is_that_of_the_failure(tmp_path: Path) -> None:
    lines = json.dumps({"stage": "engine/a"}) + "\\n" + json.dumps({"stage": "engine/b"}) + "\\n"
    code = f"import os, sys; input(); print({lines!r}, end='', flush=True); os.kill(os.getpid(), 9)"
    with Worker(
        [sys.executable, "-c", code.replace("\\\\n", "\\n")], 1, tmp_path / "log"
    ) as worker:
        with pytest.raises(WorkerFailed) as failed:
            worker.ask("tap", "tap")
        assert failed.value.failure.stage == "engine/b"


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (MemoryError(), "out of memory"),
        (RuntimeError("std::bad_alloc"), "out of memory: std::bad_alloc"),
        (ValueError("odd\nand more"), "ValueError: odd"),
        (
            ModuleNotFoundError("No module", name="nothere.sub"),
            "nothere is not installed; run: pip install 'tracenet[bench]'",
        ),
        (ModuleNotFoundError("No module", name="tracenet.x"), "ModuleNotFoundError: No module"),
    ],
)
def test_errors_in_words(raised: Exception, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: Server, request: Any) -> Any:
        raise raised

    monkeypatch.setattr(Server, "do_memory", fails)
    assert Server(print).answer({"command": "memory"})["error"].startswith(said)


def test_memory_that_an_engine_lacked_is_named_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the engine's error was wrapped into."""

    def fails(self: Server, request: Any) -> Any:
        try:
            raise RuntimeError("Non-zero status: Failed to allocate memory for requested buffer")
        except RuntimeError as error:
            raise ValueError("cannot run the program 'one'; export again") from error

    monkeypatch.setattr(Server, "do_memory", fails)
    said = Server(print).answer({"command": "memory"})["error"]
    assert said == "out of memory: cannot run the program 'one'"


def test_a_worker_ends_with_the_benchmark_and_not_by_ctrl_c() -> None:
    process = subprocess.Popen(
        COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write('{"command": "memory"}\n')
    process.stdin.flush()
    assert "peak" in process.stdout.readline()
    os.kill(process.pid, signal.SIGINT)
    process.stdin.write('{"command": "memory"}\n')
    process.stdin.flush()
    assert "peak" in process.stdout.readline()
    process.stdin.close()
    assert process.wait(20) == 0
    process.stdout.close()


def test_nothing_is_imported_before_the_clock_of_a_load(tmp_path: Path) -> None:
    """Limited to a device or not: of ours what limits and reads commands, and no other package."""
    profile = tmp_path / "phone.toml"
    shutil.copy(PROFILES / "helio-x10.toml", profile)
    limited = [Launcher()] + [Launcher.of(str(profile))] * (sys.platform == "linux")
    for number, limits in enumerate(limited):
        python, *arguments = limits.command("tracenet_bench.measure.worker_process")
        log = tmp_path / f"{number}.log"
        with Worker([python, "-X", "importtime", *arguments], 1, log) as worker:
            worker.start()
            imported = {line.rpartition("|")[2].strip() for line in log.read_text().splitlines()}
            assert "tracenet_bench" in imported
            ours = {name for name in imported if name.startswith("tracenet")}
            assert ours <= {
                "tracenet_bench",
                "tracenet_bench.device",
                "tracenet_bench.device.constrained_process",
                "tracenet_bench.measure",
            }
            assert imported.isdisjoint({"numpy", "PIL"})
        limits.close()


def test_an_outside_model_does_not_pay_for_torch(outside: dict[str, Any]) -> None:
    code = f"""
import sys
from tracenet_bench.measure.models import open_model
open_model({outside!r})
print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_a_stopped_benchmark_kills_what_it_started(tmp_path: Path, outside: dict[str, Any]) -> None:
    with pytest.raises(KeyboardInterrupt), Worker(COMMAND, 1, tmp_path / "log") as worker:
        raise KeyboardInterrupt
    assert worker._process.returncode == -signal.SIGKILL
