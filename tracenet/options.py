"""What the command lines have in common; needs no torch."""

from __future__ import annotations

import argparse
from pathlib import Path

from tracenet_runtime.arguments import whole_number

DEFAULT_NETWORK = "shufflenetv2-1.5x-pan"
"""The configuration that is trained, scored and exported unless another is named."""

PHOTO_SOURCES = ("data", "coco", "lvis")
"""Names of the options of :func:`add_photo_sources`."""


def add_photo_sources(group: argparse._ActionsContainer) -> None:
    """Add ``--data``, ``--coco`` and ``--lvis``, where annotated photos come from."""
    group.add_argument("--data", type=Path, help="folder with index.jsonl, ID.jpg and ID.png")
    for name, what in (
        ("--coco", "COCO instances JSON and its images"),
        ("--lvis", "LVIS v1 JSON and COCO's images, in IMAGES or in IMAGES/train2017 and so on"),
    ):
        group.add_argument(name, type=Path, nargs=2, metavar=("JSON", "IMAGES"), help=what)


def add_held_out(group: argparse._ActionsContainer, meaning: str) -> None:
    """Add ``--held-out N``: every Nth photo is kept out of training, and scored."""
    group.add_argument("--held-out", type=whole_number(2), metavar="N", help=meaning)
