"""Annotated photos as a folder of photos and instance maps."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from tracenet.data.annotated import (
    IGNORE,
    AnnotatedPhoto,
    DataError,
    Instance,
    is_file,
    read_photo,
    stack_masks,
)
from tracenet.data.photo_files import PhotoFiles
from tracenet.data.problems import Problems
from tracenet_runtime.errors import refuse_if_out_of_memory
from tracenet_runtime.text import read_text

LARGEST_ID = 250
"""In an instance map; the values between it and ``IGNORE`` mean nothing."""


class FolderDataset:
    """A folder of ``ID.jpg``, ``ID.png`` and ``index.jsonl``.

    ``ID.png`` is an instance map: 0 background, 1..250 one instance each, 255 ignore. Every line
    of the index has ``id``, ``set`` and ``complete``, and may have ``instances``, their number.

    Args:
        root: the folder.
        set_weights: relative frequency at which training draws photos of a set, 1 by default.

    Attributes:
        problems: photos of the index without ``ID.jpg`` or ``ID.png``, which are skipped.

    Raises:
        DataError: the index or a photo is missing or damaged, or a weight makes no sense; see
            :mod:`tracenet.data.problems`.
    """

    def __init__(self, root: Path, set_weights: Mapping[str, float] | None = None) -> None:
        self.root = root
        self.problems = Problems()
        index = root / "index.jsonl"
        if not is_file(index):
            raise DataError(
                f"{index} does not exist; give a folder with index.jsonl, ID.jpg and ID.png"
            )
        try:
            lines = read_text(index).split("\n")
        except (OSError, ValueError) as error:
            raise DataError(f"{index} cannot be read: {error}") from error
        listed = [_index_row(index, n, line) for n, line in enumerate(lines, 1) if line.strip()]
        if not listed:
            raise DataError(f"{index} lists no photo")
        files = PhotoFiles(root, index, self.problems)
        self._rows = [row for row in (_found(row, files) for row in listed) if row is not None]
        files.refuse_wrong_folder(len(listed))
        (most_listed, times), *_ = Counter(row.id for row in self._rows).most_common(1)
        if times > 1:
            raise DataError(
                f"{index} lists {most_listed} {times} times, so it would count as several photos; "
                "leave one line of it"
            )
        sets = [row.set for row in self._rows]
        set_weights = set_weights or {}
        unknown = sorted(set(set_weights) - set(sets))
        if unknown:
            raise DataError(
                f"{index} has no set {', '.join(unknown)}; its sets are "
                f"{', '.join(sorted(set(sets)))}"
            )
        self.weights = np.array([set_weights.get(name, 1.0) for name in sets], np.float64)
        if not (np.isfinite(self.weights).all() and self.weights.min() >= 0 < self.weights.max()):
            raise DataError("weights of sets are finite, not negative, and not all of them are 0")
        _refuse_if_all_is_ignored([root / f"{row.id}.png" for row in self._rows])

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> AnnotatedPhoto:
        row = self._rows[index]
        photo = read_photo(self.root / f"{row.id}.jpg")
        path = self.root / f"{row.id}.png"
        instance_map = _read_map(path)
        if instance_map.shape != photo.shape[:2] or instance_map.dtype != np.uint8:
            raise DataError(
                f"{path} must be one uint8 channel of the photo's size, "
                f"{photo.shape[1]} x {photo.shape[0]}"
            )
        ids = [int(i) for i in np.unique(instance_map) if i not in (0, IGNORE)]
        if ids and ids[-1] > LARGEST_ID:
            raise DataError(
                f"{path} has the value {ids[-1]}; things are 1 to {LARGEST_ID}, 0 is background "
                f"and {IGNORE} what nobody knows"
            )
        if row.instances not in (None, len(ids)):
            raise DataError(
                f"{path} has {len(ids)} instances, its line in the index says {row.instances}"
            )
        return AnnotatedPhoto(
            photo,
            stack_masks([instance_map == i for i in ids], *photo.shape[:2]),
            ignore=instance_map == IGNORE,
            complete=row.complete,
            name=row.id,
            instances=tuple(Instance(i, None) for i in ids),
        )


class _Row(NamedTuple):
    id: str
    set: str
    complete: bool
    instances: int | None


def _index_row(index: Path, number: int, line: str) -> _Row:
    try:
        row = json.loads(line)
        if not isinstance(row, dict):
            raise ValueError("it is not an object in braces")
        instances = row.get("instances")
        if not isinstance(row["complete"], bool):  # bool("false") is True
            raise ValueError("complete is true or false")
        return _Row(
            str(row["id"]),
            str(row["set"]),
            row["complete"],
            None if instances is None else int(instances),
        )
    except KeyError as error:
        raise DataError(f"{index}, line {number}, lacks {error}") from error
    except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
        raise DataError(f"{index}, line {number}, is damaged: {error}") from error


def _found(row: _Row, files: PhotoFiles) -> _Row | None:
    """The row with its id as the files spell it, or None if one of them is missing."""
    photo = files.find(f"{row.id}.jpg")
    if photo is None:
        return None
    row = row._replace(id=photo.removesuffix(".jpg"))
    return row if files.find(f"{row.id}.png") else None


def _refuse_if_all_is_ignored(maps: Sequence[Path]) -> None:
    """Raise ``DataError`` if no map has a thing and some have what is ignored.

    It ends at the first map with another value, or that cannot be used, which mostly is the first.
    """
    ignoring = []
    for path in maps:
        try:
            values = set(np.unique(_read_map(path)).tolist())
        except DataError:  # for whoever reads it to hear
            return
        if not values <= {0, IGNORE}:
            return
        if IGNORE in values:
            ignoring.append(path)
    if ignoring:
        raise DataError(
            f"{len(ignoring)} of the {len(maps)} instance maps, such as {ignoring[0]}, hold 0 and "
            f"{IGNORE} alone, background and what is ignored, and none has a thing; give each "
            f"thing a value from 1 to {LARGEST_ID}"
        )


def _read_map(path: Path) -> npt.NDArray[np.generic]:
    try:
        with Image.open(path, formats=["PNG"]) as image:  # some others start programs
            return np.asarray(image)
    # Decoders of damaged files raise nearly anything.
    except Exception as error:
        refuse_if_out_of_memory(error, f"decode {path}")
        raise DataError(f"{path} cannot be read: {error}") from error
