"""Scores of masks for taps: FullNet from a checkpoint, or the replay of a bundle."""

from tracenet.evaluation.evaluate import TapModel, evaluate
from tracenet.evaluation.metrics import InstanceScore, Summary, mask_iou, summarise

__all__ = ["InstanceScore", "Summary", "TapModel", "evaluate", "mask_iou", "summarise"]
