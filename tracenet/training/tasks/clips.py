"""What tasks that train on clips share."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, ClassVar

from tracenet.data import PhotoDataset
from tracenet.data.clips import Clip
from tracenet.data.video import VideoDataset, VideoInputs


class ClipTask:
    """The examples of a task on clips; see :class:`~tracenet.training.task.TrainingTask`.

    Args:
        photos: that clips are made of.
        clips: real ones to train on.
        inputs: what a step is made of.
        pad_value: RGB colour beside a frame.
        held_back: clips that ``metrics`` scores.
    """

    FIRST_MASKS: ClassVar[Mapping[str, Any]] = {}
    """Of ``inputs``, what the task has otherwise."""

    def __init__(
        self,
        photos: PhotoDataset,
        clips: Sequence[Clip],
        inputs: VideoInputs,
        pad_value: tuple[int, int, int],
        held_back: Sequence[Clip] = (),
    ) -> None:
        self._photos, self._clips = photos, clips
        self._inputs = replace(inputs, **self.FIRST_MASKS)
        self._pad_value, self._held_back = pad_value, held_back

    @property
    def settings(self) -> Mapping[str, Any]:
        """See :class:`~tracenet.training.task.TrainingTask`."""
        photos = [len(self._photos), zlib.crc32(self._photos.weights.tobytes())]
        return {
            **asdict(self._inputs),
            "photos": photos,
            "clips": [clip.id for clip in self._clips],
        }

    def dataset(self, seed: int, process: int, processes: int) -> VideoDataset:
        """See :class:`~tracenet.training.task.TrainingTask`."""
        return VideoDataset(
            self._photos, self._clips, self._inputs, self._pad_value, seed, process, processes
        )
