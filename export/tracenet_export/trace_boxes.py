"""What a tap costs on real photos, where each instance's true box chooses the mask window.

The rule is the runtime's (docs/bundle.md, ``reach_slack``), with the true box in place of the
predicted one.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm.auto import tqdm

from tracenet.data import DataError, PhotoDataset
from tracenet.evaluation.protocol import SCORED_AREA, TapProtocol, drawn_taps
from tracenet_export.schedule import REACH_SLACK, SchedulePlan, tap_macs
from tracenet_runtime.image.canvas import Canvas
from tracenet_runtime.image.geometry import Placement


@dataclass(frozen=True)
class BoxReport:
    """The cost of taps on annotated photos.

    Attributes:
        share_mean: of FullNet's multiply-adds, mean over taps, then over instances.
        instances: how many there were.
        windows: mask window -> how many taps it was chosen for.
    """

    share_mean: float
    instances: int
    windows: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "share_mean": round(self.share_mean, 4),
            "instances": self.instances,
            "windows": self.windows,
        }


def report_by_true_box(
    tap_plan: SchedulePlan, photos: PhotoDataset, taps: int, seed: int = 0
) -> BoxReport:
    """The mean cost of taps drawn uniformly over instances.

    Those that cover at least 200 pixels of a square canvas count, whose side is the plan's longer
    one.

    Args:
        tap_plan: with its whole ladder of mask windows.
        photos: annotated photos.
        taps: per instance.
        seed: of the taps.

    Raises:
        DataError: there is no such instance.
    """
    shares = tap_macs(tap_plan).tap_shares()
    canvas = Canvas(*tap_plan.canvas, (0, 0, 0))
    means: list[float] = []
    windows: Counter[str] = Counter(dict.fromkeys(tap_plan.windows, 0))
    drawn = drawn_taps(
        photos, TapProtocol(taps=taps, seed=seed, scored_canvas=max(tap_plan.canvas))
    )
    for example, groups in tqdm(drawn, total=len(photos), unit="photo", desc="true boxes"):
        placement = canvas.place(*example.photo.shape[:2])
        for instance, group in groups.items():
            box = _canvas_box(example.masks[instance], placement)
            chosen = [_smallest_window(tap_plan, box, placement.to_canvas(x, y)) for x, y in group]
            windows.update(chosen)
            means.append(float(np.mean([shares[name] for name in chosen])))
    if not means:
        raise DataError(f"the photos have no instance of at least {SCORED_AREA} pixels to tap")
    return BoxReport(float(np.mean(means)), len(means), dict(windows))


def _canvas_box(
    mask: npt.NDArray[np.bool_], placement: Placement
) -> tuple[float, float, float, float]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    x_scale = placement.content_width / placement.photo_width
    y_scale = placement.content_height / placement.photo_height
    return (
        columns[0] * x_scale,
        rows[0] * y_scale,
        (columns[-1] + 1) * x_scale,
        (rows[-1] + 1) * y_scale,
    )


def _smallest_window(
    tap_plan: SchedulePlan, box: tuple[float, float, float, float], tap: tuple[int, int]
) -> str:
    x, y = tap[0] + 0.5, tap[1] + 0.5
    extent = max(x - box[0], y - box[1], box[2] - x, box[3] - y)
    for name in tap_plan.windows:
        reach = tap_plan.reach(name)
        if reach is None or reach >= REACH_SLACK * extent:
            return name
    return name
