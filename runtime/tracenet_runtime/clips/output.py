"""What becomes of a tracked clip: masks as pictures, and a film with the masks drawn in."""

import errno
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import av
import numpy as np
import numpy.typing as npt
from PIL import Image

from tracenet_runtime.errors import OutputError
from tracenet_runtime.files import replacing_folder
from tracenet_runtime.image.geometry import Size
from tracenet_runtime.image.overlay import TINTS, Place, overlay_bands
from tracenet_runtime.image.pixels import Photo
from tracenet_runtime.tracking.results import ThingResult

Map = npt.NDArray[np.uint8]

_NAME = re.compile(r"[0-9]{5,}\.png")

_VP9 = {"crf": "31", "b": "0", "deadline": "good", "cpu-used": "5", "row-mt": "1"}
"""Of constant quality; the speed is that of encoders in phones."""


MOST_THINGS = 254
"""In an instance map: 255 stands for what is not counted in the maps that data sets have."""


def check_things(count: int) -> None:
    """Raise ``OutputError`` for more things than an instance map tells apart."""
    if count > MOST_THINGS:
        raise OutputError(
            f"Masks tell {MOST_THINGS} things apart, not {count}; leave --out away, or mark fewer."
        )


def instance_map(things: Sequence[ThingResult], size: Size) -> Map:
    """0 beside all things, 1 where the first is, and so on: uint8 H x W; the later on top."""
    numbers = np.zeros(size, np.uint8)
    for number, thing in enumerate(things, 1):
        numbers[thing.mask()] = number
    return numbers


def write_map(path: Path, numbers: Map) -> None:
    """Write an instance map as a PNG with a palette, whose indices are the numbers."""
    picture = Image.fromarray(numbers)
    picture.putpalette([0, 0, 0, *(value for n in range(255) for value in TINTS[n % len(TINTS)])])
    picture.save(path, "PNG")


def check_mask_folder(folder: Path) -> None:
    """Refuse what is neither absent, nor an empty folder, nor one of masks and nothing besides.

    Raises:
        OutputError: it holds something else, or cannot be read.
    """
    try:
        if not folder.exists():
            return
        if not folder.is_dir():
            raise OutputError(f"{folder} exists and is no folder; give another --out.")
        names = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror or error}.") from error
    foreign = [name for name in names if not _NAME.fullmatch(name)]
    if foreign:
        raise OutputError(
            f"{folder} holds {foreign[0]}, which is no mask of a frame and would be lost; move it "
            "or give another --out."
        )


@contextmanager
def mask_folder(folder: Path) -> Iterator[Path]:
    """A folder that takes the place of this one when all masks are in it.

    Raises:
        OutputError: it holds something else, or cannot be written.
    """
    check_mask_folder(folder)
    try:
        with replacing_folder(folder) as partial:
            yield partial
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror or error}.") from error


def overlaid(frame: Photo, things: Sequence[ThingResult], places: Sequence[Place]) -> Photo:
    """A frame with each thing tinted and outlined, and the gestures on it."""
    for number, thing in enumerate(things):
        mask, last = thing.mask(), number == len(things) - 1
        bands = overlay_bands(
            frame, mask, places if last else (), None, len(frame), TINTS[number % len(TINTS)]
        )
        (frame,) = bands
    return frame


class WebmWriter:
    """A WebM of VP9, without sound, whose frames have time stamps in milliseconds."""

    def __init__(self, file: BinaryIO, size: Size, rate: Fraction) -> None:
        """``rate`` is the mean number of frames a second, for the encoder."""
        self._container = av.open(file, "w", format="webm")
        self._stream = self._container.add_stream("libvpx-vp9", rate=rate, options=_VP9)
        self._stream.height, self._stream.width = size
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = Fraction(1, 1000)
        self._last = -1

    def write(self, picture: Photo, time: float) -> None:
        """One more frame (uint8 H x W x 3, RGB), seen from this second on."""
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")
        frame.time_base = Fraction(1, 1000)
        self._last = frame.pts = max(self._last + 1, round(time * 1000))
        with _system_errors():
            self._container.mux(self._stream.encode(frame))

    def __enter__(self) -> "WebmWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            with suppress(av.FFmpegError):  # what is written is thrown away
                self._container.close()
            return
        with _system_errors():
            self._container.mux(self._stream.encode())
            self._container.close()


@contextmanager
def _system_errors() -> Iterator[None]:
    """Within it, what the system says of a file is said, not what PyAV makes of that."""
    try:
        yield
    except av.FFmpegError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise OSError(errno.EIO, f"the encoder fails ({error})") from error
