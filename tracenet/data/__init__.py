"""Annotated photos, augmentation, and the taps that training draws."""

from tracenet.data.augment import Augmentation
from tracenet.data.examples import (
    AnnotatedPhoto,
    CocoDataset,
    DataError,
    FolderDataset,
    PhotoDataset,
)
from tracenet.data.taps import Recipe, StepDataset, StepSampler, TapBatch

__all__ = [
    "AnnotatedPhoto",
    "Augmentation",
    "CocoDataset",
    "DataError",
    "FolderDataset",
    "PhotoDataset",
    "Recipe",
    "StepDataset",
    "StepSampler",
    "TapBatch",
]
