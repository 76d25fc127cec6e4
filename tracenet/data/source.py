"""Annotated photos in whichever form they are given."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tracenet.data.annotated import PhotoDataset
from tracenet.data.coco import CocoDataset
from tracenet.data.folder import FolderDataset
from tracenet.data.lvis import LvisDataset


def open_dataset(
    folder: Path | None,
    coco: tuple[Path, Path] | None,
    lvis: tuple[Path, Path] | None,
    set_weights: Mapping[str, float] | None = None,
) -> PhotoDataset:
    """The dataset of the one argument that is given.

    Args:
        folder: of photos and instance maps.
        coco, lvis: JSON file and folder of images.
        set_weights: of ``folder``; see :class:`FolderDataset`.

    Raises:
        ValueError: not exactly one is given.
        DataError: it is missing or damaged.
    """
    match folder, coco, lvis:
        case Path(), None, None:
            return FolderDataset(folder, set_weights)
        case None, (annotations, images), None:
            return CocoDataset(annotations, images)
        case None, None, (annotations, images):
            return LvisDataset(annotations, images)
    raise ValueError("give one of folder, coco and lvis")
