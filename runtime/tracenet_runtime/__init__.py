"""One tap on a photo gives the mask of the thing under the finger; runs without torch.

>>> from tracenet_runtime import TapSegmenter, load_photo
>>> segmenter = TapSegmenter.load("out/bundle")
>>> result = segmenter.tap(load_photo("photo.jpg"), (812, 640))
>>> with segmenter.open(load_photo("photo.jpg")) as photo:
...     results = [photo.tap(at) for at in ((812, 640), (300, 20))]
"""

from tracenet_runtime.answer.result import Candidate, TapResult
from tracenet_runtime.cores import ThreadsWarning
from tracenet_runtime.engines import EngineReport, EngineSettings
from tracenet_runtime.errors import (
    BundleError,
    EngineUnavailable,
    GestureError,
    OutOfMemory,
    OutputError,
    PhotoError,
    SessionClosed,
    TapOutsidePhoto,
    TraceNetError,
    UnknownLevel,
)
from tracenet_runtime.image.mask import ProbabilityMap
from tracenet_runtime.image.photo import load_photo
from tracenet_runtime.segmenter import TapSegmenter
from tracenet_runtime.session import PhotoSession

__all__ = [
    "BundleError",
    "Candidate",
    "EngineReport",
    "EngineSettings",
    "EngineUnavailable",
    "GestureError",
    "OutOfMemory",
    "OutputError",
    "PhotoError",
    "PhotoSession",
    "ProbabilityMap",
    "SessionClosed",
    "TapOutsidePhoto",
    "TapResult",
    "TapSegmenter",
    "ThreadsWarning",
    "TraceNetError",
    "UnknownLevel",
    "load_photo",
]
