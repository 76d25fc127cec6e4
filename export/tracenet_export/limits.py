"""What an export must reach."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What an export must reach, or it fails.

    Attributes:
        program_error: a program's tensors may differ from PyTorch's by this, given the same inputs:
            the largest |a - b| over the largest |b|.
        replay_error: the same for scores, boxes and filters of the whole replay against FullNet.
        mask_error: the same for its masks; None where borders are to be expected that lie a cell
            further, which changes a cell of a mask by up to 1 and is what IoU and the average see.
        answer_error: scores, boxes and masks of the replay may differ by this on average: the mean
            |a - b| over the largest |b|. IoU alone does not show scores and boxes that are off.
        iou_mean: mean over taps of the IoU with FullNet's mask inside the window; a tap that
            another level answers counts as 0.
        iou_p5: their 5th percentile; None where a few flips are to be expected, which would be all
            that it shows.
        session_iou: mean IoU with PyTorch's masks after each gesture of sessions, in which
            differences add up.
        clip_iou: the same of masks carried through clips, in which they do, too.
        frame_iou: the same of masks carried to one frame, from PyTorch's masks and memory.
    """

    program_error: float
    replay_error: float
    mask_error: float | None
    answer_error: float
    iou_mean: float
    iou_p5: float | None
    session_iou: float
    clip_iou: float
    frame_iou: float


FP32 = Limits(
    program_error=1e-4,
    replay_error=1e-4,
    mask_error=1e-4,
    answer_error=1e-4,
    iou_mean=0.999,
    iou_p5=0.99,
    session_iou=0.99,
    clip_iou=0.98,
    frame_iou=0.995,
)
FP16 = Limits(
    program_error=0.05,
    replay_error=0.1,
    mask_error=0.1,
    answer_error=0.002,
    iou_mean=0.99,
    iou_p5=0.95,
    session_iou=0.98,
    clip_iou=0.95,
    frame_iou=0.995,
)
INT8 = Limits(
    program_error=0.5,
    replay_error=0.6,
    mask_error=None,
    answer_error=0.03,
    iou_mean=0.8,
    iou_p5=None,
    session_iou=0.7,
    clip_iou=0.7,
    frame_iou=0.8,
)
INT8_WEIGHTS = Limits(
    program_error=0.2,
    replay_error=0.4,
    mask_error=None,
    answer_error=0.03,
    iou_mean=0.9,
    iou_p5=None,
    session_iou=0.8,
    clip_iou=0.8,
    frame_iou=0.9,
)

RANDOM_WEIGHTS = Limits(
    program_error=1e-3,
    replay_error=1e-2,
    mask_error=1e-2,
    answer_error=1e-3,
    iou_mean=0.0,
    iou_p5=None,
    session_iou=0.0,
    clip_iou=0.0,
    frame_iou=0.0,
)
"""In fp32, of weights that were never trained: their answers turn on the smallest rounding."""
