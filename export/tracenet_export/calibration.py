"""What a bundle's programs see on real photos, for choosing the scales of int8."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm.auto import tqdm

from tracenet_export.errors import ExportError
from tracenet_export.parity import TorchEngine
from tracenet_export.programs import Program
from tracenet_export.targets import Calibration
from tracenet_runtime.canvas import Canvas
from tracenet_runtime.manifest import Manifest
from tracenet_runtime.photo import load_photo
from tracenet_runtime.replay import Replay
from tracenet_runtime.table import make_table

MOST_PHOTOS = 24
FEWEST_PHOTOS = 8
_TAPS_PER_PHOTO = 2
_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"})

Photo = npt.NDArray[np.uint8]


class _RecordingEngine:
    """Runs programs in PyTorch and keeps what they are given."""

    def __init__(self, programs: Sequence[Program]) -> None:
        self._engine = TorchEngine(programs)
        self.inputs: dict[str, list[Mapping[str, npt.NDArray[np.float32]]]] = {
            program.name: [] for program in programs
        }

    def run(
        self, program: str, inputs: Mapping[str, npt.NDArray[Any]]
    ) -> dict[str, npt.NDArray[Any]]:
        """See :class:`tracenet_runtime.replay.Engine`."""
        self.inputs[program].append(dict(inputs))
        return self._engine.run(program, inputs)


def calibration_photos(folder: Path, seed: int = 0) -> list[Photo]:
    """Some of the photos in a folder, the same ones each time.

    Where a photo is `ID.jpg` and there is an `ID.png` as well, that is its instance map and no
    photo.

    Raises:
        ExportError: the folder cannot be read or holds too few photos.
        PhotoError: a photo cannot be decoded.
    """
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)
    except OSError as error:
        raise ExportError(
            f"the calibration folder {folder} cannot be read: {error.strerror or error}"
        ) from error
    photographed = {path.stem for path in files if path.suffix.lower() in (".jpg", ".jpeg")}
    photos = [
        path for path in files if path.suffix.lower() != ".png" or path.stem not in photographed
    ]
    if len(photos) < FEWEST_PHOTOS:
        raise ExportError(
            f"{folder} holds {len(photos)} photos; int8 is calibrated with {FEWEST_PHOTOS} at "
            "least, of the kind that users will tap"
        )
    chosen = np.random.default_rng(seed).permutation(len(photos))[:MOST_PHOTOS]
    return [load_photo(photos[index]) for index in sorted(chosen)]


def calibrate(
    manifest: Manifest, programs: Sequence[Program], photos: Sequence[Photo], seed: int = 0
) -> Calibration:
    """Replay every schedule on the photos in PyTorch, with every mask window.

    Args:
        manifest: has the schedules; its files are not read.
        programs: those that it names.
        photos: uint8 RGB H x W x 3.
        seed: of the taps.
    """
    random = np.random.default_rng(seed)
    engine = _RecordingEngine(programs)
    for schedule in manifest.schedules:
        height, width = schedule.canvas
        canvas = Canvas(height, width, manifest.pad_value)
        table = make_table(schedule, height, width)
        replay = Replay(manifest, schedule, height, width, table, engine)
        for photo in tqdm(photos, unit="photo", desc=f"calibrating {schedule.name}"):
            pixels, placement = canvas.fit(photo)
            arrays = replay.encode(pixels)
            for _ in range(_TAPS_PER_PHOTO):
                tap = int(random.integers(photo.shape[1])), int(random.integers(photo.shape[0]))
                query = replay.answer_query(arrays, placement.to_canvas(*tap))
                for mask in range(len(schedule.masks)):
                    replay.compute_mask(query, query.best_level, mask)
    return engine.inputs
