"""One tap on a photo gives the mask of the thing under the finger; runs without torch.

>>> from tracenet_runtime import TapSegmenter, load_photo
>>> segmenter = TapSegmenter.load("out/bundle")
>>> result = segmenter.tap(load_photo("photo.jpg"), (812, 640))
"""

from tracenet_runtime.encoded import EncodedPhoto
from tracenet_runtime.errors import (
    BundleError,
    EncodedPhotoDropped,
    EngineUnavailable,
    OutOfMemory,
    OutputError,
    PhotoError,
    TapOutsidePhoto,
    TraceNetError,
)
from tracenet_runtime.photo import load_photo
from tracenet_runtime.result import Candidate, TapResult
from tracenet_runtime.segmenter import TapSegmenter

__all__ = [
    "BundleError",
    "Candidate",
    "EncodedPhoto",
    "EncodedPhotoDropped",
    "EngineUnavailable",
    "OutOfMemory",
    "OutputError",
    "PhotoError",
    "TapOutsidePhoto",
    "TapResult",
    "TapSegmenter",
    "TraceNetError",
    "load_photo",
]
