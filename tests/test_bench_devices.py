"""Device profiles, and processes that are limited to them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tracenet_bench.device import profile
from tracenet_bench.device.constrained_process import constrain
from tracenet_bench.device.constraint import Constraint, ConstraintError, Launcher
from tracenet_bench.device.profile import ProfileError, load_profile, shipped_profiles
from tracenet_bench.measure.children import result_of
from tracenet_bench.measure.worker import Worker, WorkerFailed

if TYPE_CHECKING:
    from export_fixtures import SmallExport

ROOT = Path(__file__).parent.parent

MINE = """
description = "A phone"
year = 2020
memory = 4_000_000_000
bandwidth = 20e9

[[clusters]]
core = "Big"
cores = 1
clock = 3.0e9
simd_bits = 128
fma_units = 4

[[clusters]]
core = "Medium"
cores = 3
clock = 2.0e9
simd_bits = 64
fma_units = 2

[[sources]]
figures = [
  "year", "memory", "bandwidth", "Big.cores", "Big.clock", "Big.simd_bits", "Big.fma_units",
  "Medium.cores", "Medium.clock", "Medium.simd_bits", "Medium.fma_units",
]
url = "https://example.org/phone"
"""


def written(folder: Path, content: str) -> str:
    path = folder / "mine.toml"
    path.write_text(content)
    return str(path)


def test_shipped_profiles_are_whole() -> None:
    assert len(shipped_profiles()) == len(list((ROOT / "benchmarks/devices").glob("*.toml"))) >= 4
    for name in shipped_profiles():
        profile = load_profile(name)
        assert profile.name == name
        assert 2005 < profile.year < 2035
        assert 2**30 <= profile.memory <= 2**36
        assert 1 <= profile.cores <= 16
        assert all(1e9 < cluster.clock < 6e9 for cluster in profile.clusters)
        assert profile.bandwidth is None or 1e9 < profile.bandwidth < 2e11
    projectable = [name for name in shipped_profiles() if load_profile(name).peak(1) is not None]
    assert len(projectable) >= 3


def test_a_profile_of_ones_own(tmp_path: Path) -> None:
    profile = load_profile(written(tmp_path, MINE))
    assert (profile.name, profile.cores, profile.app_memory) == ("mine", 4, 2_000_000_000)
    big, medium = 4 * 4 * 3.0e9, 2 * 2 * 2.0e9
    assert profile.peak(1) == big
    assert profile.peak(2) == big + medium
    assert profile.peak(4) == profile.peak(99) == big + 3 * medium


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_profile_as_editors_save_it(encoding: str, tmp_path: Path) -> None:
    path = Path(written(tmp_path, MINE))
    path.write_text(MINE.replace("\n", "\r\n"), encoding=encoding, newline="")
    assert load_profile(str(path)).cores == 4


def test_equal_cores_may_differ_in_their_clock(tmp_path: Path) -> None:
    """A prime core is often one of the others with a higher clock."""
    content = MINE.replace('core = "Big"', 'core = "Medium"')
    content = content.replace('"Big.cores", "Big.clock", "Big.simd_bits", "Big.fma_units",', "")
    profile = load_profile(written(tmp_path, content))
    assert [(v.core, v.cores, v.clock) for v in profile.clusters] == [
        ("Medium", 1, 3.0e9), ("Medium", 3, 2.0e9),
    ]  # fmt: skip


def test_what_has_no_source_may_be_left_out(tmp_path: Path) -> None:
    content = MINE.replace("simd_bits = 128\nfma_units = 4\n", "").replace("bandwidth = 20e9\n", "")
    content = content.replace(' "bandwidth",', "").replace(' "Big.simd_bits", "Big.fma_units",', "")
    profile = load_profile(written(tmp_path, content))
    assert profile.bandwidth is None
    assert profile.peak(1) is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("year = 2020", "", "lacks 'year'"),
        ("year = 2020", "year = 2020\nram = 3", "unknown key 'ram'"),
        ("year = 2020", 'year = "2020"', "'year' must be a whole number above zero"),
        ("year = 2020", "year = true", "'year' must be a whole number above zero"),
        ("memory = 4_000_000_000", "memory = -1", "'memory' must be a whole number above zero"),
        ("bandwidth = 20e9", "bandwidth = 0", "'bandwidth' must be a number above zero"),
        ("bandwidth = 20e9", "bandwidth = inf", "'bandwidth' must be a number above zero"),
        ("bandwidth = 20e9", "bandwidth = nan", "'bandwidth' must be a number above zero"),
        ("bandwidth = 20e9", f"bandwidth = {10**400}", "'bandwidth' must be a number above zero"),
        ("memory = 4_000_000_000", f"memory = {10**400}", "'memory' must be a whole number above"),
        ("year = 2020", f"year = {'[' * 100_000}", "not valid TOML"),
        ('description = "A phone"', 'description = ""', "'description' must be a line of text"),
        (
            'core = "Big"\ncores = 1\nclock = 3.0e9',
            'core = "Medium"\ncores = 1\nclock = 2.0e9',
            "two clusters of the same core at the same clock; write them as one",
        ),
        ("cores = 1\n", "cores = 0\n", "clusters number 1: 'cores' must be a whole number"),
        ("clock = 2.0e9", "clock = '2 GHz'", "clusters number 2: 'clock' must be a number"),
        ("clock = 2.0e9", "clock = 2e9\nspeed = 2", "number 2 has the unknown key 'speed'"),
        ("simd_bits = 128\n", "", "both 'simd_bits' and 'fma_units'"),
        ("simd_bits = 128", "simd_bits = 100", "'simd_bits' must be a multiple of 32"),
        (' "bandwidth",', "", "no source for 'bandwidth'"),
        ('"Big.clock", ', "", "no source for 'Big.clock'"),
        ('"Big.clock", ', '"Big.clock", "price", ', "source for 'price', which it does not have"),
        ("https://example.org", "example.org", "'url' must begin with http"),
        ("[[clusters]]", "[[cluster]]", "unknown key 'cluster'"),
        ("year = 2020", "year = ", "not valid TOML"),
    ],
)
def test_malformed_profiles_are_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in MINE
    with pytest.raises(ProfileError) as refused:
        load_profile(written(tmp_path, MINE.replace(old, new)))
    assert said in str(refused.value)
    assert "mine.toml" in str(refused.value)


def test_a_profile_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=r"no device profile 'nokia'; name one of .*iphone-12"):
        load_profile("nokia")
    with pytest.raises(ProfileError, match="cannot be read: No such file"):
        load_profile(str(tmp_path / "none.toml"))
    (tmp_path / "latin.toml").write_bytes(b'description = "\xff"')
    with pytest.raises(ProfileError, match="not valid TOML"):
        load_profile(str(tmp_path / "latin.toml"))


def test_a_wheel_has_the_profiles_where_they_are_looked_for() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    (target,) = wheel["targets"]["wheel"]["force-include"].items()
    assert target == ("benchmarks/devices", "tracenet_bench/device/profiles")
    assert Path(profile.__file__).parent / "profiles" in profile._FOLDERS


# What a process is constrained to

READS_ITS_LIMITS = """
import json, os, resource, sys
from tracenet_bench.device.constrained_process import constrain
constrain(**json.loads(sys.argv[1]))
print(sorted(os.sched_getaffinity(0)), resource.getrlimit(resource.RLIMIT_DATA))
"""


def constrained(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("cores", [1, 64])
def test_a_process_is_pinned_and_limited(tmp_path: Path, cores: int) -> None:
    content = MINE.replace("cores = 3", f"cores = {cores}")
    path = written(tmp_path, content)
    constraint = Constraint(load_profile(path))
    here = sorted(os.sched_getaffinity(0))
    assert constraint.cores == min(len(here), cores + 1)
    assert constraint.device.profile_cores == cores + 1
    assert constraint.memory == 2_000_000_000
    if constraint.memory_by != "rlimit":
        pytest.skip("this system limits memory by cgroup")
    ended = constrained(READS_ITS_LIMITS, json.dumps(constraint.of_one_process()))
    assert ended.stderr == ""
    pinned = constraint.of_one_process()["cores"]
    assert len(pinned) == constraint.cores
    assert ended.stdout.strip() == f"{pinned} (2000000000, 2000000000)"
    assert sorted(os.sched_getaffinity(0)) == here
    device = constraint.device
    assert (device.profile, device.cores, device.memory) == (
        "mine",
        constraint.cores,
        2_000_000_000,
    )


@pytest.mark.parametrize(
    ("siblings", "pinned"),
    [
        (("0-1", "0-1", "2-3", "2-3"), {2: [1, 3], 3: [1, 2, 3], 4: [0, 1, 2, 3]}),
        (("0,2", "1,3", "0,2", "1,3"), {2: [2, 3], 3: [1, 2, 3]}),
        ((), {2: [2, 3], 3: [1, 2, 3]}),
    ],
)
def test_cores_that_are_one_in_truth_come_last(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    siblings: tuple[str, ...],
    pinned: dict[int, list[int]],
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 3})
    for core, text in enumerate(siblings):
        folder = tmp_path / f"cpu{core}/topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(f"{text}\n")
    for count, cores in pinned.items():
        path = written(tmp_path, MINE.replace("cores = 3", f"cores = {count - 1}"))
        constraint = Constraint(load_profile(path), topology=tmp_path)
        assert constraint.of_one_process()["cores"] == cores


def test_a_group_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a tree that looks like /sys/fs/cgroup; the kernel's part is not tested."""
    own = Path("/proc/self/cgroup").read_text().splitlines()
    path = next((v.removeprefix("0::") for v in own if v.startswith("0::")), None)
    if path is None:
        pytest.skip("this system has no cgroups of version 2")
    root = tmp_path / "fs"
    parent = (root / "below" / path.lstrip("/")).parent
    parent.mkdir(parents=True)
    profile = load_profile(written(tmp_path, MINE))
    constraint = Constraint(profile, root / "below")
    assert constraint.memory_by == "rlimit"
    (parent / "cgroup.procs").write_text("")
    (parent / "cgroup.subtree_control").write_text("cpu pids")
    assert constraint.memory_by == "rlimit"
    (parent / "cgroup.subtree_control").write_text("cpu memory pids")
    assert constraint.memory_by == "cgroup"
    monkeypatch.setattr(os, "sched_setaffinity", lambda process, cores: None)
    limits, other = constraint.of_one_process(), constraint.of_one_process()
    assert limits["group"] != other["group"]  # whatever ran before, and with what number
    constrain(**limits)
    group = Path(limits["group"])
    assert group.parent == parent
    of_another = parent / "tracenet-bench-1"
    of_another.mkdir()
    assert (group / "memory.max").read_text() == "2000000000"
    assert (group / "cgroup.procs").read_text() == str(os.getpid())
    constraint.close()
    assert group.is_dir()  # files here stand for a process that is in it
    for file in group.iterdir():
        file.unlink()
    constraint.close()
    assert not group.exists()
    assert of_another.is_dir()


def test_a_load_that_does_not_fit_fails_as_one(small: SmallExport, tmp_path: Path) -> None:
    """With little more memory than Python takes: the engine cannot be imported, or not opened."""
    memory = f"memory = {2 * (30 << 20)}"
    tiny = written(tmp_path, MINE.replace("memory = 4_000_000_000", memory))
    model = {
        "kind": "bundle", "bundle": str(small.folder), "engine": None, "schedule": "all",
        "canvas": None, "threads": 1,
    }  # fmt: skip
    command = Launcher.of(tiny).command("tracenet_bench.measure.worker_process")
    with (
        Worker(command, 1, tmp_path / "log") as worker,
        pytest.raises(WorkerFailed) as failed,
    ):
        worker.ask("load", "load", model=model, observed=True)
    assert failed.value.failure.stage == "load"
    # OpenBLAS gives up, Python raises MemoryError, or the loader of libraries cannot map one.
    assert re.search("memory|map segment", failed.value.failure.message, re.IGNORECASE)


def test_a_system_that_does_not_limit_ends_the_run(tmp_path: Path) -> None:
    """No process can be without any core; that it is not limited is no failure of a bundle."""
    limits = json.dumps({"cores": [], "memory": 1 << 30, "group": None})
    command = [
        sys.executable,
        "-m",
        "tracenet_bench.device.constrained_process",
        limits,
        "tracenet_bench.measure.worker_process",
    ]
    said = "The system does not limit a process to 0 cores and 1073741824 bytes"
    with (
        Worker(command, 1, tmp_path / "log") as worker,
        pytest.raises(ConstraintError, match=said),
    ):
        worker.start()
    with pytest.raises(ConstraintError, match=said):
        result_of(command, 1)


def test_small_stacks_leave_memory_for_the_rest() -> None:
    """The stack of a thread that is started after them is what RLIMIT_DATA counts."""
    script = """
import sys
from tracenet_bench.device.constrained_process import _use_small_stacks
def counted():
    (line,) = (v for v in open("/proc/self/status") if v.startswith("VmData"))
    return int(line.split()[1]) << 10
if sys.argv[1] == "small":
    _use_small_stacks()
import threading, _thread
stop = threading.Event()
before = counted()
threads = [threading.Thread(target=stop.wait) for _ in range(8)]
for thread in threads: thread.start()
print(counted() - before)
stop.set()
"""
    usual, small = (int(constrained(script, v).stdout) for v in ("usual", "small"))
    assert small < usual / 3


def test_other_systems_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(profile.TraceNetError, match="on Linux only"):
        Constraint(load_profile(written(tmp_path, MINE)))
