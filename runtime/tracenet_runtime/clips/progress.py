"""How far a tool is with a clip, on standard error."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm.auto import tqdm

T = TypeVar("T")


def progress(frames: Iterable[T], total: int, what: str) -> Iterator[T]:
    """The same, with a bar that grows with each; there may be more than ``total``."""
    with tqdm(total=total, unit="frame", desc=what) as bar:
        for frame in frames:
            bar.total = max(bar.total, bar.n + 1)
            bar.update()
            yield frame
