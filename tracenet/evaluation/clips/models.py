"""What carries masks through clips."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from tracenet.evaluation.answers import Photo
from tracenet.evaluation.metrics import Mask
from tracenet.evaluation.models import FullNet
from tracenet.evaluation.propagator import TorchPropagation
from tracenet.model import DEFAULT_CANVAS, TraceNet
from tracenet_runtime.image.canvas import Canvas
from tracenet_runtime.segmenter import TapSegmenter
from tracenet_runtime.tracking.groups import GroupTracker
from tracenet_runtime.tracking.tracker import F


class ClipModel(Protocol):
    """Answers taps on a frame, and follows what has a mask."""

    @property
    def computed(self) -> str:
        """How, for the results."""
        ...

    def tap(self, frame: Photo, x: int, y: int) -> Mask:
        """The mask, bool H x W, of what is at a pixel of a frame."""
        ...

    def follow(self, frames: Iterable[Photo], masks: Sequence[Mask]) -> Iterator[list[Mask]]:
        """The masks of things in every frame but the first.

        Args:
            frames: in order, the first of which ``masks`` belong to.
            masks: bool H x W, one per thing.
        """
        ...


class PropagatingNetwork:
    """A network with propagation, in PyTorch; see :class:`ClipModel`.

    Args:
        network: in eval mode.

    Raises:
        CheckpointError: it has no propagation.
    """

    computed = "propagation in PyTorch"

    def __init__(self, network: TraceNet) -> None:
        self._programs = TorchPropagation(network)
        self._full = FullNet(network, Canvas(*DEFAULT_CANVAS, network.pad_value))

    def tap(self, frame: Photo, x: int, y: int) -> Mask:
        """See :class:`ClipModel`; FullNet's answer."""
        (mask,) = self._full.open(frame, "frame").chosen_level([(x, y)])
        return mask

    def follow(self, frames: Iterable[Photo], masks: Sequence[Mask]) -> Iterator[list[Mask]]:
        """See :class:`ClipModel`."""
        return _followed(GroupTracker(self._programs, len(masks)), frames, masks)


class TrackingBundle:
    """A bundle that tracks; see :class:`ClipModel`.

    Args:
        segmenter: of the bundle.

    Raises:
        BundleError: it does not track.
    """

    computed = "the programs of a bundle"

    def __init__(self, segmenter: TapSegmenter) -> None:
        self._segmenter, self._programs = segmenter, segmenter.track_network()
        tracking = segmenter.bundle.manifest.tracking
        assert tracking is not None  # it has programs
        self._rule = tracking.rule

    def tap(self, frame: Photo, x: int, y: int) -> Mask:
        """See :class:`ClipModel`; as the bundle answers taps."""
        return self._segmenter.tap(frame, (x, y)).mask

    def follow(self, frames: Iterable[Photo], masks: Sequence[Mask]) -> Iterator[list[Mask]]:
        """See :class:`ClipModel`."""
        return _followed(GroupTracker(self._programs, len(masks), self._rule), frames, masks)


def _followed(
    tracker: GroupTracker[F], frames: Iterable[Photo], masks: Sequence[Mask]
) -> Iterator[list[Mask]]:
    for number, frame in enumerate(frames):
        if number:
            yield [tracked.mask() for tracked in tracker.step(number, frame)]
        else:
            tracker.touch(0, frame, masks)
