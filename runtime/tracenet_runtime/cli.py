"""tracenet-tap: taps and other gestures on one photo, from the command line."""

import argparse
import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from tracenet_runtime.answer.prompt import Tap
from tracenet_runtime.answer.result import TapResult
from tracenet_runtime.arguments import CANVAS, canvas_size
from tracenet_runtime.cli_engine import (
    add_bundle,
    add_engine_settings,
    extra_of,
    said_of_engine,
)
from tracenet_runtime.cli_gestures import Given, add_gestures, load_mask, places
from tracenet_runtime.errors import GestureError, OutputError
from tracenet_runtime.files import is_same_file
from tracenet_runtime.graph.schedule import Schedule
from tracenet_runtime.image.geometry import Tile
from tracenet_runtime.image.overlay import overlay_bands
from tracenet_runtime.image.photo import load_photo
from tracenet_runtime.image.picture_file import BAND_ROWS, JPEG_SIDE, Writer, write_jpeg, write_png
from tracenet_runtime.image.pixels import Photo
from tracenet_runtime.segmenter import TapSegmenter
from tracenet_runtime.tool import ToolParser, output_file, print_results, run_tool

_MASK_FORMATS = (".png",)
_OVERLAY_FORMATS: dict[str, Writer] = {
    ".png": write_png,
    ".jpg": write_jpeg,
    ".jpeg": write_jpeg,
}

_EPILOG = """\
examples:
  tracenet-tap photo.jpg --at 812,640 --bundle out/bundle --mask mask.png --overlay seen.png
  tracenet-tap photo.jpg --at 812,640 --not-at 900,700 --scribble '+24:700,600 720,640' --mask m.png

Results go to standard output, everything else to standard error. The exit code is 0, 2 for
anything wrong with the arguments, the photo, the bundle or the engine, and 130 after Ctrl-C.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``tracenet-tap`` with these arguments (the process's by default); the exit code."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if not arguments.gestures:
        parser.error("give a gesture, such as --at X,Y")
    return run_tool("tracenet-tap", extra_of(arguments.engine), lambda: _run(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = ToolParser(
        prog="tracenet-tap",
        description="Segment the thing under a tap on a photo, and correct its mask.",
        epilog=_EPILOG,
    )
    parser.add_argument("photo", metavar="PHOTO", type=Path, help="the photo")
    add_gestures(parser, "in the order given; after the first, each corrects the mask")
    add_bundle(parser)
    parser.add_argument(
        "--schedule",
        metavar="NAME",
        help="which schedule of the bundle runs, or guided or zoom (default: guided, or else zoom, "
        "if the bundle has it, otherwise that which suits the photo)",
    )
    parser.add_argument(
        "--canvas",
        type=canvas_size,
        metavar="CANVAS",
        help=f"the size that the photo is fitted to, without a zoom: a {CANVAS} that the bundle "
        "serves (default: that which suits the photo)",
    )
    add_engine_settings(parser)
    parser.add_argument(
        "--mask", type=Path, metavar="FILE", help="write the mask as a PNG of 0 and 255"
    )
    parser.add_argument(
        "--overlay", type=Path, metavar="FILE", help="write a picture of the answer (PNG, JPEG)"
    )
    parser.add_argument("--json", action="store_true", help="print the answer as one JSON object")
    return parser


def _run(arguments: argparse.Namespace) -> None:
    _check_outputs(arguments)
    photo = load_photo(arguments.photo)
    height, width = photo.shape[:2]
    if arguments.overlay is not None:
        _check_overlay_size(arguments.overlay, height, width)
    segmenter = TapSegmenter.load(
        arguments.bundle,
        engine=arguments.engine,
        threads=arguments.threads,
        schedule=arguments.schedule,
        canvas=arguments.canvas,
        compute_units=arguments.compute_units,
    )
    result = _answer(segmenter, photo, arguments.gestures)
    if arguments.mask is not None:
        with output_file(arguments.mask) as file:
            picture = np.where(result.mask, np.uint8(255), np.uint8(0))
            Image.fromarray(picture).save(file, "PNG")
        del picture
    if arguments.overlay is not None:
        marked = places(arguments.gestures)
        bands = overlay_bands(photo, result.mask, marked, result.box, BAND_ROWS)
        with output_file(arguments.overlay) as file:
            _OVERLAY_FORMATS[arguments.overlay.suffix.lower()](file, height, width, bands)
    if arguments.json:
        print_results(_as_json(result, segmenter, arguments.bundle))
    else:
        print_results(_as_text(result, segmenter))


def _answer(segmenter: TapSegmenter, photo: Photo, given: Sequence[Given]) -> TapResult:
    """What the last of them, of which there is one at least, gives."""
    (first, *more) = given
    if isinstance(first, Tap) and first.positive and not more:
        return segmenter.tap(photo, first.at)
    with segmenter.open(photo) as session:
        if more and not session.corrects:
            raise GestureError(
                "This bundle answers one tap: it has no guided look, or another schedule was asked "
                "for; leave the other gestures out."
            )
        for gesture in given:
            if isinstance(gesture, Path):
                result = session.start_from(load_mask(gesture))
            else:
                result = session.make(gesture)
        return result


def _check_outputs(arguments: argparse.Namespace) -> None:
    """Refuse before the work what could not be written after it."""
    for path, formats in ((arguments.mask, _MASK_FORMATS), (arguments.overlay, _OVERLAY_FORMATS)):
        if path is None:
            continue
        if path.suffix.lower() not in formats:
            raise OutputError(f"{path} must end in {' or '.join(formats)}.")
        if is_same_file(path, arguments.photo):
            raise OutputError(f"{path} is the photo itself; name another file to write to.")
    given = [one for one in arguments.gestures if isinstance(one, Path)]
    if arguments.overlay is not None and any(is_same_file(arguments.overlay, it) for it in given):
        raise OutputError(
            f"{arguments.overlay} is a mask of --from; name another file for the overlay."
        )
    outputs = [path for path in (arguments.mask, arguments.overlay) if path is not None]
    if len(outputs) == 2 and is_same_file(*outputs):
        raise OutputError("The mask and the overlay must be written to two files.")


def _check_overlay_size(path: Path, height: int, width: int) -> None:
    writer = _OVERLAY_FORMATS[path.suffix.lower()]
    if writer is write_jpeg and max(height, width) > JPEG_SIDE:
        raise OutputError(
            f"{path} cannot be written: a JPEG has at most {JPEG_SIDE} pixels to a side, and the "
            f"photo has {width} x {height}; name a .png file."
        )


def _as_json(result: TapResult, segmenter: TapSegmenter, bundle: Path) -> str:
    assert segmenter.engine_report is not None
    halo = min(v.halo for v in _schedules(result, segmenter))
    return json.dumps(
        {
            "score": result.score,
            "level": result.level,
            "schedule": result.schedule,
            "halo": halo,
            "exact": halo == 1,
            "canvas": {"height": result.canvas[0], "width": result.canvas[1]},
            "box": result.box,
            "area": result.area,
            "macs": result.macs,
            "tile": result.tile,
            "obeyed": result.obeyed,
            "mask_rle": result.rle(),
            "candidates": [
                {"level": v.level, "score": v.score, "box": v.box} for v in result.candidates
            ],
            "timings_ms": result.timings_ms,
            "engine": dataclasses.asdict(segmenter.engine_report),
            "bundle": str(bundle),
        }
    )


def _as_text(result: TapResult, segmenter: TapSegmenter) -> str:
    others = ", ".join(f"{v.level} {v.score:.3f}" for v in result.candidates[1:])
    height, width = result.canvas
    lines = [
        f"score  {result.score:.3f}",
        f"level  {result.level}" + (f"  (then {others})" if others else ""),
        "box    " + ", ".join(f"{side:.1f}" for side in result.box),
        f"area   {result.area} pixels, {result.area / result.mask.size:.1%} of the photo",
        f"ran    {result.schedule} on a canvas of {height} x {width}, "
        + " and ".join(
            dict.fromkeys(_exactness(v, segmenter) for v in _schedules(result, segmenter))
        )
        + ("" if result.tile is None else _looked_at(result.tile)),
        f"on     {said_of_engine(segmenter.engine_report)}",
        _cost(result, segmenter),
        "",
        *_time_table(result),
    ]
    return "\n".join(lines)


def _schedules(result: TapResult, segmenter: TapSegmenter) -> list[Schedule]:
    """What may have answered: one schedule, or those of both looks."""
    return [v.schedule for v in segmenter.strategy.choices(result.probability.photo)]


def _exactness(schedule: Schedule, segmenter: TapSegmenter) -> str:
    if schedule.halo == 1:
        return "exact"
    manifest = segmenter.bundle.manifest
    iou = manifest.fullnet_iou[manifest.schedules.index(schedule)]
    assert iou is not None  # as check_manifest has found
    return (
        f"with {schedule.halo:g} of the halo, not exact: mean IoU with FullNet {iou.mean:.3f} at "
        "export"
    )


def _looked_at(tile: Tile) -> str:
    x0, y0, x1, y1 = tile
    return f", again at the tile from ({x0}, {y0}) to ({x1}, {y1})"


def _cost(result: TapResult, segmenter: TapSegmenter) -> str:
    cost = f"cost   {result.macs / 1e9:.2f} G multiply-adds"
    schedules = _schedules(result, segmenter)
    if len(schedules) > 1:
        return cost
    # A tap costs the same on every canvas; FullNet's cost goes with the area.
    full = schedules[0].full_macs * math.prod(result.canvas) / math.prod(schedules[0].canvas)
    return f"{cost}, FullNet {full / 1e9:.2f} G: {1 - result.macs / full:.1%} saved"


def _time_table(result: TapResult) -> list[str]:
    stages = dict(result.timings_ms)
    total = stages.pop("total")
    stages["other"] = total - sum(stages.values())
    stages["total"] = total
    width = max(map(len, stages))
    return [f"{name:<{width}}  {ms:9.2f} ms  {ms / total:6.1%}" for name, ms in stages.items()]
