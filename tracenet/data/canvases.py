"""Training canvases: a random photo, cropped or tiled, with things of others pasted on."""

from __future__ import annotations

import numpy as np

from tracenet.data.annotated import AnnotatedPhoto, DataError, PhotoDataset
from tracenet.data.augment import Augmentation, Crop, random_crop
from tracenet.data.copy_paste import CopyPaste, copy_paste
from tracenet.data.tiles import TileAugmentation

MAXIMUM_TRIES = 1000
"""Canvases in a row that may show no thing before a dataset counts as empty."""


class CanvasSource:
    """Draws canvases of photos, each photo as often as the dataset says.

    Args:
        photos: where canvases come from.
        pad_value: RGB colour beside a photo.
        augmentation: how photos vary.
        copy_paste: how things of other photos are pasted.
        tiles: which canvases are tiles about a thing.
    """

    def __init__(
        self,
        photos: PhotoDataset,
        pad_value: tuple[int, int, int],
        augmentation: Augmentation,
        copy_paste: CopyPaste,
        tiles: TileAugmentation,
    ) -> None:
        self._photos, self._pad_value = photos, pad_value
        self._augmentation, self._copy_paste, self._tiles = augmentation, copy_paste, tiles
        self._cumulative = np.cumsum(photos.weights / photos.weights.sum())

    def draw(self, size: int, random: np.random.Generator) -> Crop:
        """A size x size canvas on which at least one thing is tapped.

        Raises:
            DataError: a photo is missing or damaged, or hardly any photo has a thing on it.
        """
        for _ in range(MAXIMUM_TRIES):
            crop = random_crop(
                self.photo(random), size, self._pad_value, self._augmentation, random, self._tiles
            )
            crop = copy_paste(
                crop,
                lambda: self.photo(random),
                self._pad_value,
                self._augmentation,
                self._copy_paste,
                random,
            )
            if crop.tapped.any():
                return crop
        raise DataError(
            f"{MAXIMUM_TRIES} crops in a row showed no thing; check that the photos have masks"
        )

    def photo(self, random: np.random.Generator) -> AnnotatedPhoto:
        """A photo as it is."""
        index = int(np.searchsorted(self._cumulative, random.random()))
        return self._photos[min(index, len(self._photos) - 1)]
