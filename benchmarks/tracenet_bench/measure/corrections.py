"""Corrections that stay on their tile: where, and what they take."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from tracenet_bench.measure.shown import Photo, show
from tracenet_runtime.answer.correction import Run
from tracenet_runtime.answer.result import TapResult
from tracenet_runtime.graph.schedule import Choice
from tracenet_runtime.segmenter import TapSegmenter
from tracenet_runtime.strategies.guided import Guided

PLACES = ((0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75), (0.5, 0.5))
"""Of a tile, as shares of its width and height: the middles of its quarters, and its own."""

At = tuple[int, int]


@dataclass(frozen=True)
class Took:
    """Milliseconds of an operation in all and by stage, and its multiply-adds."""

    milliseconds: float
    stages: Mapping[str, float]
    macs: int


def place_to_correct(segmenter: TapSegmenter, photo: Photo, at: At) -> At | None:
    """Where a negative tap corrects what a tap at ``at`` gave without another tile.

    The first of ``PLACES`` on the tile of that tap, as a photo pixel (x, y); None where each moves
    the tile, as all do where the mask reaches over the tile's sides.
    """
    with segmenter.open(photo) as session:
        for across, down in PLACES:
            session.clear()
            x0, y0, x1, y1 = session.tap(at).tile or (0, 0, photo.shape[1], photo.shape[0])
            place = int(x0 + across * (x1 - x0)), int(y0 + down * (y1 - y0))
            if "encode" not in session.tap(place, positive=False).timings_ms:
                return place
    return None


def correct(segmenter: TapSegmenter, photo: Photo, at: At, place: At) -> dict[str, Took]:
    """What :class:`schema.Operation` names: a correction of a tap, undone, and its tile encoded.

    The photo is opened, tapped and shown before, which is in no figure.
    """
    strategy, run = segmenter.strategy, Run({})
    assert isinstance(strategy, Guided)
    with segmenter.open(photo) as session:
        first = show(lambda: session.tap(at), photo).answer
        correction = show(lambda: session.tap(place, positive=False), photo)
        undo = show(session.undo, photo)
    tile = first.tile or (0, 0, photo.shape[1], photo.shape[0])
    began = time.perf_counter()
    with run.stage("encode") as inner:
        encoded = segmenter.viewer.encode(Choice.own(strategy.tile), photo, inner, tile).encoded
    encode = 1000 * (time.perf_counter() - began)
    return {
        "encode": Took(encode, run.timings, encoded.spent),
        "correction": Took(
            correction.milliseconds,
            stages_of(correction.answer) | {"paste": correction.paste},
            correction.answer.macs,
        ),
        "undo": Took(undo.milliseconds, {"paste": undo.paste}, 0),
    }


def stages_of(result: TapResult) -> dict[str, float]:
    """Milliseconds of an answer by stage, without its total."""
    return {name: ms for name, ms in result.timings_ms.items() if name != "total"}
