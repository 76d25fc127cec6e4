"""Evaluation of one clip by rounds: scribble on the worst frame, carry the mask, score."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from tracenet.data import IGNORE
from tracenet.data.clips import Clip
from tracenet.evaluation.answers import Photo
from tracenet.evaluation.clips.follow import LEAST_FRAMES
from tracenet.evaluation.clips.measures import boundary_f, jaccard
from tracenet.evaluation.clips.robot import WIDTH, scribbles
from tracenet.evaluation.metrics import Mask
from tracenet.evaluation.propagator import TorchPropagation
from tracenet.evaluation.scores import PhotoScore
from tracenet.model import TraceNet
from tracenet_runtime.segmenter import TapSegmenter
from tracenet_runtime.tracking.passes import ClipPasses

ROUNDS = 8

RIGHT = 0.9
"""J of a frame whose mask is right, which a correction elsewhere should leave so."""


@dataclass(frozen=True, slots=True)
class RoundsScore:
    """A thing over the rounds; see :class:`~tracenet.evaluation.scores.Scored`.

    Attributes:
        instance: its number in the clip's maps.
        area: frame pixels in the first frame.
        j, f: by round, means over the frames but the first and the last.
        frames: by round, the frame that was scribbled on; None where nothing was wrong any more.
        spoilt: of all frames that were right before a round and not scribbled on in it, the sum of
            what their J fell by, and their number.
        category: None; clips have no categories.
    """

    instance: int
    area: int
    j: tuple[float, ...]
    f: tuple[float, ...]
    frames: tuple[int | None, ...]
    spoilt: tuple[float, int]
    category: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """See :class:`~tracenet.evaluation.scores.Scored`."""
        return {
            "instance": self.instance,
            "area": self.area,
            "j": list(self.j),
            "f": list(self.f),
            "frames": list(self.frames),
            "spoilt": list(self.spoilt),
        }

    @classmethod
    def from_dict(cls, line: dict[str, Any]) -> Self:
        """See :class:`~tracenet.evaluation.scores.Scored`."""
        fall, frames = line["spoilt"]
        return cls(
            line["instance"],
            line["area"],
            tuple(line["j"]),
            tuple(line["f"]),
            tuple(line["frames"]),
            (fall, frames),
        )


class _Frames(Sequence[Photo]):
    """A clip's frames, read when they are wanted."""

    def __init__(self, clip: Clip) -> None:
        self._clip = clip

    def __len__(self) -> int:
        return len(self._clip)

    def __getitem__(self, number: Any) -> Any:
        return self._clip.photo(number)


class Corrected:
    """A bundle's sessions correct frames; a network's propagation carries the masks.

    Args:
        segmenter: of a bundle with a guided look.
        network: with propagation and fusion, in eval mode.
    """

    computed = "sessions of a bundle, propagation in PyTorch"

    def __init__(self, segmenter: TapSegmenter, network: TraceNet) -> None:
        self._segmenter, self._programs = segmenter, TorchPropagation(network)

    def open(self, clip: Clip) -> ClipPasses[Any]:
        """One thing of a clip, of which nothing is known."""
        return ClipPasses(self._programs, _Frames(clip))

    def correct(self, frame: Photo, mask: Mask, truth: Mask, known: Mask) -> Mask | None:
        """The mask after the robot's lines; None where it has nothing to draw."""
        lines = scribbles(mask, truth, known)
        if not lines:
            return None
        with self._segmenter.open(frame) as session:
            if mask.any():
                session.start_from(mask)
            elif not lines[0].positive:
                return None  # what is not there cannot be taken away
            for line in lines:
                result = session.scribble(line.points, WIDTH, positive=line.positive)
            return result.mask


def score_rounds(model: Corrected, index: int, clip: Clip) -> PhotoScore[RoundsScore]:
    """The scores of the things that a clip's first frame shows, each by itself.

    Args:
        model: what corrects and carries.
        index: of the clip in its folder.
        clip: at least ``LEAST_FRAMES`` long, else nothing is scored.
    """
    first = clip.instance_map(0)
    things = [int(value) for value in np.unique(first) if value not in (0, IGNORE)]
    if len(clip) < LEAST_FRAMES:
        things = []
    scores = tuple(_thing(model, clip, thing) for thing in things)
    return PhotoScore(index, clip.id, model.computed if scores else "nothing", scores)


def _thing(model: Corrected, clip: Clip, thing: int) -> RoundsScore:
    maps = [clip.instance_map(number) for number in range(len(clip))]
    truths, knowns = [m == thing for m in maps], [m != IGNORE for m in maps]
    masks = [np.zeros_like(truth) for truth in truths]
    passes = model.open(clip)
    js: list[float] = []
    by_round: list[tuple[float, float, int | None]] = []
    fall, right = 0.0, 0
    for _ in range(ROUNDS):
        before = js
        at = _scribbled(model, clip, passes, masks, truths, knowns, js)
        js = [jaccard(m & k, t) for m, k, t in zip(masks, knowns, truths, strict=True)]
        fs = [
            boundary_f(m & k, t)
            for m, k, t in zip(masks[1:-1], knowns[1:-1], truths[1:-1], strict=True)
        ]
        by_round.append((float(np.mean(js[1:-1])), float(np.mean(fs)), at))
        for number, (old, new) in enumerate(zip(before, js, strict=False)):
            if old > RIGHT and number != at:
                fall, right = fall + old - new, right + 1
    j, f, frames = zip(*by_round, strict=True)
    area = int(np.count_nonzero(truths[0]))
    return RoundsScore(thing, area, j, f, frames, (fall, right))


def _scribbled(
    model: Corrected,
    clip: Clip,
    passes: ClipPasses[Any],
    masks: list[Mask],
    truths: Sequence[Mask],
    knowns: Sequence[Mask],
    js: Sequence[float],
) -> int | None:
    """One round: scribble on a frame, and bring ``masks`` up to date; the frame's number."""
    for number in _worst_first(js, passes.touched):
        mask = model.correct(clip.photo(number), masks[number], truths[number], knowns[number])
        if mask is None:
            continue
        passes.touch(number, {0: mask})
        for place in iter(passes.advance, None):
            result = passes.result(place)
            assert result is not None  # it is new
            masks[place] = result.things[0].mask()
        return number
    return None


def _worst_first(js: Sequence[float], touched: Collection[int]) -> Iterator[int]:
    """The first frame; then those not scribbled on yet, the least J first."""
    if not js:
        yield 0
    yield from (
        number for number in np.argsort(js, kind="stable").tolist() if number not in touched
    )
