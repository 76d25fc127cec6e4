"""Small generated scenes whose things are known exactly, and a network small enough to train."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from tracenet.data import IGNORE, AnnotatedPhoto, Instance, Problems
from tracenet.model import TraceNetConfig

TINY = TraceNetConfig(
    "tiny",
    "mobilenetv2",
    pixel_mean=(128.0, 128.0, 128.0),
    pixel_std=(128.0, 128.0, 128.0),
    pyramid_channels=16,
    tower_channels=16,
    tower_depth=1,
    mask_channels=16,
    mask_depth=1,
    separable=True,
)

BACKGROUND = (90, 110, 130)


def colour_of(instance: int) -> tuple[int, int, int]:
    """The colour in which a scene paints an instance; its red is at least 200, unlike all else."""
    return 200 + instance % 50, (37 * instance) % 256, (91 * instance) % 256


def make_scene(
    height: int, width: int, seed: int = 0, things: int = 3, *, complete: bool = True
) -> AnnotatedPhoto:
    """Boxes and discs, later ones over earlier ones, and an ignored strip at the bottom."""
    return annotated(scene_map(height, width, seed, things), complete=complete)


def scene_map(height: int, width: int, seed: int = 0, things: int = 3) -> npt.NDArray[np.uint8]:
    """The instance map of :func:`make_scene`."""
    random = np.random.default_rng(seed)
    instances = Image.new("L", (width, height))
    draw = ImageDraw.Draw(instances)
    for instance in range(1, things + 1):
        w, h = random.uniform(0.25, 0.5, 2) * (width, height)
        x, y = random.uniform(0, 1, 2) * (width - w, height - h)
        shape = draw.ellipse if instance % 2 else draw.rectangle
        shape((x, y, x + w, y + h), fill=instance)
    draw.rectangle((0, height - height // 16, width, height), fill=IGNORE)
    return np.array(instances)


def annotated(
    instances: npt.NDArray[np.uint8], *, complete: bool = True, name: str = "scene"
) -> AnnotatedPhoto:
    """The scene of an instance map, every instance in its own colour."""
    photo = np.empty((*instances.shape, 3), np.uint8)
    photo[:] = BACKGROUND
    ids = [int(i) for i in np.unique(instances) if i not in (0, IGNORE)]
    for instance in ids:
        photo[instances == instance] = colour_of(instance)
    masks = np.array([instances == i for i in ids], np.bool_).reshape(-1, *instances.shape)
    return AnnotatedPhoto(
        photo, masks, instances == IGNORE, complete, name, tuple(Instance(i, None) for i in ids)
    )


class Scenes:
    """Scenes in memory as a dataset."""

    def __init__(self, scenes: Sequence[AnnotatedPhoto]) -> None:
        self._scenes = scenes
        self.weights = np.ones(len(scenes))
        self.problems = Problems()

    def __len__(self) -> int:
        return len(self._scenes)

    def __getitem__(self, index: int) -> AnnotatedPhoto:
        return self._scenes[index]


def write_folder(root: Path, instance_maps: Sequence[npt.NDArray[np.uint8]]) -> Path:
    """The scenes of instance maps as a folder; set ``even`` is complete, set ``odd`` is not."""
    root.mkdir(parents=True)
    lines = []
    for number, instances in enumerate(instance_maps):
        name, even = f"scene_{number}", number % 2 == 0
        Image.fromarray(annotated(instances).photo).save(root / f"{name}.jpg", quality=95)
        Image.fromarray(instances).save(root / f"{name}.png")
        row = {"id": name, "set": "even" if even else "odd", "complete": even}
        lines.append(json.dumps(row) + "\n")
    (root / "index.jsonl").write_text("".join(lines))
    return root
