"""What a bundle's programs see on real photos, for choosing the scales of int8."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm.auto import tqdm

from tracenet_export.clips import moving_clips, track
from tracenet_export.draft import Draft
from tracenet_export.errors import ExportError
from tracenet_export.parity import TorchEngine
from tracenet_export.programs import Program
from tracenet_export.sessions import make_session, random_gestures
from tracenet_export.targets import Calibration
from tracenet_runtime.answer.look import Viewer
from tracenet_runtime.bundle.choice import own_strategy
from tracenet_runtime.graph.schedule import Choice
from tracenet_runtime.image.photo import load_photo
from tracenet_runtime.image.photo_folder import photos_in
from tracenet_runtime.image.pixels import Photo
from tracenet_runtime.strategies.guided import Guided

MOST_PHOTOS = 24
FEWEST_PHOTOS = 8
_TAPS_PER_PHOTO = 2
_GESTURES_PER_PHOTO = 4
_FRAMES_PER_PHOTO = 4
_MOST_BYTES = 4 << 30


class _RecordingEngine:
    """Runs programs in PyTorch and keeps what they are given, in files: memory is too small."""

    def __init__(self, programs: Sequence[Program], folder: Path) -> None:
        self._engine = TorchEngine(programs)
        self._folder = folder
        self._files = 0
        self.bytes = 0
        self.inputs: dict[str, list[Mapping[str, npt.NDArray[np.float32]]]] = {
            program.name: [] for program in programs
        }

    def run(
        self, program: str, inputs: Mapping[str, npt.NDArray[Any]]
    ) -> dict[str, npt.NDArray[Any]]:
        """See :class:`tracenet_runtime.graph.executor.Engine`."""
        self.inputs[program].append({name: self._kept(value) for name, value in inputs.items()})
        return self._engine.run(program, inputs)

    def _kept(self, value: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        path = self._folder / f"{self._files}.npy"
        self._files += 1
        self.bytes += value.nbytes
        np.save(path, value)
        kept: npt.NDArray[np.float32] = np.load(path, mmap_mode="r")
        return kept


def calibration_photos(folder: Path, seed: int = 0) -> list[Path]:
    """Some of the photos in a folder, the same ones each time, in an order of their own.

    Raises:
        PhotoError: the folder cannot be read.
        ExportError: it holds too few photos.
    """
    photos = photos_in(folder)
    if len(photos) < FEWEST_PHOTOS:
        raise ExportError(
            f"{folder} holds {len(photos)} photos; int8 is calibrated with {FEWEST_PHOTOS} at "
            "least, of the kind that users will tap"
        )
    chosen = np.random.default_rng(seed).permutation(len(photos))[:MOST_PHOTOS]
    return [photos[index] for index in chosen]


@contextlib.contextmanager
def calibrated(draft: Draft, photos: Sequence[Path], seed: int = 0) -> Iterator[Calibration]:
    """Replay every schedule on photos in PyTorch, with every mask window and with corrections.

    Where the network tracks things, each photo becomes a short clip.

    Where windows are very large, fewer photos are replayed, `FEWEST_PHOTOS` at least.

    Args:
        draft: has the programs and schedules.
        photos: their files.
        seed: of the taps.

    Yields:
        What the programs were given; it is gone when the block ends.

    Raises:
        PhotoError: a photo cannot be decoded.
    """
    random = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        assembly = draft.assembly
        engine = _RecordingEngine(assembly.programs, Path(folder))
        viewer = draft.viewer(assembly.described(), engine)
        choices = [Choice.own(schedule) for schedule in assembly.schedules]
        strategy = own_strategy(assembly.schedules, draft.strategy)
        for number, path in enumerate(tqdm(photos, unit="photo", desc="calibrating")):
            if number >= FEWEST_PHOTOS and engine.bytes * (number + 1) / number > _MOST_BYTES:
                break
            photo = load_photo(path)
            for choice in choices:
                _look(viewer, choice, photo, random)
            if isinstance(strategy, Guided):
                gestures = random_gestures(photo.shape[:2], _GESTURES_PER_PHOTO, random)
                for _ in make_session(strategy, viewer, photo, gestures):
                    pass
            if assembly.tracking is not None:
                network = draft.track_programs(assembly.described(), engine)
                for clip in moving_clips(strategy, viewer, [photo], _FRAMES_PER_PHOTO):
                    for _ in track(assembly.tracking, network, clip):
                        pass
        yield engine.inputs


def _look(viewer: Viewer, choice: Choice, photo: Photo, random: np.random.Generator) -> None:
    view = viewer.encode(choice, photo, {})
    for _ in range(_TAPS_PER_PHOTO):
        tap = int(random.integers(photo.shape[1])), int(random.integers(photo.shape[0]))
        look = view.look(tap, {})
        for window in range(len(choice.schedule.graph.windows)):
            look.replay.compute_mask(look.query, look.query.best_level, window)
