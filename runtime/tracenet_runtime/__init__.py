"""One tap on a photo or clip gives the mask of the thing under the finger; runs without torch.

>>> from tracenet_runtime import TapSegmenter, load_photo
>>> segmenter = TapSegmenter.load("out/bundle")
>>> result = segmenter.tap(load_photo("photo.jpg"), (812, 640))
>>> with segmenter.open(load_photo("photo.jpg")) as photo:
...     results = [photo.tap(at) for at in ((812, 640), (300, 20))]
>>> with segmenter.open_video(frames) as video:
...     _ = video.frame(12).tap((420, 310))
...     masks = {result.number: result.things[0].mask() for result in video.propagate()}
"""

from tracenet_runtime.answer.result import Candidate, TapResult
from tracenet_runtime.cores import ThreadsWarning
from tracenet_runtime.engines import EngineReport, EngineSettings
from tracenet_runtime.errors import (
    BundleError,
    EngineUnavailable,
    FrameError,
    GestureError,
    OutOfMemory,
    OutputError,
    PhotoError,
    SessionClosed,
    TapOutsidePhoto,
    TraceNetError,
    UnknownLevel,
)
from tracenet_runtime.frame_session import FrameSession
from tracenet_runtime.image.mask import ProbabilityMap
from tracenet_runtime.image.photo import load_photo
from tracenet_runtime.segmenter import TapSegmenter
from tracenet_runtime.session import PhotoSession
from tracenet_runtime.stream_session import StreamSession
from tracenet_runtime.tracking.results import FrameResult, ThingResult
from tracenet_runtime.video import VideoSession

__all__ = [
    "BundleError",
    "Candidate",
    "EngineReport",
    "EngineSettings",
    "EngineUnavailable",
    "FrameError",
    "FrameResult",
    "FrameSession",
    "GestureError",
    "OutOfMemory",
    "OutputError",
    "PhotoError",
    "PhotoSession",
    "ProbabilityMap",
    "SessionClosed",
    "StreamSession",
    "TapOutsidePhoto",
    "TapResult",
    "TapSegmenter",
    "ThingResult",
    "ThreadsWarning",
    "TraceNetError",
    "UnknownLevel",
    "VideoSession",
    "load_photo",
]
