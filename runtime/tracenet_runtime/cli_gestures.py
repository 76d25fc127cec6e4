"""Gestures on the command line, in the order given."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tracenet_runtime.answer.marks import Point
from tracenet_runtime.answer.prompt import Bounds, Gesture, Scribble, Tap
from tracenet_runtime.arguments import numbers, point
from tracenet_runtime.image.photo import load_photo

Given = Gesture | Path
"""A gesture, or the file of a mask to start from."""


def add_gestures(parser: argparse.ArgumentParser, order: str) -> None:
    """Add the options, each of which may be given several times; all go to ``gestures``.

    ``order`` says what that means.
    """
    group = parser.add_argument_group("gestures", order)

    def add(option: str, metavar: str, read: object, text: str) -> None:
        group.add_argument(
            option,
            dest="gestures",
            action="append",
            type=read,  # type: ignore[arg-type]
            metavar=metavar,
            help=text,
        )

    add(
        "--at",
        "X,Y",
        _tap,
        "a tapped pixel of the upright picture: column and row, from the top left, from 0",
    )
    add("--not-at", "X,Y", _negative_tap, "a pixel that does not belong to the thing")
    add("--box", "X0,Y0,X1,Y1", _box, "a box about the thing")
    add(
        "--scribble",
        "'+W:X,Y X,Y ...'",
        _scribble,
        "a line of W pixels over what belongs to the thing, or with - over what does not "
        "(--scribble=-24:...)",
    )
    add("--from", "MASK", Path, "begin with this mask: a picture, white where the thing is")


def places(given: Sequence[Given]) -> list[tuple[Point, bool]]:
    """Where the gestures are, and which are positive, for a picture of them."""
    return [(it.middle, it.positive) for it in given if not isinstance(it, Path)]


def load_mask(path: Path) -> npt.NDArray[np.bool_]:
    """A picture's light pixels: bool, H x W. Raises as ``load_photo`` does."""
    mask: npt.NDArray[np.bool_] = load_photo(path).mean(axis=2) > 127.5
    return mask


def _tap(text: str) -> Tap:
    return Tap(point(text))


def _negative_tap(text: str) -> Tap:
    return Tap(point(text), positive=False)


def _box(text: str) -> Bounds:
    x0, y0, x1, y1 = numbers(text, "X0,Y0,X1,Y1")
    return Bounds((x0, y0, x1, y1))


def _scribble(text: str) -> Scribble:
    parts = re.fullmatch(r"([+-])([^:]+):(.*)", text, re.DOTALL)
    if parts is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not '+W:X,Y X,Y ...' or '-W:X,Y X,Y ...', a width and the line's points"
        )
    sign, width, points = parts.groups()
    (wide,) = numbers(width, "W")
    return Scribble(tuple(map(point, points.split())), wide, sign == "+")
