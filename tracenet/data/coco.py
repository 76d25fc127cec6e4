"""Annotated photos from COCO."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracenet.data.instances import InstancesDataset


class CocoDataset(InstancesDataset):
    """COCO instances JSON and its folder of images.

    COCO annotates all things of its categories, so photos count as complete, except for those
    with an annotation that cannot be used.
    """

    form = "COCO instances"
    exhaustive = True

    @staticmethod
    def names(record: dict[str, Any]) -> Sequence[str]:
        """The image's ``file_name``, if it has one."""
        name = record.get("file_name")
        return [name] if isinstance(name, str) and name else []
