"""What every source of annotated photos gives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tracenet.data.problems import Problems
from tracenet_runtime.errors import PhotoError, TraceNetError
from tracenet_runtime.image.photo import load_photo

IGNORE = 255
"""Value of an instance map where nobody knows what is there."""


class DataError(TraceNetError):
    """Training or evaluation data is missing or damaged."""


@dataclass(frozen=True)
class Instance:
    """What a source says about the thing of a mask.

    Attributes:
        id: the annotation's id in COCO and LVIS, or its place in the list from 1 on where those ids
            are not all their own; the value in the map of a folder.
        category: the category's name; None where the source has none.
    """

    id: int
    category: str | None


@dataclass(frozen=True)
class AnnotatedPhoto:
    """A photo and the masks of the things in it.

    Attributes:
        photo: uint8 H x W x 3, RGB.
        masks: bool K x H x W, one per instance, none empty; they may overlap.
        ignore: bool H x W, pixels that count neither as thing nor as background.
        complete: every thing of interest is annotated, so the rest is known to be background.
        name: the photo's file below the folder of images, or its id in the folder form.
        instances: one per mask.
    """

    photo: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.bool_]
    ignore: npt.NDArray[np.bool_]
    complete: bool
    name: str
    instances: tuple[Instance, ...]


class PhotoDataset(Protocol):
    """What training and evaluation read: photos by index, and how often to draw each."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> AnnotatedPhoto: ...

    @property
    def weights(self) -> npt.NDArray[np.float64]:
        """Relative frequency at which training draws each photo."""
        ...

    @property
    def problems(self) -> Problems:
        """What was found wrong with the annotations, known from the start."""
        ...


def read_photo(path: Path) -> npt.NDArray[np.uint8]:
    """A photo, uint8 H x W x 3, RGB; ``DataError`` if it is missing or damaged."""
    try:
        return load_photo(path)
    except PhotoError as error:
        raise DataError(str(error)) from error


def is_file(path: Path) -> bool:
    """Whether there is such a file; not if that cannot be found out or no file can be so named."""
    try:
        return path.is_file()
    except OSError:
        return False


def stack_masks(
    masks: list[npt.NDArray[np.bool_]], height: int, width: int
) -> npt.NDArray[np.bool_]:
    """The masks, bool height x width each, as one bool K x height x width; K may be 0."""
    return np.stack(masks) if masks else np.zeros((0, height, width), np.bool_)
