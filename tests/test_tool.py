"""How the command-line tools end."""

from __future__ import annotations

import os
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
