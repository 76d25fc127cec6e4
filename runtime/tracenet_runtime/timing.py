"""Where the time of a tap goes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

Timings = dict[str, float]
"""Milliseconds by stage; a stage that runs several times adds up."""


@contextmanager
def timed(timings: Timings, stage: str) -> Iterator[None]:
    """Add the wall-clock time of the block to ``timings[stage]``."""
    start = time.perf_counter()
    try:
        yield
    finally:
        elapsed = (time.perf_counter() - start) * 1000
        timings[stage] = timings.get(stage, 0.0) + elapsed
