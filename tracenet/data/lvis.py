"""Annotated photos from LVIS."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from tracenet.data.instances import InstancesDataset


class LvisDataset(InstancesDataset):
    """LVIS v1 JSON and COCO's folder of images.

    The form is COCO's, so it is read like COCO's: the package ``lvis`` has not been kept up since
    2020 and asks for OpenCV.

    Images are those of COCO, named by their ``coco_url``: what ends in ``train2017/NAME`` is
    looked for at ``train2017/NAME`` and at ``NAME`` in the folder of images, because LVIS deals
    COCO's photos out anew between its own splits.

    LVIS says for each photo which categories it was searched for (those of its annotations and of
    ``neg_category_ids``) and which of them not to the end (``not_exhaustive_category_ids``), and
    nothing of all the others. So a pixel without a mask is never known to be background: no photo
    counts as complete.
    """

    form = "LVIS v1"
    exhaustive = False

    @staticmethod
    def names(record: dict[str, Any]) -> Sequence[str]:
        """The last two parts and the last part of the image's ``coco_url``, if it has one."""
        url = record.get("coco_url")
        if not isinstance(url, str) or not url.strip("/"):
            return []
        parts = PurePosixPath(url).parts
        return ["/".join(parts[-2:]), parts[-1]]
