"""What a tap costs with a SAM that was made for small devices, at its own input size.

Built from the package's own configuration, with random weights, and nothing is downloaded: its time
and multiply-adds are those of the trained network, its masks are noise. Cost only.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from tracenet_bench.measure.shown import shown_size
from tracenet_runtime.errors import TraceNetError

Photo = npt.NDArray[np.uint8]

COST_ONLY = ("edgetam",)
"""The networks that there are."""

_PACKAGES = ("torch", "torchvision", "transformers", "timm")
_PIXEL_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_PIXEL_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)


class CostOnlyError(TraceNetError):
    """There is no such network, or what it needs is not installed."""


@dataclass(frozen=True)
class CostOnly:
    """A network with random weights.

    Attributes:
        source: package, version and class.
        input_size: height and width that every photo is resized to.
    """

    source: str
    input_size: tuple[int, int]
    _encode: Callable[[Any], Any]
    _decode: Callable[[Any, float, float], Any]

    @cached_property
    def macs(self) -> int:
        """Multiply-adds of a tap.

        Half the operations that ``torch.utils.flop_counter`` counts, which are those of
        convolutions, matrix products and attention. It counts them in a tap, so that asking for the
        first time takes time and memory.
        """
        import torch
        from torch.utils.flop_counter import FlopCounterMode

        height, width = self.input_size
        with FlopCounterMode(display=False) as counter:
            self._decode(self._encode(torch.zeros(1, 3, height, width)), width / 2, height / 2)
        return int(counter.get_total_flops()) // 2

    def tap(self, photo: Photo, at: tuple[float, float]) -> dict[str, float]:
        """Milliseconds of a cold tap by stage.

        ``resize`` is the photo's to the network's size and the mask's to ``shown_size``,
        ``image encoder`` what another tap on the same photo would not repeat, and
        ``prompt and mask decoder`` the rest. ``photo`` is uint8 RGB H x W x 3, ``at`` (x, y) in
        photo pixels.
        """
        import torch

        height, width = photo.shape[:2]
        began = time.perf_counter()
        pixels = _pixels(photo, self.input_size)
        resized = time.perf_counter()
        embeddings = self._encode(pixels)
        encoded = time.perf_counter()
        x, y = at[0] * self.input_size[1] / width, at[1] * self.input_size[0] / height
        logits = self._decode(embeddings, x, y)
        decoded = time.perf_counter()
        shown = shown_size(height, width)
        torch.nn.functional.interpolate(logits, shown, mode="bilinear").gt(0).numpy()
        pasted = time.perf_counter()
        return {
            "resize": 1000 * (resized - began + pasted - decoded),
            "image encoder": 1000 * (encoded - resized),
            "prompt and mask decoder": 1000 * (decoded - encoded),
        }


def open_cost_only(name: str, threads: int) -> CostOnly:
    """Build a network, with ``threads`` threads for torch in this process.

    Raises:
        CostOnlyError: there is no such network, or a package is not installed or does not fit.
    """
    if name not in COST_ONLY:
        raise CostOnlyError(
            f"There is no cost-only network {name!r}; there is {' and '.join(COST_ONLY)}."
        )
    missing = [package for package in _PACKAGES if importlib.util.find_spec(package) is None]
    if missing:
        raise CostOnlyError(
            f"The network {name} needs {' and '.join(missing)}; run: pip install 'tracenet[sam]'"
        )
    import torch

    torch.set_num_threads(threads)
    return _edgetam()


def _edgetam() -> CostOnly:
    import torch

    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError) as error:
        raise CostOnlyError(
            f"torchvision does not fit torch {torch.__version__} ({error}); install both again, "
            "from the same index"
        ) from error
    library: Any = importlib.import_module("transformers")
    # What the configuration stands for; its own default misspells the name of the backbone, and
    # another would be built.
    stages = {"in_chans": 3, "features_only": True, "out_indices": [0, 1, 2, 3]}
    backbone = library.TimmWrapperConfig(architecture="repvit_m1", model_args=stages)
    config = library.EdgeTamConfig(
        vision_config=library.EdgeTamVisionConfig(backbone_config=backbone)
    )
    torch.manual_seed(0)
    model = library.EdgeTamModel(config).eval()
    side = config.prompt_encoder_config.image_size

    @torch.inference_mode()
    def encode(pixels: Any) -> Any:
        return model.get_image_embeddings(pixels)

    @torch.inference_mode()
    def decode(embeddings: Any, x: float, y: float) -> Any:
        point = torch.tensor([[[[x, y]]]])
        found = model(image_embeddings=embeddings, input_points=point, multimask_output=False)
        return found.pred_masks[:, 0]

    version = importlib.metadata.version("transformers")
    return CostOnly(
        source=f"transformers {version}: EdgeTamModel",
        input_size=(side, side),
        _encode=encode,
        _decode=decode,
    )


def _pixels(photo: Photo, size: tuple[int, int]) -> Any:
    import torch

    height, width = size
    resized = Image.fromarray(photo).resize((width, height), Image.Resampling.BILINEAR)
    values = np.asarray(resized, np.float32) / 255
    normalised = (values - _PIXEL_MEAN) / _PIXEL_DEVIATION
    return torch.from_numpy(normalised.transpose(2, 0, 1)[None].copy())
