"""How the zoom's rule was chosen: every setting of it, on photos that were held out of training.

Looks are FullNet's, which the replay equals, so that nothing has to be exported for a setting.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tqdm.auto import tqdm

from tracenet.data import DataError, FolderDataset, HeldOut, PhotoDataset
from tracenet.evaluation.answers import Photo
from tracenet.evaluation.metrics import Mask, Truth
from tracenet.evaluation.models import run_on_canvas
from tracenet.evaluation.protocol import Tap, TapProtocol
from tracenet.model import (
    TraceNet,
    answer_taps,
    check_canvas,
    load_checkpoint,
    shipped_checkpoint,
)
from tracenet.options import DEFAULT_NETWORK, add_held_out
from tracenet_runtime.arguments import canvas_side, tap_count, thread_count
from tracenet_runtime.cores import default_threads, warn_of_threads
from tracenet_runtime.image.canvas import Canvas
from tracenet_runtime.image.geometry import Box
from tracenet_runtime.image.mask import place_mask
from tracenet_runtime.strategies.rules import ZoomRule
from tracenet_runtime.tool import ToolParser, print_results, run_tool

EXAMPLE = """example:
  python benchmarks/zoom_search.py --data photos/train --held-out 20"""

_RULE = ZoomRule(0, 0, extent=1.0, enlarge=4.0, gain=1e-9, inside=0.8, trust=0.0)
"""Always a second look, which always answers; the search sets the rest."""

_EXTENTS = (0.5, 0.625, 0.75, 0.875)
_GAINS = (0.0, 1.2, 1.5, 2.0)
_TRUSTS = (0.0, 0.6, 0.7, 0.8)

_Values = npt.NDArray[np.float64]


class _Outputs:
    """What FullNet makes of a photo, or of a tile of one, on a square canvas."""

    def __init__(self, network: TraceNet, side: int, photo: Photo) -> None:
        canvas = Canvas(side, side, network.pad_value)
        self._outputs, self.placement = run_on_canvas(network, canvas, photo)
        self._window = 0, 0, side, side

    def tap(self, at: tuple[float, float]) -> tuple[float, Box, Mask]:
        """Score, box and mask of the best level, in pixels of the photo or tile."""
        place = self.placement
        answers = answer_taps(self._outputs, torch.tensor([place.to_canvas(*at)]), probability=True)
        best = int(answers.score[0].argmax())
        x0, y0, x1, y1 = answers.box[0, best].tolist()
        mask = place_mask(answers.mask[0, best].numpy(), self._window, place)
        return float(answers.score[0, best]), place.box_to_photo((x0, y0, x1, y1)), mask


@dataclass(frozen=True)
class Search:
    """What both looks gave at every tap.

    Attributes:
        instance: of each tap, its instance's number, from 0 or 1 on.
        first: side of the first canvas -> IoU and score, by tap.
        near: (first side, tile side, extent) -> IoU, score, and the scale as a multiple of the
            first look's, by tap.
    """

    instance: npt.NDArray[np.intp]
    first: Mapping[int, tuple[_Values, _Values]]
    near: Mapping[tuple[int, int, float], tuple[_Values, _Values, _Values]]

    def mean(self, ious: _Values) -> float:
        """mIoU-T: the mean over instances of the mean over each one's taps."""
        sums = np.bincount(self.instance, ious)
        counts = np.bincount(self.instance)
        return float((sums[counts > 0] / counts[counts > 0]).mean())

    def settings(self) -> Iterator[dict[str, float]]:
        """mIoU-T of every setting, and the share of taps that are looked at twice."""
        for (first, tile, extent), (iou, score, gained) in self.near.items():
            first_iou, first_score = self.first[first]
            for gain, trust in itertools.product(_GAINS, _TRUSTS):
                twice = gained >= gain
                answers = twice & (score >= trust * first_score)
                yield {
                    "first": first,
                    "tile": tile,
                    "extent": extent,
                    "gain": gain,
                    "trust": trust,
                    "miou_t": self.mean(np.where(answers, iou, first_iou)),
                    "looked_twice": float(twice.mean()),
                }


@torch.inference_mode()
def search(
    network: TraceNet,
    photos: PhotoDataset,
    taps: int,
    firsts: list[int],
    tiles: list[int],
    seed: int = 0,
) -> Search:
    """Look at every tap with every first canvas, tile canvas and extent.

    Args:
        network: in eval mode.
        photos: annotated.
        taps: for each instance.
        firsts, tiles: sides of canvases, pixels.
        seed: of the taps.
    """
    protocol = TapProtocol(taps=taps, seed=seed)
    rows: list[dict[Any, float]] = []
    instances_seen = 0
    for index in tqdm(range(len(photos)), unit="photo", desc="looking twice"):
        example = photos[index]
        drawn = protocol.draw(index, example)
        if not drawn:
            continue
        wholes = {side: _Outputs(network, side, example.photo) for side in firsts}
        for number, group in drawn.items():
            truth = Truth(example.masks[number], example.ignore)
            instances_seen += 1
            rows += [
                {
                    "instance": instances_seen,
                    **_look_twice(network, example.photo, truth, at, wholes, tiles),
                }
                for at in group
            ]
    if not rows:
        raise DataError("no instance of these photos is large enough to be tapped; give others")
    columns = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    found = itertools.product(firsts, tiles, _EXTENTS)
    return Search(
        columns.pop("instance"),
        {side: (columns[side, "iou"], columns[side, "score"]) for side in firsts},
        {key: tuple(columns[*key, what] for what in ("iou", "score", "gain")) for key in found},  # type: ignore[misc]
    )


def _look_twice(
    network: TraceNet,
    photo: Photo,
    truth: Truth,
    at: Tap,
    wholes: Mapping[int, _Outputs],
    tiles: list[int],
) -> dict[Any, float]:
    row: dict[Any, float] = {}
    for first, whole in wholes.items():
        score, box, mask = whole.tap(at)
        row[first, "iou"], row[first, "score"] = truth.iou(mask), score
        for tile, extent in itertools.product(tiles, _EXTENTS):
            rule = replace(_RULE, extent=extent * tile)
            x0, y0, x1, y1 = rule.choose_tile((tile, tile), whole.placement, at, box) or (0,) * 4
            near = _Outputs(network, tile, photo[y0:y1, x0:x1])
            near_score, _, near_mask = near.tap((at[0] - x0, at[1] - y0))
            moved = np.zeros(photo.shape[:2], np.bool_)
            moved[y0:y1, x0:x1] = near_mask
            key = first, tile, extent
            row[*key, "iou"], row[*key, "score"] = truth.iou(moved), near_score
            row[*key, "gain"] = rule.gained(whole.placement, box)
    return row


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = ToolParser(
        prog="python benchmarks/zoom_search.py", description=__doc__ or "", epilog=EXAMPLE
    )
    parser.add_argument("--checkpoint", type=Path, help=f"default: the shipped {DEFAULT_NETWORK}")
    parser.add_argument("--data", type=Path, required=True, help="folder with index.jsonl")
    add_held_out(parser, "every Nth photo only")
    parser.add_argument("--taps", type=tap_count, default=3, help="per instance")
    parser.add_argument(
        "--first", type=canvas_side, nargs="+", default=[256, 384], help="sides of canvases"
    )
    parser.add_argument(
        "--tile", type=canvas_side, nargs="+", default=[256], help="likewise, of tiles"
    )
    parser.add_argument("--threads", type=thread_count, default=default_threads())
    parser.add_argument("--json", action="store_true", help="print every setting as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Entry point; the best settings go to stdout. Returns the exit code."""
    arguments = build_parser().parse_args(argv)

    def work() -> None:
        for side in (*arguments.first, *arguments.tile):
            check_canvas(side, side)
        warn_of_threads(arguments.threads)
        torch.set_num_threads(arguments.threads)
        network = load_checkpoint(arguments.checkpoint or shipped_checkpoint(DEFAULT_NETWORK))
        photos: PhotoDataset = FolderDataset(arguments.data)
        if arguments.held_out:
            photos = HeldOut(photos, arguments.held_out, training=False)
        found = search(network.eval(), photos, arguments.taps, arguments.first, arguments.tile)
        settings = sorted(found.settings(), key=lambda v: -v["miou_t"])
        alone = {side: found.mean(iou) for side, (iou, _) in found.first.items()}
        print_results(
            json.dumps({"alone": alone, "settings": settings})
            if arguments.json
            else _table(alone, settings)
        )

    return run_tool("zoom_search", "train", work, lambda: "stopped; nothing was found")


def _table(alone: Mapping[int, float], settings: list[dict[str, float]]) -> str:
    """The best settings of each first canvas."""
    lines = [
        "| first | tile | extent | gain | trust | mIoU-T | looked twice |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for side, miou in alone.items():
        lines.append(f"| {side} | none | | | | {miou:.4f} | 0 |")
        for v in [v for v in settings if v["first"] == side][:8]:
            lines.append(
                f"| {side} | {v['tile']:.0f} | {v['extent']} | {v['gain']} | {v['trust']} | "
                f"{v['miou_t']:.4f} | {v['looked_twice']:.2f} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
