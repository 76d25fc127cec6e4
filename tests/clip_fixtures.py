"""Clips for the page: a ball that rolls behind a wall, and a tracker that knows it by colour."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

WIDTH, HEIGHT, FRAMES = 288, 216, 24
CLIP = (HEIGHT, WIDTH)
RATE = 12
RADIUS = 26
BALL = (200, 40, 40)
WALL = (90, 90, 100)
HIDDEN = range(10, 14)
"""Frames in which the wall covers the ball."""

FAKE_VIDEO = (Path(__file__).parent / "fake_video.js").read_text()
"""Gives ``segmenter.openVideo`` an answer without a network: what has the colour under a tap."""


def pyav() -> ModuleType:
    module: ModuleType = pytest.importorskip("av", reason="PyAV is not installed: pip install av")
    return module


def middle(number: int) -> tuple[int, int]:
    """Where the ball's middle is in a frame, as x and y."""
    return 40 + round((WIDTH - 80) * number / (FRAMES - 1)), HEIGHT // 2


def ball(number: int) -> np.ndarray:
    """Whether a pixel of a frame is one of the ball that is seen: bool, height x width."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    centre_x, centre_y = middle(number)
    seen: np.ndarray = (x - centre_x) ** 2 + (y - centre_y) ** 2 < RADIUS**2
    return seen & (number not in HIDDEN)


def frame(number: int) -> np.ndarray:
    """RGB; the ground is a slope of greens and blues, so that shifts would show."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    pixels = np.stack([np.full_like(x, 30), 60 + y // 2, 80 + x // 3], axis=-1).astype(np.uint8)
    pixels[ball(number)] = BALL
    if number in HIDDEN:
        centre_x, _ = middle(number)
        pixels[:, max(0, centre_x - 2 * RADIUS) : centre_x + 2 * RADIUS] = WALL
    return pixels


def write_clip(file: Path, frames: Iterator[np.ndarray], codec: str = "libvpx-vp9") -> Path:
    """A clip of these frames, all of one size, with a key frame among ten."""
    av = pyav()
    with av.open(str(file), "w") as container:
        stream = container.add_stream(codec, rate=RATE)
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 2_000_000
        stream.gop_size = 10
        stream.options = {"deadline": "realtime", "cpu-used": "8"}
        for number, pixels in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if number == 0:
                stream.height, stream.width = pixels.shape[:2]
            picture.pts, picture.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return file


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ball's clip, as a WebM."""
    file = tmp_path_factory.mktemp("clip") / "ball.webm"
    return write_clip(file, map(frame, range(FRAMES)))


def decoded(file: Path) -> tuple[list[np.ndarray], list[float]]:
    """All frames of a clip as RGBA, opaque where it has no transparency, and their times in s."""
    av = pyav()
    frames: list[np.ndarray] = []
    times: list[float] = []
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        # FFmpeg's own decoders of VP8 and VP9 leave transparency out.
        name = {"vp9": "libvpx-vp9", "vp8": "libvpx"}[stream.codec_context.name]
        decoder: Any = av.CodecContext.create(name, "r")
        decoder.extradata = stream.codec_context.extradata
        for packet in container.demux(stream):
            for picture in decoder.decode(packet):
                frames.append(picture.to_ndarray(format="rgba"))
                times.append(float(picture.pts * packet.time_base))
    return frames, times
