"""The command line of tracenet-bench: what is checked first, and that nothing measured is lost."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bench_reports import changed, realistic, steady
from tool_checks import assert_one_sentence

from tracenet_bench import cli
from tracenet_bench.arguments import build_parser
from tracenet_bench.device.profile import shipped_profiles
from tracenet_bench.measure import benchmark
from tracenet_bench.report import html, markdown
from tracenet_bench.report.file import read_report, report_to_dict, write_report
from tracenet_bench.report.schema import Report

ARGUMENTS = ("--bundle", "some")


@pytest.fixture
def measures(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Report]], None]:
    """Sets what is done instead of measuring."""
    return lambda work: monkeypatch.setattr(benchmark, "measure", lambda options: work())


def never() -> Report:
    raise AssertionError("it was measured")


@pytest.mark.parametrize(
    ("option", "name", "said"),
    [
        ("--out", f"{'x' * 251}.json", "cannot be written: File name too long"),
        ("--html", f"{'x' * 251}.html", "cannot be written: File name too long"),
        ("--compare", "old.json", "steady.samples are not times above zero"),
    ],
)
def test_nothing_is_measured_that_would_be_lost(
    measures: Any, tmp_path: Path, capsys: Any, option: str, name: str, said: str
) -> None:
    measures(never)
    empty = changed(steady=replace(steady(44, 1), samples=()))
    (tmp_path / "old.json").write_text(json.dumps(report_to_dict(empty)))
    assert_one_sentence(cli.main, [*ARGUMENTS, option, str(tmp_path / name)], said, capsys)


def test_one_file_is_not_written_over_the_other(tmp_path: Path, capsys: Any) -> None:
    same = ["--out", str(tmp_path / "out"), "--html", str(tmp_path / "no" / ".." / "out")]
    with pytest.raises(SystemExit) as caught:
        cli.main([*ARGUMENTS, *same])
    assert caught.value.code == 2
    assert "--out and --html name the same file; name two" in capsys.readouterr().err


@pytest.mark.parametrize("gone", ["out", "html"])
def test_what_was_measured_is_printed_though_it_cannot_be_written(
    measures: Any, tmp_path: Path, capsys: Any, gone: str
) -> None:
    """A folder vanishes in the meantime; the file in the other is written."""
    files = {kind: tmp_path / kind / "out" for kind in ("out", "html")}
    for file in files.values():
        file.parent.mkdir()

    def work() -> Report:
        shutil.rmtree(files[gone].parent)
        return realistic()

    measures(work)
    arguments = [word for kind, file in files.items() for word in (f"--{kind}", str(file))]
    assert cli.main([*ARGUMENTS, *arguments]) == 2
    shown = capsys.readouterr()
    assert markdown.markdown(realistic()) in shown.out
    assert "cannot be written: No such file or directory" in shown.err
    assert [kind for kind, file in files.items() if file.exists()] == [
        kind for kind in files if kind != gone
    ]


@pytest.mark.parametrize("module", [markdown, html])
def test_what_was_measured_is_written_though_it_cannot_be_shown(
    measures: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any
) -> None:
    def broken(*_: Any) -> str:
        raise RuntimeError

    measures(realistic)
    monkeypatch.setattr(module, module.__name__.rpartition(".")[2], broken)
    out, page = tmp_path / "out.json", tmp_path / "out.html"
    with pytest.raises(RuntimeError):
        cli.main([*ARGUMENTS, "--out", str(out), "--html", str(page)])
    assert read_report(out) == realistic()
    assert page.exists() == (module is markdown)


@pytest.mark.parametrize(
    ("factor", "cpu", "size", "code"),
    [
        (1, "AMD EPYC 7B13", 8_540_000, 0),
        (2, "AMD EPYC 7B13", 8_540_000, 1),
        (2, "another", 8_540_000, 2),
        (1, "another", 8_540_000, 2),
        (1, "another", 9_000_000, 1),  # a bundle is as large everywhere
    ],
)
def test_a_gate_passes_only_where_something_could_be_compared(
    measures: Any, tmp_path: Path, capsys: Any, factor: float, cpu: str, size: int, code: int
) -> None:
    old = tmp_path / "old.json"
    write_report(old, realistic())
    new = changed(steady=steady(44.1 * factor, 1), bundle_size=size)
    measures(lambda: replace(new, environment=replace(new.environment, cpu=cpu)))
    assert cli.main([*ARGUMENTS, "--compare", str(old)]) == code
    shown = capsys.readouterr()
    assert "Compared with the run before" in shown.out
    assert ("no time could be compared with" in shown.err) == (code == 2)


PRINTS_MUCH = """
import sys
from tracenet_runtime.tool import print_results, run_tool

def work():
    print_results("x" * 1_000_000)
    print_results("more")
    return int(sys.argv[1])

sys.exit(run_tool("some", "extra", work))
"""


@pytest.mark.parametrize("code", [0, 1])
def test_a_reader_that_has_enough_does_not_change_the_exit_code(code: int) -> None:
    tool = subprocess.Popen(
        [sys.executable, "-c", PRINTS_MUCH, str(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert tool.stdout is not None
    assert tool.stdout.read(10) == b"x" * 10
    tool.stdout.close()
    assert tool.wait(60) == code
    assert tool.stderr is not None
    assert tool.stderr.read() == b""
    tool.stderr.close()


def test_help_tells_defaults_and_profiles() -> None:
    told = " ".join(build_parser().format_help().split())
    for profile in shipped_profiles():
        assert profile in told
    defaults = {
        "--taps": 20, "--accuracy-taps": 5, "--warm-up": 3, "--limit-taps": 1000,
        "--limit-seconds": 120, "--seed": 0,
    }  # fmt: skip
    for option, default in defaults.items():
        described = told.split(f" {option} N ")[1].split(" --")[0]
        assert f"(default: {default})" in described
