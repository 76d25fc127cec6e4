"""tracenet-track: things that are marked on a clip's frames, in all of its frames."""

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracenet_runtime.answer.prompt import Bounds, Tap
from tracenet_runtime.arguments import whole_number
from tracenet_runtime.cli_engine import (
    add_bundle,
    add_engine_settings,
    extra_of,
    said_of_engine,
)
from tracenet_runtime.cli_gestures import Given, add_gestures, load_mask, places
from tracenet_runtime.errors import OutputError
from tracenet_runtime.files import check_writing, is_same_file
from tracenet_runtime.image.geometry import Size
from tracenet_runtime.image.rle import encode_rle
from tracenet_runtime.segmenter import TapSegmenter
from tracenet_runtime.tool import ToolParser, output_file, print_results, run_tool
from tracenet_runtime.tracking.results import FrameResult
from tracenet_runtime.video import VideoSession

if TYPE_CHECKING:
    from tracenet_runtime.clips.file import ClipFile

_ORDER = (
    "in the order given; --at, --box and --from each begin a thing, --not-at and\n"
    "--scribble correct the one begun last, on another frame than its first after it\n"
    "was carried there"
)

_EPILOG = """\
examples:
  tracenet-track clip.mp4 --at 420,310 --overlay seen.webm
  tracenet-track clip.mp4 --frame 12 --at 420,310 --not-at 500,330 --at 80,60 --out masks --json

Masks are PNGs named by their frames, 00000.png and so on, whose pixels are 0, or 1 for the first
thing, 2 for the second. Films are VP9 in WebM, without sound, with the clip's own times. Positions
are those of the upright picture that a player shows. Results go to standard output, everything else
to standard error. The exit code is 0, 2 for anything wrong with the arguments, the clip, the bundle
or the engine, and 130 after Ctrl-C.
"""


@dataclass(frozen=True)
class AtFrame:
    """What ``--frame`` says: the gestures after it are for this one."""

    number: int


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``tracenet-track`` with these arguments (the process's by default); the exit code."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if not any(not isinstance(one, AtFrame) for one in arguments.gestures or ()):
        parser.error("give a gesture, such as --at X,Y")
    extras = f"{extra_of(arguments.engine)},video"
    return run_tool("tracenet-track", extras, lambda: _run(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = ToolParser(
        prog="tracenet-track",
        description="Mark things on frames of a clip, and find them in all of its frames.",
        epilog=_EPILOG,
    )
    parser.add_argument(
        "clip", metavar="CLIP", type=Path, help="the clip: MP4, MOV, WebM or others"
    )
    add_gestures(parser, _ORDER)
    number = whole_number(0)
    parser.add_argument(
        "--frame",
        dest="gestures",
        action="append",
        type=lambda text: AtFrame(number(text)),
        metavar="N",
        help="the frame, from 0, that the gestures after this are for (default: 0)",
    )
    add_bundle(parser)
    add_engine_settings(parser)
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="write the masks of all frames into this folder"
    )
    parser.add_argument(
        "--overlay", type=Path, metavar="FILE", help="write a film of the answer (WebM, no sound)"
    )
    parser.add_argument(
        "--json", action="store_true", help="print what is in every frame as one JSON object"
    )
    return parser


@dataclass(frozen=True)
class Placed:
    """A gesture on a frame, for one of the things, which began on the frame ``begun``."""

    given: Given
    number: int
    which: int
    begun: int


def _placed(gestures: Iterable[Given | AtFrame]) -> list[Placed]:
    placed: list[Placed] = []
    number, which, begun = 0, -1, 0
    for one in gestures:
        if isinstance(one, AtFrame):
            number = one.number
            continue
        if which < 0 or isinstance(one, Bounds | Path) or (isinstance(one, Tap) and one.positive):
            which, begun = which + 1, number
        placed.append(Placed(one, number, which, begun))
    return placed


def _run(arguments: argparse.Namespace) -> None:
    from tracenet_runtime.clips.file import ClipFile  # PyAV comes with an extra
    from tracenet_runtime.clips.output import check_things, mask_folder

    gestures = _placed(arguments.gestures)
    _check_outputs(arguments, gestures)
    if arguments.out is not None:
        check_things(gestures[-1].which + 1)
        check_writing(mask_folder(arguments.out))
    if arguments.overlay is not None:
        check_writing(output_file(arguments.overlay))
    with ClipFile(arguments.clip) as clip:
        segmenter = TapSegmenter.load(
            arguments.bundle,
            engine=arguments.engine,
            threads=arguments.threads,
            compute_units=arguments.compute_units,
        )
        with segmenter.open_video(clip) as video:
            _mark(video, gestures)
            _propagate(video)
            frames = _write(arguments, clip, video, gestures)
    if arguments.json:
        print_results(_as_json(arguments, segmenter, clip.size, frames))
    else:
        print_results(_as_text(segmenter, clip.size, frames))


def _mark(video: VideoSession, gestures: Iterable[Placed]) -> None:
    """Make all gestures; a thing is carried to another frame than its first before it is corrected
    there.
    """
    at = None
    for one in gestures:
        if one.number != one.begun and at != (one.number, one.which):
            _propagate(video)
        at = one.number, one.which
        frame = video.frame(one.number, one.which)
        if isinstance(one.given, Path):
            frame.start_from(load_mask(one.given))
        else:
            frame.make(one.given)


def _propagate(video: VideoSession) -> None:
    from tracenet_runtime.clips.progress import progress

    for _ in progress(video.propagate(), len(video), "tracking"):
        pass


def _write(
    arguments: argparse.Namespace,
    clip: "ClipFile",
    video: VideoSession,
    gestures: Sequence[Placed],
) -> list[dict[str, Any]]:
    """Write what was asked for; what there is to say of each frame."""
    from tracenet_runtime.clips import output
    from tracenet_runtime.clips.progress import progress

    frames = []
    with ExitStack() as stack:
        folder = film = None
        if arguments.out is not None:
            folder = stack.enter_context(output.mask_folder(arguments.out))
        if arguments.overlay is not None:
            file = stack.enter_context(output_file(arguments.overlay))
            film = stack.enter_context(output.WebmWriter(file, clip.size, clip.rate))
        for number, time in enumerate(progress(clip.times, len(clip), "writing")):
            result = video.result(number)
            assert result is not None  # all were carried
            if folder is not None:
                numbers = output.instance_map(result.things, clip.size)
                output.write_map(folder / mask_name(number), numbers)
            if film is not None:
                there = places([one.given for one in gestures if one.number == number])
                film.write(output.overlaid(clip[number], result.things, there), time)
            said = _said(result, time)
            if folder is not None:
                said["mask"] = mask_name(number)
            elif arguments.json:
                for thing, of in zip(said["things"], result.things, strict=True):
                    thing["mask_rle"] = encode_rle(of.mask())
            frames.append(said)
    if folder is not None:
        print(f"wrote {arguments.out}", file=sys.stderr)
    return frames


def _said(result: FrameResult, time: float) -> dict[str, Any]:
    """A frame as JSON has it, but for its masks."""
    things = [
        {
            "presence": thing.presence,
            "present": thing.present,
            "touched": thing.touched,
            "score": thing.score,
            "box": thing.box,
        }
        for thing in result.things
    ]
    return {"frame": result.number, "time": time, "things": things}


def mask_name(number: int) -> str:
    """The name of the picture that has a frame's masks."""
    return f"{number:05}.png"


def _check_outputs(arguments: argparse.Namespace, gestures: Iterable[Placed]) -> None:
    """Refuse to write over what is read, and one result over the other."""
    film, folder = arguments.overlay, arguments.out
    masks = [one.given for one in gestures if isinstance(one.given, Path)]
    read = [(arguments.clip, "the clip itself"), *((mask, "a mask of --from") for mask in masks)]
    if film is not None:
        if film.suffix.lower() != ".webm":
            raise OutputError(f"{film} must end in .webm.")
        for path, what in read:
            if is_same_file(film, path):
                raise OutputError(f"{film} is {what}; name another file to write to.")
    if folder is None:
        return
    for path, what in [*read, *([(film, "the film of --overlay")] if film else [])]:
        if _is_in(path, folder):
            raise OutputError(
                f"{path}, {what}, lies in {folder}, whose content the masks take the place of; "
                "give another --out."
            )


def _is_in(path: Path, folder: Path) -> bool:
    """Whether a file is a folder itself or lies in it, wherever links lead."""
    real = os.path.realpath
    try:
        # A link in the folder is lost, too, wherever it leads.
        places = Path(real(path)), Path(real(path.parent)) / path.name
        return any(place.is_relative_to(real(folder)) for place in places)
    except OSError:  # they are relative to a folder that is gone
        return path.is_relative_to(folder)


def _as_json(
    arguments: argparse.Namespace,
    segmenter: TapSegmenter,
    size: Size,
    frames: Sequence[dict[str, Any]],
) -> str:
    assert segmenter.engine_report is not None
    return json.dumps(
        {
            "clip": str(arguments.clip),
            "height": size[0],
            "width": size[1],
            "frames": frames,
            "engine": dataclasses.asdict(segmenter.engine_report),
            "bundle": str(arguments.bundle),
        }
    )


def _as_text(segmenter: TapSegmenter, size: Size, frames: Sequence[dict[str, Any]]) -> str:
    height, width = size
    lines = [f"clip     {len(frames)} frames of {width} x {height}"]
    for which in range(len(frames[0]["things"])):
        seen = [v for v in (frame["things"][which] for frame in frames) if v["present"]]
        score = sum(v["score"] for v in seen) / max(1, len(seen))
        lines.append(
            f"thing {which}  seen in {len(seen)} of {len(frames)} frames, mean score {score:.3f}"
        )
    return "\n".join([*lines, f"on       {said_of_engine(segmenter.engine_report)}"])
