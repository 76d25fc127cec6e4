"""What was found wrong with annotations: every kind is named, counted, and dealt with by one rule.

| found | rule |
| --- | --- |
| a file that is no instances JSON or index; no usable photo or annotation in it; all of its annotations, or all values of its maps, ignored; an image id used twice; more than half of its photos missing | refused at once, ``DataError`` |
| a photo that is damaged or has not the size in its record; an instance map that is damaged, of another size than its photo, with a value from 251 to 254, or with another number of instances than its line in the index says; a polygon that looked as if it had pixels and has none | refused when it is read, ``DataError`` |
| a :class:`Problem` with the rule "skipped" | counted at the start; the photo, annotation or category name is left out. A photo of which an annotation was left out is incomplete: its pixels without a mask are no proof of background |
| a :class:`Problem` with the rule "noted" | counted at the start; nothing is left out |
"""  # noqa: E501 - a table

from __future__ import annotations

from collections import defaultdict
from enum import Enum
from typing import Any, Literal

NAMED = 5
"""How many findings of a kind are named; all are counted."""


class Problem(Enum):
    """A kind of finding: its rule, and what such findings are."""

    MISSING_PHOTO = "skipped", "photos whose file does not exist"
    BROKEN_IMAGE = "skipped", "image records without a usable id, file name, height or width"
    UNKNOWN_IMAGE = "skipped", "annotations of an image that is not listed"
    NO_SEGMENTATION = "skipped", "annotations without a segmentation"
    BROKEN_POLYGON = (
        "skipped",
        "annotations with a broken polygon (not three or more points of two finite numbers near "
        "the photo, or no area)",
    )
    RLE_SIZE = "skipped", "annotations with an RLE of another size than their image"
    BROKEN_RLE = "skipped", "annotations with an RLE whose counts do not make up its size"
    BROKEN_CROWD = "skipped", "annotations whose iscrowd is neither 0 nor 1"
    EMPTY_INSTANCE = "skipped", "annotations whose mask has no pixel"
    BROKEN_CATEGORY = "skipped", "category records without an id of their own and a name"
    NUMBERED_ANEW = (
        "noted",
        "annotations whose id is missing, no whole number or another's too, so that all in the "
        "file were numbered anew by their place in the list",
    )
    UNKNOWN_CATEGORY = "noted", "annotations of a category that is not listed, kept without a name"
    EMPTY_CATEGORY = "noted", "categories without a usable instance"

    def __init__(self, rule: Literal["skipped", "noted"], sentence: str) -> None:
        self.rule = rule
        self.sentence = sentence


def printable(name: str) -> str:
    """A name as it may stand in a message of one line."""
    return name if name.isprintable() else repr(name)


class Problems:
    """Findings by kind; false when there are none, one line per kind as a string."""

    def __init__(self) -> None:
        self._counts: defaultdict[Problem, int] = defaultdict(int)
        self._first: defaultdict[Problem, list[str]] = defaultdict(list)

    def add(self, problem: Problem, name: str) -> None:
        """Count a finding; ``name`` is that of the photo, annotation or category."""
        self._counts[problem] += 1
        if len(self._first[problem]) < NAMED:
            self._first[problem].append(printable(name))

    def count(self, problem: Problem) -> int:
        """How many findings of this kind there are."""
        return self._counts.get(problem, 0)

    def __bool__(self) -> bool:
        return bool(self._counts)

    def lines(self) -> list[str]:
        """One line for each kind that was found: rule, count, kind and the first names."""
        return [
            f"{problem.rule} {self._counts[problem]}: {problem.sentence}: "
            + ", ".join(self._first[problem] + ["..."] * (self._counts[problem] > NAMED))
            for problem in Problem
            if problem in self._counts
        ]

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """JSON-ready: kind -> ``count``, ``rule`` ("skipped" or "noted"), ``first`` names."""
        return {
            problem.name.lower(): {
                "count": self._counts[problem],
                "rule": problem.rule,
                "first": list(self._first[problem]),
            }
            for problem in Problem
            if problem in self._counts
        }
