"""How many cores a process may use, and the warning of more threads than that."""

import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from runtime_fixtures import write_tiny_bundle

from tracenet_runtime import cores
from tracenet_runtime.cores import ThreadsWarning, default_threads, usable_cores, warn_of_threads
from tracenet_runtime.segmenter import TapSegmenter
from tracenet_runtime.tool import run_tool


@pytest.fixture(autouse=True)
def _not_yet_warned() -> Iterator[None]:
    warn_of_threads.cache_clear()
    yield
    warn_of_threads.cache_clear()


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of control groups on a machine of eight cores."""
    monkeypatch.setattr(cores, "CGROUPS", tmp_path / "sys")
    monkeypatch.setattr(cores, "_OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    return tmp_path


def write(groups: Path, own: str, files: dict[str, str]) -> None:
    (groups / "own").write_text(own)
    for name, content in files.items():
        path = groups / "sys" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


V1 = "4:memory:/a/b\n3:cpu,cpuacct:/a/b\n0::/\n"
PERIOD = {f"cpu,cpuacct/{group}cpu.cfs_period_us": "100000\n" for group in ("", "a/b/")}


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n"}, 8),
        ("0::/a/b\n", {"a/b/cpu.max": "200000 100000\n"}, 2),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "250000 100000\n"}, 3),
        ("0::/a/b\n", {"a/b/cpu.max": "50000 100000\n"}, 1),
        ("0::/a/b\n", {"a/b/cpu.max": "1600000 100000\n"}, 8),
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        # The path is that of the host, which a container does not see.
        ("0::/docker/x\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/a\n", {"a/cpu.max": "nonsense"}, 8),
        ("0::/a\n", {}, 8),
        (V1, PERIOD | {"cpu,cpuacct/a/b/cpu.cfs_quota_us": "-1\n"}, 8),
        (V1, PERIOD | {"cpu,cpuacct/a/b/cpu.cfs_quota_us": "150000\n"}, 2),
        (V1, PERIOD | {"cpu,cpuacct/cpu.cfs_quota_us": "100000\n"}, 1),
    ],
)
def test_cores_that_a_container_leaves(
    groups: Path, own: str, files: dict[str, str], expected: int
) -> None:
    write(groups, own, files)
    assert usable_cores() == expected
    assert default_threads() == min(2, expected)


@pytest.mark.skipif(sys.platform != "linux", reason="others have no affinity")
def test_cores_that_a_process_is_pinned_to(groups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3})
    assert usable_cores() == 1  # and no file says anything
    write(groups, "0::/\n", {"cpu.max": "200000 100000\n"})
    assert usable_cores() == 1


def test_more_threads_are_warned_of_once(groups: Path, tmp_path: Path) -> None:
    write(groups, "0::/\n", {"cpu.max": "100000 100000\n"})
    folder = write_tiny_bundle(tmp_path / "bundle")
    with pytest.warns(ThreadsWarning, match="3 threads on 1 core, .* ask for at most 1") as told:
        TapSegmenter.load(folder, threads=3)
    assert [warning.filename for warning in told] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TapSegmenter.load(folder, threads=3)
        segmenter = TapSegmenter.load(folder)
        warn_of_threads(4, cores=4)
    assert segmenter.engine_report is not None
    assert segmenter.engine_report.requested.threads == 1


def test_a_tool_says_it_in_a_sentence() -> None:
    code = """
import sys, warnings
from tracenet_runtime.cores import warn_of_threads
from tracenet_runtime.tool import run_tool

def work():
    warn_of_threads(8, 2)
    warn_of_threads(8, 2)
    warnings.warn("of another")

sys.exit(run_tool("tool", "extra", work))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")
    first, other = done.stderr.splitlines()
    assert first.startswith("tool: 8 threads on 2 cores, which are all that this process may use")
    assert other.endswith("UserWarning: of another")


def test_warnings_are_shown_as_before_when_a_tool_has_ended() -> None:
    before = warnings.showwarning
    assert run_tool("tool", "extra", lambda: None) == 0
    assert warnings.showwarning is before
