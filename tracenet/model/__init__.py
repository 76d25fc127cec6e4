"""The network: configurations, FullNet, its answers to taps, and checkpoints."""

from tracenet.model.checkpoint import (
    CheckpointError,
    build_network,
    check_weights,
    checkpoint_licence,
    load_checkpoint,
    save_checkpoint,
    shipped_checkpoint,
    untrained_network,
    with_fusion,
    with_guided_look,
    with_propagation,
    without_guided_look,
)
from tracenet.model.config import (
    COARSEST_STRIDE,
    CONFIGS,
    DEFAULT_CANVAS,
    LEVELS,
    CanvasError,
    Level,
    TraceNetConfig,
    check_canvas,
)
from tracenet.model.fullnet import TapAnswers, answer_taps
from tracenet.model.mask_head import MaskHead, MaskProbability
from tracenet.model.network import TraceNet
from tracenet.model.score import tap_score
from tracenet.model.trunk import load_trunk

__all__ = [
    "COARSEST_STRIDE",
    "CONFIGS",
    "DEFAULT_CANVAS",
    "LEVELS",
    "CanvasError",
    "CheckpointError",
    "Level",
    "MaskHead",
    "MaskProbability",
    "TapAnswers",
    "TraceNet",
    "TraceNetConfig",
    "answer_taps",
    "build_network",
    "check_canvas",
    "check_weights",
    "checkpoint_licence",
    "load_checkpoint",
    "load_trunk",
    "save_checkpoint",
    "shipped_checkpoint",
    "tap_score",
    "untrained_network",
    "with_fusion",
    "with_guided_look",
    "with_propagation",
    "without_guided_look",
]
