"""Photos held back from training, to choose by what has not been learnt by heart."""

from __future__ import annotations

from tracenet.data.annotated import AnnotatedPhoto, DataError, PhotoDataset
from tracenet.data.problems import Problems


class HeldOut:
    """Every ``every``-th photo of a dataset, or all the others.

    Which photos these are depends on their order alone, so training and evaluation that read the
    same data agree on them.

    Args:
        photos: the dataset.
        every: at least 2.
        training: give the others, those to train on.

    Raises:
        DataError: the dataset has fewer than ``every`` photos.
    """

    def __init__(self, photos: PhotoDataset, every: int, *, training: bool) -> None:
        if len(photos) < every:
            raise DataError(
                f"1 photo in {every} cannot be held out of {len(photos)}; give a smaller number"
            )
        self._photos = photos
        self._indices = [
            index for index in range(len(photos)) if (index % every == every - 1) != training
        ]
        self.weights = photos.weights[self._indices]

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> AnnotatedPhoto:
        return self._photos[self._indices[index]]

    @property
    def problems(self) -> Problems:
        """Those of the whole dataset."""
        return self._photos.problems
