"""What a smaller halo saves and what it costs, measured in PyTorch without writing a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from tracenet.data import DataError, PhotoDataset
from tracenet.evaluation.evaluate import score_photo
from tracenet.evaluation.models import BundleReplay
from tracenet.evaluation.protocol import TapProtocol
from tracenet.evaluation.summary import MIOU, summarise
from tracenet_export.assemble import assemble
from tracenet_export.check import CheckPhotos
from tracenet_export.manifest import Source, make_manifest, parsed_manifest
from tracenet_export.parity import TorchEngine, check_replay
from tracenet_export.schedule import (
    Graphs,
    SchedulePlan,
    ScheduleRequest,
    TapMacs,
    plan_schedule,
    tap_macs,
)
from tracenet_runtime.bundle import Bundle
from tracenet_runtime.choose import Choice
from tracenet_runtime.segmenter import TapSegmenter


@dataclass(frozen=True)
class Accuracy:
    """mIoU-T (docs/evaluation.md), and the photos and taps that were scored."""

    miou_t: float
    photos: int
    taps: int


@dataclass(frozen=True)
class HaloPoint:
    """A schedule with one halo.

    Attributes:
        halo: the share that its windows keep.
        macs: multiply-adds of a tap.
        iou_mean, iou_p5: IoU of its masks with FullNet's on the photos of the export's check.
        level_flips: taps of that check that another level answers.
        accuracy: on annotated photos; None where there are none.
    """

    halo: float
    macs: TapMacs
    iou_mean: float
    iou_p5: float
    level_flips: int
    accuracy: Accuracy | None


@dataclass(frozen=True)
class HaloCurve:
    """A schedule with several halos, the exact one first."""

    schedule: str
    canvas: tuple[int, int]
    points: tuple[HaloPoint, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; ``miou_t_lost`` is against the exact windows."""
        exact = self.points[0].accuracy
        points = []
        for point in self.points:
            found = point.accuracy
            lost = None if found is None or exact is None else exact.miou_t - found.miou_t
            shares = point.macs.tap_shares()
            points.append(asdict(point) | {"macs_share": shares, "miou_t_lost": lost})
        return {"schedule": self.schedule, "canvas": list(self.canvas), "points": points}


def halo_curve(
    source: Source,
    graphs: Graphs,
    request: ScheduleRequest,
    halos: Sequence[float],
    annotated: PhotoDataset | None = None,
) -> HaloCurve:
    """Measure a schedule with each halo and with exact windows.

    Args:
        source: the network.
        graphs: of the network.
        request: the schedule; its own halo does not count.
        halos: shares above 0 and below or at 1. `full`, which has no windows, gets the exact point.
        annotated: photos to score mIoU-T on.
    """
    shares = [1.0] if request.name == "full" else sorted({1.0, *halos}, reverse=True)
    photos = CheckPhotos(source.network)
    points = []
    for halo in tqdm(shares, unit="halo", desc=f"{request.name} with each halo"):
        plan = plan_schedule(graphs, replace(request, halo=halo))
        segmenter = torch_segmenter(source, plan)
        (schedule,) = segmenter.schedules
        replay = segmenter.replay(Choice(schedule, *schedule.canvas))
        found = check_replay(replay, photos.cases(schedule))
        accuracy = None if annotated is None else score(segmenter, annotated)
        points.append(
            HaloPoint(
                halo, tap_macs(plan), found.iou_mean, found.iou_p5, found.level_flips, accuracy
            )
        )
    return HaloCurve(request.name, request.canvas, tuple(points))


def cost_of_halo(
    source: Source,
    graphs: Graphs,
    request: ScheduleRequest,
    plan: SchedulePlan,
    annotated: PhotoDataset,
) -> dict[str, Any] | None:
    """The manifest's ``miou_t`` of a plan: with exact windows and with its own.

    None for an exact plan.
    """
    if plan.plan.halo == 1:
        return None
    exact = plan_schedule(graphs, replace(request, halo=1.0))
    before, after = (score(torch_segmenter(source, each), annotated) for each in (exact, plan))
    return {
        "exact": before.miou_t,
        "halo": after.miou_t,
        "photos": after.photos,
        "taps": after.taps,
    }


def torch_segmenter(source: Source, plan: SchedulePlan) -> TapSegmenter:
    """Answers taps with a plan's programs in PyTorch, on the plan's canvas."""
    assembly = assemble([plan])
    # The target counts for nothing, because no program becomes a file.
    manifest = parsed_manifest(make_manifest(source, assembly, "onnx", "fp32", zoom=None))
    bundle = Bundle(Path(), manifest, assembly.table)
    return TapSegmenter(bundle, TorchEngine(assembly.programs), canvas=plan.canvas)


def score(segmenter: TapSegmenter, annotated: PhotoDataset) -> Accuracy:
    """mIoU-T on annotated photos, as tracenet-eval has it by default.

    Raises:
        DataError: there is no instance to score.
    """
    model, protocol = BundleReplay(segmenter), TapProtocol()
    scores = []
    for index in tqdm(range(len(annotated)), unit="photo", desc="mIoU-T"):
        example = annotated[index]
        scores.append(score_photo(model, index, example, protocol.draw(index, example)))
    scored = [photo for photo in scores if photo.instances]
    if not scored:
        raise DataError("there is no instance on these photos that is large enough to be scored")
    figures = summarise(scored, protocol.name, protocol.seed)
    return Accuracy(figures[MIOU], len(scored), figures["taps"])


def curve_table(curve: HaloCurve) -> str:
    """The curve for people."""
    content = curve.to_dict()
    height, width = curve.canvas
    scored = curve.points[0].accuracy
    lines = [
        f"{curve.schedule} on {height}x{width}: multiply-adds of a tap by mask window in G (and as "
        "a share of FullNet's), IoU with FullNet on the photos of the check"
        + (f", mIoU-T over {scored.taps} taps on {scored.photos} photos" if scored else "")
    ]
    for point, figures in zip(curve.points, content["points"], strict=True):
        macs = ", ".join(
            f"{name} {(point.macs.query + macs) / 1e9:.2f} ({figures['macs_share'][name]:.3f})"
            for name, macs in point.macs.masks.items()
        )
        line = (
            f"  halo {point.halo:<5g} {macs}; IoU mean {point.iou_mean:.4f}, 5th percentile "
            f"{point.iou_p5:.4f}, {point.level_flips} level flips"
        )
        if point.accuracy:
            line += f"; mIoU-T {point.accuracy.miou_t:.4f}, {figures['miou_t_lost']:+.4f} lost"
        lines.append(line)
    return "\n".join(lines)
