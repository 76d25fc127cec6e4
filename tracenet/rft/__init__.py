"""The Receptive Field Tracer: which part of a picture a part of a network's output depends on.

tracer = ReceptiveFieldTracer(module, (example,))
trace = tracer.trace({"p3_score": Rect(10, 11, 20, 21)})
trace.input_region, trace.macs / tracer.full_macs, trace.run(image)["p3_score"]
"""

from tracenet.rft.axis_maps import AxisMap
from tracenet.rft.capture import capture
from tracenet.rft.errors import ImageError, RegionError, TracerError, UnsupportedOperator
from tracenet.rft.geometry import Rect, Span
from tracenet.rft.graph import ConvGraph, Edge, Node
from tracenet.rft.resized import resized
from tracenet.rft.tracer import ReceptiveFieldTracer, Trace

__all__ = [
    "AxisMap",
    "ConvGraph",
    "Edge",
    "ImageError",
    "Node",
    "ReceptiveFieldTracer",
    "Rect",
    "RegionError",
    "Span",
    "Trace",
    "TracerError",
    "UnsupportedOperator",
    "capture",
    "resized",
]
