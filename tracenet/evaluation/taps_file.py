"""The taps of an evaluation as a file, so that another system can be scored on the same ones."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from tracenet.data import AnnotatedPhoto, DataError
from tracenet.evaluation.fingerprint import fingerprint
from tracenet.evaluation.protocol import Bands, ProtocolName, Tap, band_sizes
from tracenet.evaluation.scores import InstanceScore, PhotoScore
from tracenet_runtime.text import read_text

TAPS_FILE = "taps.jsonl"


def tap_lines(scores: Sequence[PhotoScore[InstanceScore]], protocol: ProtocolName) -> Iterator[str]:
    """A line of JSON for each tap and what it gave."""
    for photo in scores:
        for score in photo.instances:
            for tap in score.taps:
                line = {
                    "photo": photo.photo,
                    "instance": score.instance,
                    "category": score.category,
                    "x": tap.x,
                    "y": tap.y,
                    "band": tap.band,
                    "protocol": protocol,
                    "level": tap.level,
                    "iou": tap.iou,
                    "iou_oracle_level": tap.oracle,
                    "boundary_iou": tap.boundary_iou,
                }
                yield json.dumps(line) + "\n"


@dataclass(frozen=True)
class FileTaps:
    """The taps that a file lists, whatever else it says of them.

    Attributes:
        name: of the protocol that drew them.
        taps: by photo and instance.
    """

    path: Path
    name: ProtocolName
    taps: dict[tuple[str, int], tuple[Tap, ...]]

    @classmethod
    def read(cls, path: Path) -> FileTaps:
        """Read ``taps.jsonl``; of a line, photo, instance, x, y and protocol are needed.

        Raises:
            DataError: there is no such file, a line is damaged, or the protocols differ.
        """
        try:
            lines = read_text(path).split("\n")
        except (OSError, ValueError) as error:
            raise DataError(f"{path} cannot be read: {error}") from error
        taps = defaultdict(list)
        protocols = set()
        for number, line in enumerate(lines, 1):
            if line.strip():
                key, tap, protocol = _parsed(path, number, line)
                taps[key].append(tap)
                protocols.add(protocol)
        if not protocols:
            raise DataError(f"{path} lists no tap; give the taps.jsonl of an evaluation")
        if len(protocols) > 1:
            raise DataError(
                f"{path} has taps of {' and '.join(sorted(protocols))}; keep those of one protocol"
            )
        return cls(path, protocols.pop(), {key: tuple(group) for key, group in taps.items()})

    @property
    def settings(self) -> dict[str, Any]:
        """See :class:`~tracenet.evaluation.protocol.Taps`."""
        return {"protocol": self.name, "sha256": fingerprint([self.path])}

    @property
    def nothing_to_score(self) -> str:
        """See :class:`~tracenet.evaluation.protocol.Taps`."""
        return (
            f"{self.path} has no tap on an instance of these photos; name the photos that it is of"
        )

    def draw(self, index: int, example: AnnotatedPhoto) -> dict[int, tuple[Tap, ...]]:
        """The taps on each instance of a photo that has some, by its place in the photo.

        Raises:
            DataError: a tap is not on its instance, or they are not what ``bands`` draws: it is
                another data set, or the file was changed.
        """
        drawn = {}
        for place, instance in enumerate(example.instances):
            group = self.taps.get((example.name, instance.id))
            if group:
                self._check(example, place, group)
                drawn[place] = group
        return drawn

    def about(self, scored: Collection[tuple[str, int]]) -> dict[str, Any]:
        """See :class:`~tracenet.evaluation.protocol.Taps`; says so if listed ones are missing."""
        missing = len(self.taps.keys() - set(scored))
        if missing:
            print(
                f"{missing} of the {len(self.taps)} instances of {self.path} are not among these "
                "photos and are not scored",
                file=sys.stderr,
            )
        return {"taps_from": str(self.path), "instances_of_taps_from_not_found": missing}

    def _check(self, example: AnnotatedPhoto, place: int, group: tuple[Tap, ...]) -> None:
        mask = example.masks[place]
        height, width = mask.shape
        where = f"instance {example.instances[place].id} of {example.name}"
        for x, y in group:
            if not (0 <= x < width and 0 <= y < height and mask[y, x]):
                raise DataError(
                    f"{self.path}: the tap ({x}, {y}) is not on {where}; score the taps on the "
                    "annotations that they were drawn on"
                )
        if self.name == "bands":
            if len(set(group)) < len(group):
                raise DataError(
                    f"{self.path} has a tap twice on {where}, which bands never do; give the file "
                    "as it was written"
                )
            columns, rows = (np.array(values) for values in zip(*group, strict=True))
            tapped = set(Bands.of(mask).numbers(columns, rows).tolist())
            there = {band for band, size in enumerate(band_sizes(mask), 1) if size}
            if tapped != there:
                raise DataError(
                    f"{self.path} has no tap in a band of {where}; give the file as it was written"
                )


def _parsed(path: Path, number: int, line: str) -> tuple[tuple[str, int], Tap, ProtocolName]:
    try:
        row: dict[str, Any] = json.loads(line)
        key, tap = (row["photo"], row["instance"]), (row["x"], row["y"])
        protocol: ProtocolName = row["protocol"]
    except KeyError as error:
        raise DataError(f"{path}, line {number}, lacks {error}") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise DataError(f"{path}, line {number}, is damaged: {error}") from error
    if not isinstance(key[0], str) or not all(type(v) is int for v in (key[1], *tap)):
        raise DataError(f"{path}, line {number}, is damaged: photo is text, the rest whole numbers")
    if protocol not in get_args(ProtocolName):
        raise DataError(f"{path}, line {number}: unknown protocol {protocol!r}")
    return key, tap, protocol
