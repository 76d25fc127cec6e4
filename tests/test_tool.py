"""How the command-line tools end."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tracenet_runtime.tool import run_tool

WAITS = """
import os, signal, sys, tempfile, time
from tracenet_runtime.tool import run_tool
{ignored}

def work():
    with tempfile.TemporaryDirectory(dir=sys.argv[1]):
        print("working", flush=True)
        time.sleep(60)

sys.exit(run_tool("tool", "extra", work, lambda: "nothing is left"))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize(
    ("number", "ignored", "code"),
    [
        # Not inherited: a test run that is itself in the background would have it ignored.
        (signal.SIGINT, "signal.signal(signal.SIGINT, signal.default_int_handler)", 130),
        (signal.SIGTERM, "", 143),
        # As shells have it of what they start in the background.
        (signal.SIGTERM, "signal.signal(signal.SIGINT, signal.SIG_IGN)", 143),
    ],
)
def test_signals_that_end_it_leave_nothing(
    tmp_path: Path, number: int, ignored: str, code: int
) -> None:
    command = [sys.executable, "-c", WAITS.format(ignored=ignored), str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "working\n"
        assert len(list(tmp_path.iterdir())) == 1
        process.send_signal(number)
        assert process.wait(30) == code
        assert process.stderr.read() == "tool: nothing is left\n"
    assert list(tmp_path.iterdir()) == []


def test_sigterm_does_what_ctrl_c_is_made_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    """A training that then ends after its step; what was before is there again afterwards."""
    asked: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: asked.append(number))
    handler = signal.getsignal(signal.SIGTERM)
    try:

        def work() -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            assert asked == [signal.SIGINT]
            raise KeyboardInterrupt

        assert run_tool("tool", "extra", work) == 143
    finally:
        signal.signal(signal.SIGINT, before)
    assert signal.getsignal(signal.SIGTERM) is handler
    assert capsys.readouterr().err == "tool: stopped\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no forks")
def test_a_fork_of_a_tool_ends_as_processes_do() -> None:
    """Those that load photos are ended by SIGTERM; the tool's last words are not theirs."""
    code = """
import os, signal, time
from tracenet_runtime.tool import run_tool

def work():
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, b"begun")
        time.sleep(60)
        os._exit(0)
    os.read(reading, 5)
    os.kill(child, signal.SIGTERM)
    _, status = os.waitpid(child, 0)
    print(os.WTERMSIG(status))

run_tool("tool", "extra", work)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == (f"{int(signal.SIGTERM)}\n", "")


PRINTS = """
import sys
from tracenet_runtime.tool import ToolParser, print_results, run_tool

parser = ToolParser(prog="tool", description="Segments \\u5c71 by a tap.", epilog="example")
parser.add_argument("kept")
kept = parser.parse_args().kept

def work():
    print("a note", file=sys.stderr)
    with open(kept, "w") as file:
        file.write("kept")
    print_results("| \\u732b | 0.5 |\\ud800")
    return 1

sys.exit(run_tool("tool", "extra", work))
"""

CANNOT = "tool: standard output cannot be written (No space left on device); make room"


def shell(redirection: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """The tool above, its streams led by a shell."""
    command = shlex.join([sys.executable, "-c", PRINTS, *arguments])
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} {redirection}"],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"} | more,
    )


@pytest.mark.parametrize(
    ("encoding", "printed"),
    [
        ("utf-8", "| \u732b | 0.5 |\\ud800\n"),
        ("cp1252", "| \\u732b | 0.5 |\\ud800\n"),
        ("ascii", "| \\u732b | 0.5 |\\ud800\n"),
    ],
)
def test_what_an_encoding_lacks_is_printed_as_an_escape(
    tmp_path: Path, encoding: str, printed: str
) -> None:
    done = shell("", str(tmp_path / "kept"), PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stdout, done.stderr) == (1, printed, "a note\n")
    told = shell("", "--help", PYTHONIOENCODING=encoding)
    assert told.returncode == 0
    assert ("\u5c71" if encoding == "utf-8" else "\\u5c71") in told.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("redirection", "code", "said", "is_kept"),
    [
        (">/dev/full", 2, CANNOT, True),
        (">&-", 2, "tool: standard output is closed; lead it to a file", False),
        ("| true", 1, "", True),
        ("2>/dev/full", 1, "", True),
        ("2>&-", 1, "", True),
        (">/dev/full 2>&-", 2, "", True),
        (">&- 2>&-", 2, "", False),
    ],
)
def test_wherever_its_output_leads_nothing_else_is_lost(
    tmp_path: Path, redirection: str, code: int, said: str, is_kept: bool, unbuffered: str
) -> None:
    kept = tmp_path / "kept"
    done = shell(redirection, str(kept), PYTHONUNBUFFERED=unbuffered)
    assert done.returncode == code
    notes = [line for line in done.stderr.splitlines() if line != "a note"]
    assert len(notes) == bool(said)
    assert all(line.startswith(said) for line in notes)
    assert done.stdout in ("", "| \u732b | 0.5 |\\ud800\n")
    assert kept.exists() == is_kept


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("arguments", "redirection", "code", "said"),
    [
        (["--help"], ">/dev/full", 2, CANNOT),
        (["--help"], ">&-", 2, "tool: standard output is closed; lead it to a file"),
        (["--help"], "| true", 0, ""),
        (["--no"], "2>/dev/full", 2, ""),
        (["--no"], "2>&-", 2, ""),
    ],
)
def test_so_does_what_it_says_of_its_arguments(
    arguments: list[str], redirection: str, code: int, said: str, unbuffered: str
) -> None:
    done = shell(redirection, *arguments, PYTHONUNBUFFERED=unbuffered)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == bool(said)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps folders that are in use")
def test_what_the_system_refuses_is_one_sentence(tmp_path: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from tracenet_runtime.tool import run_tool

Path("gone").mkdir()
if sys.argv[1] == "gone":
    os.chdir("gone")
    os.rmdir("../gone")
sys.exit(run_tool("tool", "extra", lambda: Path(sys.argv[2]).resolve(strict=True)))
"""
    for arguments, said in (
        (["gone", "x"], "the folder that this was started in is gone; change to one that is there"),
        (["there", "x"], "the system refuses the use of"),
    ):
        folder = tmp_path / arguments[0]
        folder.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=folder,
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"tool: {said}")
        assert done.stderr.count("\n") == 1


def test_memory_that_is_refused_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        raise MemoryError

    assert run_tool("tool", "extra", work) == 2
    assert capsys.readouterr().err.startswith("tool: there is not enough memory for this; close")
