"""Annotated photos as a folder of photos and instance maps."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
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
    refuse_wrong_folder,
    stack_masks,
)
from tracenet.data.problems import Problem, Problems
from tracenet_runtime.errors import refuse_if_out_of_memory


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
            lines = index.read_text(encoding="utf-8").split("\n")
        except (OSError, ValueError) as error:
            raise DataError(f"{index} cannot be read: {error}") from error
        listed = [_index_row(index, n, line) for n, line in enumerate(lines, 1) if line.strip()]
        if not listed:
            raise DataError(f"{index} lists no photo")
        (most_listed, times), *_ = Counter(row.id for row in listed).most_common(1)
        if times > 1:
            raise DataError(
                f"{index} lists {most_listed} {times} times, so it would count as several photos; "
                "leave one line of it"
            )
        self._rows = [row for row in listed if self._exists(row.id)]
        refuse_wrong_folder(self.problems, len(listed), index, root)
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

    def _exists(self, photo_id: str) -> bool:
        for name in (f"{photo_id}.jpg", f"{photo_id}.png"):
            if not is_file(self.root / name):
                self.problems.add(Problem.MISSING_PHOTO, name)
                return False
        return True


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


def _read_map(path: Path) -> npt.NDArray[np.generic]:
    try:
        with Image.open(path, formats=["PNG"]) as image:  # some others start programs
            return np.asarray(image)
    # Decoders of damaged files raise nearly anything.
    except Exception as error:
        refuse_if_out_of_memory(error, f"decode {path}")
        raise DataError(f"{path} cannot be read: {error}") from error
