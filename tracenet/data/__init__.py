"""Annotated photos, augmentation, and the taps that training draws."""

from tracenet.data.annotated import IGNORE, AnnotatedPhoto, DataError, Instance, PhotoDataset
from tracenet.data.augment import Augmentation
from tracenet.data.coco import CocoDataset
from tracenet.data.copy_paste import CopyPaste
from tracenet.data.folder import FolderDataset
from tracenet.data.held_out import HeldOut
from tracenet.data.lvis import LvisDataset
from tracenet.data.problems import Problem, Problems
from tracenet.data.source import open_dataset
from tracenet.data.taps import TapBatch, TapDataset, TapInputs
from tracenet.data.tiles import TileAugmentation

__all__ = [
    "IGNORE",
    "AnnotatedPhoto",
    "Augmentation",
    "CocoDataset",
    "CopyPaste",
    "DataError",
    "FolderDataset",
    "HeldOut",
    "Instance",
    "LvisDataset",
    "PhotoDataset",
    "Problem",
    "Problems",
    "TapBatch",
    "TapDataset",
    "TapInputs",
    "TileAugmentation",
    "open_dataset",
]
