"""Processes that the benchmark starts: how long it waits for them, and why they ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Sequence
from typing import Any

from tracenet_bench.device.constrained_process import REFUSED
from tracenet_bench.device.constraint import ConstraintError

PATIENCE = 600.0
"""Seconds without a word; engines that run out of memory have been seen to wait for ever."""


class ChildFailedError(Exception):
    """A process gave no result; the message says why."""


def with_threads(threads: int) -> dict[str, str]:
    """The environment, for libraries that take their number of threads from there."""
    return os.environ | dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads)
    )


def result_of(command: Sequence[str], threads: int, patience: float = PATIENCE) -> Any:
    """What a process prints, read as JSON. It may take as long as it goes on to say something.

    Args:
        command: of the process; why it fails is the last line of its standard error.
        threads: for libraries that take their number of threads from the environment.
        patience: seconds without a word on standard error after which it is ended.

    Raises:
        ChildFailedError: it failed, or was ended.
        ConstraintError: the system does not limit it as it should.
    """
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=with_threads(threads)
    )
    heard: bytes | None = None
    with process:
        while True:
            try:
                printed, said = process.communicate(timeout=patience)
                break
            except subprocess.TimeoutExpired as silence:
                if silence.stderr == heard:
                    process.kill()
                    raise ChildFailedError(no_answer(patience)) from None
                heard = silence.stderr
            except BaseException:
                process.kill()  # nobody waits for what it was doing
                raise
    if process.returncode == 0:
        return json.loads(printed)
    text = said.decode(errors="replace")
    reason = how_it_ended(process.returncode, text)
    raise ChildFailedError(last_line(text) if process.returncode > 0 and text.strip() else reason)


def no_answer(patience: float) -> str:
    """Why a process was ended that said nothing."""
    return f"there was no answer within {patience:g} s, so the process was ended"


def how_it_ended(code: int, said: str) -> str:
    """Of a process that ended by itself, by its exit code and what it said on standard error.

    Raises:
        ConstraintError: it could not be limited.
    """
    if code == REFUSED:
        raise ConstraintError(last_line(said))
    if code == -signal.SIGKILL:
        return "the process was killed, as systems do that are out of memory"
    if code < 0:
        return f"the process was ended by {signal.Signals(-code).name}"
    return f"the process ended with code {code}{said.strip() and f': {last_line(said)}'}"


def last_line(said: str) -> str:
    """The last that is not empty; a progress bar is a line by itself."""
    return next(iter(said.strip().splitlines()[-1:]), "")
