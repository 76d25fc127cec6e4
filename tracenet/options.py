"""What the command lines have in common; needs no torch."""

from __future__ import annotations

import argparse
from pathlib import Path

from tracenet_runtime.tool import whole_number

DEFAULT_NETWORK = "shufflenetv2-1.5x-pan"
"""The configuration that is trained, scored and exported unless another is named."""

PHOTO_SOURCES = ("data", "coco", "lvis")
"""Names of the options of :func:`add_photo_sources`."""

SEED = whole_number(0, 2**32 - 1)
"""An argparse type: what every generator of random numbers takes."""


def add_photo_sources(group: argparse._ActionsContainer) -> None:
    """Add ``--data``, ``--coco`` and ``--lvis``, where annotated photos come from."""
    group.add_argument("--data", type=Path, help="folder with index.jsonl, ID.jpg and ID.png")
    for name, what in (
        ("--coco", "COCO instances JSON and its images"),
        ("--lvis", "LVIS v1 JSON and COCO's images, in IMAGES or in IMAGES/train2017 and so on"),
    ):
        group.add_argument(name, type=Path, nargs=2, metavar=("JSON", "IMAGES"), help=what)
