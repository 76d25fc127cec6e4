"""Clips that were followed, as a contact sheet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import numpy as np
from PIL import Image

from tracenet.data.clips import Clip
from tracenet.evaluation.clips.follow import Beginning, followed
from tracenet.evaluation.clips.models import ClipModel
from tracenet.evaluation.clips.scores import ObjectScore
from tracenet.evaluation.metrics import Mask
from tracenet.evaluation.pictures import frame_tile, write_grid
from tracenet.evaluation.scores import PhotoScore
from tracenet.evaluation.scoring import Examples

SHOWN_THINGS = 8
SHOWN_FRAMES = 6


def write_contact_sheet(
    path: Path,
    scores: Sequence[PhotoScore[ObjectScore]],
    clips: Examples[Clip],
    model: ClipModel,
    beginning: Beginning,
) -> None:
    """The things with the least J and F, a row each: frames from the first scored to the last.

    They are followed again. The mask is tinted, the truth outlined.
    """
    shown = [(clip, score) for clip in scores for score in clip.instances]
    shown.sort(key=lambda one: fmean((*one[1].j, *one[1].f)))
    tiles = []
    for clip, score in shown[:SHOWN_THINGS]:
        tiles += _row(clips[clip.index], clip, score, model, beginning)
    write_grid(path, tiles, SHOWN_FRAMES)


def _row(
    clip: Clip,
    scored: PhotoScore[ObjectScore],
    score: ObjectScore,
    model: ClipModel,
    beginning: Beginning,
) -> list[Image.Image]:
    wanted = np.linspace(1, len(clip) - 2, SHOWN_FRAMES).round().astype(int).tolist()
    # All of its things at once, as for the scores: they share a tile, and what cells are whose.
    things = [one.instance for one in scored.instances]
    masks: dict[int, Mask] = {
        number: found[things.index(score.instance)]
        for number, found in followed(model, clip, things, beginning)
        if number in wanted
    }
    return [
        frame_tile(
            clip.photo(number),
            masks[number],
            clip.instance_map(number) == score.instance,
            f"J {score.j[number - 1]:.2f} F {score.f[number - 1]:.2f}  {clip.id} {number}",
        )
        for number in wanted
    ]
