"""Annotated photos: a folder of instance maps, or COCO instances JSON."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from tracenet_runtime.errors import PhotoError, TraceNetError
from tracenet_runtime.photo import load_photo

IGNORE = 255
"""Value of an instance map where nobody knows what is there."""


class DataError(TraceNetError):
    """Training or evaluation data is missing or damaged."""


@dataclass(frozen=True)
class AnnotatedPhoto:
    """A photo and the masks of the things in it.

    Attributes:
        photo: uint8 H x W x 3, RGB.
        masks: bool K x H x W, one per instance, none empty; they may overlap.
        ignore: bool H x W, pixels that count neither as thing nor as background.
        complete: every thing of interest is annotated, so the rest is known to be background.
    """

    photo: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.bool_]
    ignore: npt.NDArray[np.bool_]
    complete: bool


class PhotoDataset(Protocol):
    """What training and evaluation read: photos by index, and how often to draw each."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> AnnotatedPhoto: ...

    @property
    def weights(self) -> npt.NDArray[np.float64]:
        """Relative frequency at which training draws each photo."""
        ...


class FolderDataset:
    """A folder of ``ID.jpg``, ``ID.png`` and ``index.jsonl``.

    ``ID.png`` is an instance map: 0 background, 1..250 one instance each, 255 ignore. Every line
    of the index has ``id``, ``set`` and ``complete``.

    Args:
        root: the folder.
        set_weights: relative frequency at which training draws photos of a set, 1 by default.

    Raises:
        DataError: the index or a photo is missing or damaged, or a weight makes no sense.
    """

    def __init__(self, root: Path, set_weights: Mapping[str, float] | None = None) -> None:
        self.root = root
        index = root / "index.jsonl"
        if not index.is_file():
            raise DataError(
                f"{index} does not exist; give a folder with index.jsonl, ID.jpg and ID.png"
            )
        try:
            lines = index.read_text().splitlines()
        except (OSError, ValueError) as error:
            raise DataError(f"{index} cannot be read: {error}") from error
        rows = [_index_row(index, n, line) for n, line in enumerate(lines, 1) if line.strip()]
        if not rows:
            raise DataError(f"{index} lists no photo")
        self._photos = [(name, complete) for name, _, complete in rows]
        sets = [name for _, name, _ in rows]
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
        return len(self._photos)

    def __getitem__(self, index: int) -> AnnotatedPhoto:
        name, complete = self._photos[index]
        photo = _load(self.root / f"{name}.jpg")
        path = self.root / f"{name}.png"
        try:
            with Image.open(path) as image:
                instance_map = np.asarray(image)
        # Decoders of damaged files raise nearly anything.
        except Exception as error:
            raise DataError(f"{path} cannot be read: {error}") from error
        if instance_map.shape != photo.shape[:2] or instance_map.dtype != np.uint8:
            raise DataError(
                f"{path} must be one uint8 channel of the photo's size, "
                f"{photo.shape[1]} x {photo.shape[0]}"
            )
        ids = [i for i in np.unique(instance_map) if i not in (0, IGNORE)]
        masks = np.stack([instance_map == i for i in ids]) if ids else _no_masks(photo)
        return AnnotatedPhoto(photo, masks, instance_map == IGNORE, complete)


def _index_row(index: Path, number: int, line: str) -> tuple[str, str, bool]:
    """Id, set and completeness of a photo."""
    try:
        row = json.loads(line)
        return str(row["id"]), str(row["set"]), bool(row["complete"])
    except KeyError as error:
        raise DataError(f"{index}, line {number}, lacks {error}") from error
    except (ValueError, TypeError) as error:
        raise DataError(f"{index}, line {number}, is damaged: {error}") from error


class CocoDataset:
    """COCO instances JSON and its folder of images, read with pycocotools.

    Crowd regions are ignored, annotations without a segmentation passed over. COCO annotates all
    things of its categories, so photos count as complete.

    Args:
        annotations: path of the JSON file.
        images: folder with the files that it names.

    Raises:
        DataError: the JSON or an image is missing or damaged, or they do not fit each other.
    """

    def __init__(self, annotations: Path, images: Path) -> None:
        from pycocotools.coco import COCO

        if not annotations.is_file():
            raise DataError(f"{annotations} does not exist; give a COCO instances JSON file")
        try:
            # pycocotools reports its progress on stdout, which belongs to the tools' results.
            with contextlib.redirect_stdout(sys.stderr):
                self._coco = COCO(str(annotations))
            self._ids: list[int] = sorted(self._coco.imgs)
        except (OSError, ValueError, KeyError, TypeError, AssertionError) as error:
            raise DataError(f"{annotations} is not COCO instances JSON: {error}") from error
        if not self._ids:
            raise DataError(f"{annotations} lists no image")
        self._images = images
        self.weights = np.ones(len(self._ids))

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, index: int) -> AnnotatedPhoto:
        image_id = self._ids[index]
        record = self._coco.imgs[image_id]
        if "file_name" not in record:
            raise DataError(f"image {image_id} of the COCO JSON has no file_name")
        photo = _load(self._images / str(record["file_name"]))
        ignore = np.zeros(photo.shape[:2], np.bool_)
        masks = []
        for annotation in self._coco.loadAnns(self._coco.getAnnIds(imgIds=[image_id])):
            if not annotation.get("segmentation"):
                continue
            mask = self._mask(annotation)
            if mask.shape != ignore.shape:
                raise DataError(
                    f"annotation {annotation['id']} is {mask.shape[1]} x {mask.shape[0]}, its "
                    f"image {record['file_name']} {photo.shape[1]} x {photo.shape[0]}"
                )
            if annotation.get("iscrowd"):
                ignore |= mask
            elif mask.any():
                masks.append(mask)
        return AnnotatedPhoto(
            photo, np.stack(masks) if masks else _no_masks(photo), ignore, complete=True
        )

    def _mask(self, annotation: dict[str, Any]) -> npt.NDArray[np.bool_]:
        try:
            mask: npt.NDArray[np.uint8] = self._coco.annToMask(annotation)
        # pycocotools raises nearly anything, plain Exception included.
        except Exception as error:
            raise DataError(
                f"annotation {annotation.get('id')} has no usable segmentation: {error}"
            ) from error
        return mask.astype(np.bool_)


def _load(path: Path) -> npt.NDArray[np.uint8]:
    try:
        return load_photo(path)
    except PhotoError as error:
        raise DataError(str(error)) from error


def _no_masks(photo: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    return np.zeros((0, *photo.shape[:2]), np.bool_)
