"""Processes that are asked once: what they give, and why they give nothing."""

from __future__ import annotations

import sys

import pytest

from tracenet_bench.measure.children import ChildFailedError, result_of


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_the_result_and_the_number_of_threads() -> None:
    code = "import os, sys; sys.stderr.write('progress'); print(os.environ['OMP_NUM_THREADS'])"
    assert result_of(python(code), threads=3) == 3


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import sys; sys.exit('first\\nwhat is wrong')", "what is wrong"),
        ("import sys; sys.exit(3)", "the process ended with code 3"),
        ("import os; os.kill(os.getpid(), 9)", "the process was killed, as systems do that are"),
        ("import os; os.kill(os.getpid(), 15)", "the process was ended by SIGTERM"),
    ],
)
def test_why_there_is_no_result(code: str, said: str) -> None:
    with pytest.raises(ChildFailedError) as failed:
        result_of(python(code), threads=1)
    assert str(failed.value).startswith(said)


def test_one_that_falls_silent_is_ended() -> None:
    with pytest.raises(ChildFailedError, match=r"no answer within 0\.5 s, so"):
        result_of(python("import time; time.sleep(600)"), threads=1, patience=0.5)


@pytest.mark.skipif(sys.platform == "win32", reason="what was said so far is not told there")
def test_one_that_goes_on_to_speak_may_take_its_time() -> None:
    code = """
import sys, time
for number in range(60):
    print(number, file=sys.stderr, flush=True)
    time.sleep(0.05)
print(1)
"""
    assert result_of(python(code), threads=1, patience=1.5) == 1
