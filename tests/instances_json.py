"""Small COCO and LVIS files, right and wrong, and their photos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from tracenet.data import CocoDataset, DataError, LvisDataset


def refused(call: Any, match: str) -> None:
    with pytest.raises(DataError, match=match) as caught:
        call()
    assert "\n" not in str(caught.value)


SQUARE = [[2, 1, 8, 1, 8, 5, 2, 5]]


def write_json(root: Path, annotations: list[Any], **changes: Any) -> Path:
    """Two photos, 9 and 4, of 20 x 10 pixels, with annotations of photo 9 unless they say more."""
    root.mkdir(exist_ok=True)
    images = []
    for image_id, name in ((9, "one.png"), (4, "two.png")):
        Image.new("RGB", (20, 10), "red").save(root / name)
        url = f"http://images.cocodataset.org/train2017/{name}"
        record = {"id": image_id, "file_name": name, "coco_url": url, "height": 10, "width": 20}
        images.append(record)
    content = {
        "images": images,
        "annotations": [
            {"id": number, "image_id": 9, "category_id": 1, "segmentation": SQUARE} | annotation
            if isinstance(annotation, dict)
            else annotation
            for number, annotation in enumerate(annotations, 1)
        ],
        "categories": [{"id": 1, "name": "thing"}],
    }
    path = root / "instances.json"
    path.write_text(json.dumps(content | changes))
    return path


def coco(root: Path, annotations: list[Any], **changes: Any) -> CocoDataset:
    return CocoDataset(write_json(root, annotations, **changes), root)


def lvis(root: Path, annotations: list[Any], **changes: Any) -> LvisDataset:
    return LvisDataset(write_json(root, annotations, **changes), root)


def rectangle(top: int, left: int, bottom: int, right: int) -> npt.NDArray[np.bool_]:
    mask = np.zeros((10, 20), np.bool_)
    mask[top:bottom, left:right] = True
    return mask


def compressed(mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    rle = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {"size": rle["size"], "counts": rle["counts"].decode()}
