"""Annotated clips: folders of frames and instance maps, and DAVIS's own layout."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, overload

import numpy as np
import numpy.typing as npt
from PIL import Image

from tracenet.data.annotated import IGNORE, DataError, is_file, read_photo
from tracenet_runtime.errors import refuse_if_out_of_memory
from tracenet_runtime.text import read_text

R = TypeVar("R")

HELD_BACK_EVERY = 5
"""Of the clips of a set, in the order of their names, every so many-th is held back."""

DAVIS_FRAMES, DAVIS_MAPS = "JPEGImages/480p", "Annotations/480p"


@dataclass(frozen=True)
class Clip:
    """A clip on disk.

    Attributes:
        id: its name, unique among those read with it.
        set: where it comes from.
        even: the frames are evenly spaced in time.
        frames: files of the frames, in order.
        maps: for each its instance map, uint8: 0 background, the same number the same thing in all
            frames, 255 what nobody knows.
        davis: the maps are of DAVIS's layout, where 2016's write a clip's one thing as 255.
    """

    id: str
    set: str
    even: bool
    frames: tuple[Path, ...]
    maps: tuple[Path, ...]
    davis: bool = False

    def __len__(self) -> int:
        return len(self.frames)

    def photo(self, frame: int) -> npt.NDArray[np.uint8]:
        """A frame: uint8 H x W x 3, RGB, of the size of its map.

        Raises:
            DataError: it or its map is missing or damaged, or they do not fit each other.
        """
        photo = read_photo(self.frames[frame])
        height, width = photo.shape[:2]
        if _of_map(self.maps[frame], lambda image: image.size) != (width, height):
            raise DataError(
                f"{self.maps[frame]} must have the size of its frame, {width} x {height}"
            )
        return photo

    def instance_map(self, frame: int) -> npt.NDArray[np.uint8]:
        """A frame's map, uint8 H x W.

        Raises:
            DataError: it is missing, damaged or no map.
        """
        path = self.maps[frame]
        values = _of_map(path, np.asarray)
        if values.ndim != 2 or values.dtype != np.uint8:
            raise DataError(
                f"{path} must be one uint8 channel (or a palette) with the number of the thing at "
                "each pixel"
            )
        # A map of nothing but things and doubt has none.
        if self.davis and set(np.unique(values).tolist()) <= {0, IGNORE}:
            return (values > 0).astype(np.uint8)
        return values


def _of_map(path: Path, read: Callable[[Image.Image], R]) -> R:
    try:
        with Image.open(path, formats=["PNG"]) as image:  # some others start programs
            return read(image)
    # Decoders of damaged files raise nearly anything.
    except Exception as error:
        refuse_if_out_of_memory(error, f"decode {path}")
        raise DataError(f"{path} cannot be read: {error}") from error


def open_clips(folder: Path) -> list[Clip]:
    """The clips of a folder, in the order of their names.

    Either ``NAME/00000.jpg``, ``NAME/00000.png`` and so on, numbered from 0 without gaps, with
    ``index.jsonl``, which has a line ``{"id": NAME, "set": SET, "frames": N}`` for each, and
    ``"step"``, how many frames of the original clip one step is, where they are evenly spaced; or
    DAVIS's layout, ``JPEGImages/480p/NAME`` and ``Annotations/480p/NAME``, which is one set.

    Raises:
        DataError: it is neither, a line is damaged, or a file is missing.
    """
    if (folder / DAVIS_FRAMES).is_dir():
        return _davis(folder)
    index = folder / "index.jsonl"
    if not is_file(index):
        raise DataError(
            f"{folder} holds no clips; give a folder with index.jsonl and NAME/00000.jpg, "
            f"NAME/00000.png and so on, or DAVIS's with {DAVIS_FRAMES} and {DAVIS_MAPS}"
        )
    try:
        lines = read_text(index).split("\n")
    except (OSError, ValueError) as error:
        raise DataError(f"{index} cannot be read: {error}") from error
    clips = [_listed(index, n, line) for n, line in enumerate(lines, 1) if line.strip()]
    return _checked(clips, index)


def held_back(clips: Sequence[Clip]) -> list[Clip]:
    """The clips that training leaves out, and that are scored.

    Of every set each fifth, and all whose frames are not evenly spaced, which are no clips to learn
    motion from.
    """
    sets: Counter[str] = Counter()
    kept = []
    for clip in clips:
        if clip.even:
            sets[clip.set] += 1
        if not clip.even or sets[clip.set] % HELD_BACK_EVERY == 0:
            kept.append(clip)
    return kept


def trained_on(clips: Sequence[Clip]) -> list[Clip]:
    """All the others.

    Raises:
        DataError: there are none.
    """
    out = {clip.id for clip in held_back(clips)}
    kept = [clip for clip in clips if clip.id not in out]
    if not kept:
        raise DataError(
            f"all {len(clips)} clips are held back, none is left to train on; the frames of one at "
            'least must be evenly spaced ("step" in index.jsonl)'
        )
    return kept


def _checked(clips: list[Clip], where: Path) -> list[Clip]:
    if not clips:
        raise DataError(f"{where} lists no clip")
    name, times = Counter(clip.id for clip in clips).most_common(1)[0]
    if times > 1:
        raise DataError(f"{where} lists {name} {times} times; leave one line of it")
    for clip in clips:
        if len(clip) < 2:
            raise DataError(f"the clip {clip.id} has {len(clip)} frames; it needs 2 at least")
        missing = next((p for p in (*clip.frames, *clip.maps) if not is_file(p)), None)
        if missing is not None:
            raise DataError(
                f"{missing} does not exist, but the clip {clip.id} needs it; complete the clip, or "
                "leave it out"
            )
    return sorted(clips, key=lambda clip: clip.id)


def _listed(index: Path, number: int, line: str) -> Clip:
    try:
        row = json.loads(line)
        if not isinstance(row, dict):
            raise ValueError("it is not an object in braces")
        name, frames = _field(row, "id", str), _field(row, "frames", int)
        folder = index.parent / name
        return Clip(
            name,
            _field(row, "set", str),
            "step" in row,
            tuple(folder / f"{n:05}.jpg" for n in range(frames)),
            tuple(folder / f"{n:05}.png" for n in range(frames)),
        )
    except KeyError as error:
        raise DataError(f"{index}, line {number}, lacks {error}") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise DataError(f"{index}, line {number}, is damaged: {error}") from error


@overload
def _field(row: dict[str, Any], name: Literal["id", "set"], kind: type[str]) -> str: ...
@overload
def _field(row: dict[str, Any], name: Literal["frames"], kind: type[int]) -> int: ...
def _field(row: dict[str, Any], name: str, kind: type[str] | type[int]) -> str | int:
    value = row[name]
    if type(value) is not kind:
        what = "a whole number" if kind is int else "text"
        raise ValueError(f"{name} is {what}")
    found: str | int = value
    return found


def _davis(folder: Path) -> list[Clip]:
    clips = []
    for path in sorted((folder / DAVIS_FRAMES).iterdir()):
        if path.is_dir():
            frames = tuple(sorted(path.glob("*.jpg")))
            maps = folder / DAVIS_MAPS / path.name
            clips.append(
                Clip(
                    path.name,
                    "davis",
                    even=True,
                    frames=frames,
                    maps=tuple(maps / f"{f.stem}.png" for f in frames),
                    davis=True,
                )
            )
    return _checked(clips, folder / DAVIS_FRAMES)
