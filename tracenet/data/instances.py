"""Annotated photos from an instances JSON, which COCO, LVIS and many others have in common."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from tracenet.data.annotated import (
    AnnotatedPhoto,
    DataError,
    Instance,
    is_file,
    read_photo,
    stack_masks,
)
from tracenet.data.photo_files import PhotoFiles
from tracenet.data.problems import Problem, Problems
from tracenet.data.segmentation import Segmentation, check_segmentation, draw_mask
from tracenet_runtime.image.photo import MAX_PIXELS


class InstancesDataset(ABC):
    """An instances JSON and its folder of images; masks are drawn by pycocotools.

    The JSON is checked as a whole at the start, without reading a photo; what is kept of it is
    compact, so that processes that load photos can share it. Crowd regions are ignored.

    Args:
        annotations: path of the JSON file.
        images: folder with the files that it names.

    Attributes:
        problems: what was found wrong with the annotations.

    Raises:
        DataError: the JSON or a photo is missing or damaged, or they do not fit each other; see
            :mod:`tracenet.data.problems`.
    """

    form: ClassVar[str]
    """What such a file is called."""

    exhaustive: ClassVar[bool]
    """Every thing in a photo is annotated, if it is of one of the categories."""

    def __init__(self, annotations: Path, images: Path) -> None:
        self.problems = Problems()
        self._images = images
        content = _read_json(annotations, self.form)
        photos = self._listed_photos(content["images"], annotations)
        categories = self._categories(content["categories"])
        listed = content["annotations"]
        kept, doubtful = self._usable_annotations(listed, photos, categories)
        usable = [annotation for group in kept.values() for annotation in group]
        if not usable:
            raise DataError(
                f"{annotations} has no usable annotation: "
                + ("; ".join(self.problems.lines()) or "it lists none")
            )
        if all(annotation.crowd for annotation in usable):
            raise DataError(
                f"{annotations} has nothing to tap: {len(usable)} of its {len(listed)} annotations "
                "are marked iscrowd, which means a group and is ignored; set iscrowd to 0 in those "
                "that are of one thing"
                + "".join(f"; {line}" for line in self.problems.lines() if line.startswith("skip"))
            )
        self._photos = [
            _Photo(record, tuple(kept[image_id]), self.exhaustive and image_id not in doubtful)
            for image_id, record in sorted(photos.items())
            if record is not None
        ]
        self.weights = np.ones(len(self._photos))

    def __len__(self) -> int:
        return len(self._photos)

    def __getitem__(self, index: int) -> AnnotatedPhoto:
        annotated = self._photos[index]
        record = annotated.record
        path = self._images / record.name
        photo = read_photo(path)
        size = photo.shape[:2]
        if size != (record.height, record.width):
            raise DataError(
                f"{path} is {size[1]} x {size[0]} (turned as its EXIF orientation says), its "
                f"annotations are for {record.width} x {record.height}; put the photo there that "
                "was annotated"
            )
        ignore = np.zeros(size, np.bool_)
        masks, instances = [], []
        for annotation in annotated.annotations:
            mask = draw_mask(annotation.segmentation, *size)
            if not mask.any():
                raise DataError(f"annotation {annotation.instance.id} of {path} has no pixel")
            if annotation.crowd:
                ignore |= mask
            else:
                masks.append(mask)
                instances.append(annotation.instance)
        return AnnotatedPhoto(
            photo,
            stack_masks(masks, *size),
            ignore,
            annotated.complete,
            record.name,
            tuple(instances),
        )

    @staticmethod
    @abstractmethod
    def names(record: dict[str, Any]) -> Sequence[str]:
        """Where an image's file may be in the folder of images, first choice first."""

    def _listed_photos(self, records: list[Any], path: Path) -> dict[int, _Record | None]:
        """The photos by id, None for those that are skipped."""
        photos: dict[int, _Record | None] = {}
        files = PhotoFiles(self._images, path, self.problems)
        for number, record in enumerate(records, 1):
            image_id = record.get("id") if isinstance(record, dict) else None
            if not isinstance(image_id, int):
                self.problems.add(Problem.BROKEN_IMAGE, f"number {number} in the list")
                continue
            if image_id in photos:
                raise DataError(
                    f"{path} has two images with the id {image_id}, so it is unknown whose "
                    "annotations are whose; give each its own"
                )
            photos[image_id] = self._usable_record(image_id, record, files)
        files.refuse_wrong_folder(len(photos))
        if not any(photos.values()):
            raise DataError(
                f"{path} lists no usable image: "
                + ("; ".join(self.problems.lines()) or "its list is empty")
            )
        return photos

    def _usable_record(
        self, image_id: int, record: dict[str, Any], files: PhotoFiles
    ) -> _Record | None:
        names, height, width = self.names(record), record.get("height"), record.get("width")
        if not (
            names
            and isinstance(height, int)
            and isinstance(width, int)
            and min(height, width) > 0
            and height * width <= MAX_PIXELS
        ):
            self.problems.add(Problem.BROKEN_IMAGE, f"id {image_id}")
            return None
        name = files.find(*names)
        return None if name is None else _Record(name, height, width)

    def _categories(self, records: list[Any]) -> dict[int, str]:
        names: dict[int, str] = {}
        for number, record in enumerate(records, 1):
            match record:
                case {"id": int(category), "name": str(name)} if category not in names:
                    names[category] = name
                case _:
                    self.problems.add(Problem.BROKEN_CATEGORY, f"number {number} in the list")
        return names

    def _usable_annotations(
        self, records: list[Any], photos: dict[int, _Record | None], categories: dict[int, str]
    ) -> tuple[dict[int, list[_Annotation]], set[int]]:
        """Annotations by photo, and the photos of which one was left out."""
        kept: defaultdict[int, list[_Annotation]] = defaultdict(list)
        doubtful: set[int] = set()
        ids = self._ids(records)
        in_use: set[str] = set()
        for number, entry in enumerate(records, 1):
            record = entry if isinstance(entry, dict) else {}
            image_id, annotation_id = record.get("image_id"), ids.get(number, number)
            called = f"id {annotation_id}" if number in ids else f"number {number} in the list"
            if not isinstance(image_id, int) or image_id not in photos:
                self.problems.add(Problem.UNKNOWN_IMAGE, called)
                continue
            photo = photos[image_id]
            if photo is None:  # counted with the photo
                continue
            annotation = _check_annotation(record, photo, annotation_id, categories)
            if isinstance(annotation, Problem):
                self.problems.add(annotation, called)
                doubtful.add(image_id)
                continue
            kept[image_id].append(annotation)
            if annotation.instance.category is None:
                self.problems.add(Problem.UNKNOWN_CATEGORY, called)
            elif not annotation.crowd:
                in_use.add(annotation.instance.category)
        for category in categories.values():
            if category not in in_use:
                self.problems.add(Problem.EMPTY_CATEGORY, category)
        return kept, doubtful

    def _ids(self, records: list[Any]) -> dict[int, int]:
        """The id of each annotation by its place in the list, counted from 1.

        None at all if not all of them are their own: nothing refers to an annotation by its id, so
        that of files which are merged, or count anew in each photo, nothing need be left out.
        """
        ids: dict[int, Any] = {
            number: record.get("id")
            for number, record in enumerate(records, 1)
            if isinstance(record, dict)
        }
        times = Counter(given for given in ids.values() if type(given) is int)  # True is none
        shared = [n for n, given in ids.items() if type(given) is not int or times[given] > 1]
        for number in shared:
            self.problems.add(Problem.NUMBERED_ANEW, f"number {number} in the list")
        return {} if shared else ids


class _Record(NamedTuple):
    """An image of the JSON whose file exists; its sides in pixels."""

    name: str
    height: int
    width: int


class _Annotation(NamedTuple):
    instance: Instance
    crowd: bool
    segmentation: Segmentation


class _Photo(NamedTuple):
    record: _Record
    annotations: tuple[_Annotation, ...]
    complete: bool


def _check_annotation(
    record: dict[str, Any], photo: _Record, annotation_id: int, categories: dict[int, str]
) -> _Annotation | Problem:
    category, crowd = record.get("category_id"), _is_crowd(record.get("iscrowd"))
    segmentation = check_segmentation(record.get("segmentation"), photo.height, photo.width)
    if isinstance(segmentation, Problem):
        return segmentation
    if crowd is None:
        return Problem.BROKEN_CROWD
    name = categories.get(category) if isinstance(category, int) else None
    return _Annotation(Instance(annotation_id, name), crowd, segmentation)


def _is_crowd(value: Any) -> bool | None:
    """What ``iscrowd`` says as a number, a boolean or text; None if that is neither 0 nor 1."""
    if isinstance(value, str):
        value = {"0": 0, "false": 0, "1": 1, "true": 1}.get(value.strip().lower(), value)
    match value:
        case None | 0:  # False too
            return False
        case 1:
            return True
    return None


def _read_json(path: Path, form: str) -> dict[str, list[Any]]:
    """The lists of images, annotations and categories."""
    if not is_file(path):
        raise DataError(f"{path} does not exist; give a {form} JSON file")
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} is not {form} JSON: {error}") from error
    for name in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(name), list):
            raise DataError(f"{path} is not {form} JSON: it has no list of {name}")
    return {name: content[name] for name in ("images", "annotations", "categories")}
