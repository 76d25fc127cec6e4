"""The types of the tools' arguments, so that all of them read a thing in one way.

Each gives a value or raises ``argparse.ArgumentTypeError``, which says what is wrong with the text.
"""

import argparse
import math
import re
from collections.abc import Callable
from typing import TypeVar

from tracenet_runtime.contract import MAX_SIDE

T = TypeVar("T")


def whole_number(minimum: int, maximum: int | None = None) -> Callable[[str], int]:
    """The type of a whole number in decimal digits, both bounds included."""
    bounds = f"of at least {minimum}" if maximum is None else f"from {minimum} to {maximum}"

    def read(text: str) -> int:
        value = int(text) if re.fullmatch(r"[0-9]{1,18}", text) else -1
        if value < minimum or (maximum is not None and value > maximum):
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number {bounds}")
        return value

    return read


def number(
    least: float | None = None, most: float | None = None, *, above: float | None = None
) -> Callable[[str], float]:
    """The type of a finite number: ``least`` or more, or more than ``above``; ``most`` at most."""
    if least is not None and most is not None:
        said = f"a number from {least:g} to {most:g}"
    else:
        bounds = (("of at least", least), ("above", above), ("up to", most))
        said = " ".join(["a number", *(f"{w} {b:g}" for w, b in bounds if b is not None)])

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if (
            not math.isfinite(value)
            or (least is not None and value < least)
            or (above is not None and value <= above)
            or (most is not None and value > most)
        ):
            raise argparse.ArgumentTypeError(f"{text!r} is not {said}")
        return value

    return read


positive_number = number(above=0)
"""The type of a number above 0."""

share = number(0, 1)
"""The type of a share, from 0 to 1."""

positive_share = number(above=0, most=1)
"""The type of a share above 0, up to 1."""

thread_count = whole_number(1, 1024)
"""The type of a number of threads."""

tap_count = whole_number(1, 100_000)
"""The type of a number of taps."""

seed = whole_number(0, 2**32 - 1)
"""The type of what every generator of random numbers takes."""


def comma_separated(read: Callable[[str], T]) -> Callable[[str], tuple[T, ...]]:
    """The type of one or more values with commas between them, each of one type."""
    return lambda text: tuple(map(read, text.split(",")))


def numbers(text: str, form: str) -> tuple[float, ...]:
    """As many finite numbers with commas between them as ``form``, such as ``X,Y``, has."""
    count = form.count(",") + 1
    words = {1: "a finite number", 2: "two finite numbers", 4: "four finite numbers"}[count]
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != count or not all(map(math.isfinite, values)):
        raise argparse.ArgumentTypeError(f"{text!r} is not {form}, {words}")
    return values


def point(text: str) -> tuple[float, float]:
    """``X,Y``: a position in pixels of the upright photo, column and row from the top left."""
    x, y = numbers(text, "X,Y")
    return x, y


CANVAS = "SIDE or HEIGHTxWIDTH"
"""What help calls a canvas's size."""


def canvas_size(text: str) -> tuple[int, int]:
    """A side, such as ``640``, or ``HEIGHTxWIDTH``, such as ``640x480``: (height, width) in pixels.

    The sides stay as they are given: who computes on the canvas refuses those that do not fit.
    """
    sides = re.fullmatch(r"([0-9]{1,9})(?:x([0-9]{1,9}))?", text)
    height, width = (int(side) for side in (sides[1], sides[2] or sides[1])) if sides else (0, 0)
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no canvas; give a side or HEIGHTxWIDTH in pixels, each from 1 to "
            f"{MAX_SIDE}, such as 640 or 640x480"
        )
    return height, width


canvas_side = whole_number(1, MAX_SIDE)
"""The type of the side of a square canvas, in pixels."""
