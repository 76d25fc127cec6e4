"""What a smaller halo saves and what it costs, measured in PyTorch without writing a bundle."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracenet_runtime.arguments import CANVAS, canvas_size, positive_share, thread_count
from tracenet_runtime.cores import default_threads, warn_of_threads
from tracenet_runtime.tool import ToolParser, print_results, run_tool

if TYPE_CHECKING:
    from tracenet.data import PhotoDataset
    from tracenet_export.draft import Source
    from tracenet_export.requests import ScheduleRequest
    from tracenet_export.schedule import Graphs, SchedulePlan, TapMacs
    from tracenet_runtime.answer.look import Viewer
    from tracenet_runtime.graph.schedule import Schedule

EXAMPLE = """example:
  python -m tracenet_bench.measure.halo_curve --schedule P3-P5 --canvas 1536x2048 \\
      --halo 0.5 0.25 0.1"""


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
    from tqdm.auto import tqdm

    from tracenet_export.check import CheckPhotos
    from tracenet_export.parity import check_replay
    from tracenet_export.schedule import plan_schedule, tap_macs
    from tracenet_runtime.graph.schedule import Choice

    shares = sorted({1.0, *halos}, reverse=True) if request.recipe.has_windows else [1.0]
    photos = CheckPhotos(source.network)
    points = []
    for halo in tqdm(shares, unit="halo", desc=f"{request.name} with each halo"):
        plan = plan_schedule(graphs, replace(request, halo=halo))
        viewer, schedule = torch_viewer(source, plan)
        found = check_replay(viewer.replay(Choice.own(schedule)), photos.cases(schedule))
        accuracy = None if annotated is None else score(viewer, schedule, annotated)
        points.append(
            HaloPoint(
                halo, tap_macs(plan), found.iou_mean, found.iou_p5, found.level_flips, accuracy
            )
        )
    return HaloCurve(request.name, request.canvas, tuple(points))


def torch_viewer(source: Source, plan: SchedulePlan) -> tuple[Viewer, Schedule]:
    """What looks at photos with a plan's programs in PyTorch, and the plan's schedule."""
    from tracenet_export.assemble import assemble
    from tracenet_export.parity import TorchEngine
    from tracenet_runtime.answer.look import Viewer

    assembly = assemble([plan], source.network.guided_look)
    engine = TorchEngine(assembly.programs)
    viewer = Viewer(assembly.described(), assembly.meaning, source.network.pad_value, engine)
    return viewer, assembly.schedules[0]


def score(viewer: Viewer, schedule: Schedule, annotated: PhotoDataset) -> Accuracy:
    """mIoU-T of a schedule on annotated photos, as tracenet-eval has it by default.

    Raises:
        DataError: there is no instance to score.
    """
    from tqdm.auto import tqdm

    from tracenet.data import DataError
    from tracenet.evaluation.evaluate import score_photo
    from tracenet.evaluation.models import BundleReplay
    from tracenet.evaluation.protocol import TapProtocol
    from tracenet.evaluation.summary import MIOU, summarise
    from tracenet_runtime.strategies.single import Single

    model = BundleReplay(viewer, Single((schedule,), schedule.canvas))
    protocol = TapProtocol()
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


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = ToolParser(
        prog="python -m tracenet_bench.measure.halo_curve",
        description=__doc__ or "",
        epilog=EXAMPLE,
    )
    parser.add_argument("--model", help="configuration (default: the shipped one)")
    parser.add_argument("--untrained", action="store_true", help="random weights")
    parser.add_argument(
        "--schedule", nargs="+", default=["all"], metavar="NAME[@CANVAS]", help="default: all"
    )
    parser.add_argument("--canvas", type=canvas_size, help=f"{CANVAS}, as tracenet-export's")
    parser.add_argument("--windows", help="as tracenet-export's")
    parser.add_argument(
        "--halo",
        nargs="+",
        type=positive_share,
        required=True,
        metavar="F",
        help="above 0, at most 1",
    )
    parser.add_argument(
        "--accuracy",
        type=Path,
        metavar="DIR",
        help="annotated photos, to say what F costs in mIoU-T",
    )
    parser.add_argument("--threads", type=thread_count, default=default_threads())
    parser.add_argument("--json", action="store_true", help="print the curves as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Entry point. Returns the exit code."""
    arguments = build_parser().parse_args(argv)
    return run_tool("halo_curve", "export", lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> None:
    import torch

    from tracenet.data import open_dataset
    from tracenet_export.exporting import open_source
    from tracenet_export.requests import parse_requests
    from tracenet_export.schedule import captured

    requests, _ = parse_requests(arguments.schedule, arguments.canvas, arguments.windows)
    folder = arguments.accuracy
    annotated = None if folder is None else open_dataset(folder, None, None)
    warn_of_threads(arguments.threads)
    torch.set_num_threads(arguments.threads)
    source = open_source(arguments.model, untrained=arguments.untrained)
    kinds = {request.recipe.corrects for request in requests}
    graphs = {corrects: captured(source.network, corrects) for corrects in kinds}
    curves = [
        halo_curve(source, graphs[v.recipe.corrects], v, arguments.halo, annotated)
        for v in requests
    ]
    print_results(
        json.dumps([curve.to_dict() for curve in curves])
        if arguments.json
        else "\n".join(map(curve_table, curves))
    )


if __name__ == "__main__":
    sys.exit(main())
