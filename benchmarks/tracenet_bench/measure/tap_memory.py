"""The command that says how much memory tracenet-tap takes for each pixel of a large photo."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from tracenet_bench.measure.children import ChildFailedError, result_of
from tracenet_bench.measure.photos import resized
from tracenet_bench.report.markdown import table_markdown
from tracenet_bench.report.tables import Row, Table
from tracenet_bench.report.texts import megabytes
from tracenet_runtime import TraceNetError, load_photo
from tracenet_runtime.tool import ToolParser, print_results, run_tool

EXAMPLE = """example:
  python -m tracenet_bench.measure.tap_memory --bundle out/bundle --photo photo.jpg"""

MEGAPIXELS = (12, 48)

_THREADS = 1
_ORIENTATION = 0x0112


class TapFailedError(TraceNetError):
    """A tap gave no figure; the message is the tool's."""


def _save(image: Image.Image, path: Path) -> None:
    image.save(path)


def _save_sideways(image: Image.Image, path: Path) -> None:
    exif = Image.Exif()
    exif[_ORIENTATION] = 6
    image.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)


def _save_transparent(image: Image.Image, path: Path) -> None:
    clear = image.convert("RGBA")
    clear.putalpha(128)
    clear.save(path)


def _save_16_bits(image: Image.Image, path: Path) -> None:
    Image.fromarray(257 * np.asarray(image.convert("L")).astype(np.uint16)).save(path)


KINDS: dict[str, tuple[str, Callable[[Image.Image, Path], None]]] = {
    "JPEG": (".jpg", _save),
    "JPEG, on its side": (".jpg", _save_sideways),
    "JPEG, progressive": (".jpg", lambda image, path: image.save(path, progressive=True)),
    "JPEG, gray": (".jpg", lambda image, path: image.convert("L").save(path)),
    "JPEG, CMYK": (".jpg", lambda image, path: image.convert("CMYK").save(path)),
    "PNG": (".png", _save),
    "PNG, with an alpha channel": (".png", _save_transparent),
    "PNG, gray of 16 bits": (".png", _save_16_bits),
}
"""By name: a suffix, and what writes such a file."""


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = ToolParser(
        prog="python -m tracenet_bench.measure.tap_memory",
        description="Measure the memory of tracenet-tap, mask and overlay included, by the photo's "
        "size and kind.",
        epilog=EXAMPLE,
    )
    parser.add_argument("--bundle", type=Path, default=Path("out/bundle"), metavar="DIR")
    parser.add_argument(
        "--photo", type=Path, required=True, metavar="FILE", help="is enlarged, and tapped inside"
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Entry point. Returns the exit code."""
    arguments = build_parser().parse_args(argv)
    return run_tool("tap_memory", "bench", lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> None:
    pixels = load_photo(arguments.photo)
    peaks: dict[str, list[int]] = {kind: [] for kind in KINDS}
    sizes = []
    with tempfile.TemporaryDirectory() as name:
        for megapixels in MEGAPIXELS:
            image = Image.fromarray(resized(pixels, megapixels))
            sizes.append(image.width * image.height)
            for kind, peak in _peaks(image, arguments.bundle, Path(name)):
                peaks[kind].append(peak)
    print_results(_table(peaks, sizes))


def _peaks(image: Image.Image, bundle: Path, folder: Path) -> Iterator[tuple[str, int]]:
    """The peak in bytes of a tap on each kind of file."""
    for kind, (suffix, save) in KINDS.items():
        photo, mask, overlay = (folder / f"{name}{suffix}" for name in ("photo", "mask", "overlay"))
        save(image, photo)
        command = [sys.executable, "-m", "tracenet_bench.measure.tap_memory_process", str(photo)]
        command += ["--at", f"{image.width // 2},{image.height // 2}", "--bundle", str(bundle)]
        command += ["--threads", str(_THREADS), "--mask", str(mask.with_suffix(".png"))]
        try:
            yield kind, result_of([*command, "--overlay", str(overlay)], _THREADS)
        except ChildFailedError as failed:
            raise TapFailedError(str(failed).removeprefix("tracenet-tap: ")) from None


def _table(peaks: dict[str, list[int]], sizes: list[int]) -> str:
    small, large = (f"peak at {size} megapixels, MB" for size in MEGAPIXELS)
    rows = (
        Row(
            kind,
            (
                *map(megabytes, found),
                f"{(found[1] - found[0]) / (sizes[1] - sizes[0]):.1f}",
            ),
        )
        for kind, found in peaks.items()
    )
    note = "tracenet-tap with --mask and --overlay, a process each, by the system's own count."
    return table_markdown(Table(("", small, large, "bytes per pixel"), tuple(rows), (note,)))


if __name__ == "__main__":
    sys.exit(main())
