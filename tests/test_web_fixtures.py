"""The fixtures of the web runtime's tests are what the Python runtime gives.

``python tests/test_web_fixtures.py`` writes them anew.
"""

import hashlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runtime_fixtures import WEIGHTS, NumpyEngine, read_manifest, segmenter_of, write_tiny_bundle

from tracenet_runtime.answer.result import TapResult
from tracenet_runtime.bundle.files import Bundle
from tracenet_runtime.graph.arrays import PlacedArray
from tracenet_runtime.graph.operations import place_mask
from tracenet_runtime.graph.schedule import PlaceMask
from tracenet_runtime.image.canvas import Canvas
from tracenet_runtime.image.mask import ProbabilityMap
from tracenet_runtime.segmenter import TapSegmenter
from tracenet_runtime.strategies.rules import ZoomRule

FOLDER = Path(__file__).parent.parent / "runtime/web/test/fixtures"
PAD = (124, 116, 104)
ZOOM = {
    "kind": "zoom",
    "first": 0,
    "tile": 0,
    "extent": 64.0,
    "enlarge": 4.0,
    "gain": 1.05,
    "inside": 0.8,
    "trust": 0.7,
}


def noise(seed: int, count: int) -> np.ndarray:
    """Bytes that the tests of the web runtime make in the same way."""
    values = np.empty(count, np.uint8)
    state = seed
    for i in range(count):
        state = (state * 1664525 + 1013904223) % 2**32
        values[i] = state >> 24
    return values


def smooth_photo(seed: int, height: int, width: int) -> np.ndarray:
    """5 x 5 random colours, stretched in whole numbers."""
    grid = noise(seed, 75).reshape(5, 5, 3).astype(np.int64)
    y, y_part = np.divmod(np.arange(height) * 4 * 256 // height, 256)
    x, x_part = np.divmod(np.arange(width) * 4 * 256 // width, 256)
    y_part, x_part = y_part[:, None, None], x_part[None, :, None]
    upper = grid[y][:, x] * (256 - x_part) + grid[y][:, x + 1] * x_part
    lower = grid[y + 1][:, x] * (256 - x_part) + grid[y + 1][:, x + 1] * x_part
    return ((upper * (256 - y_part) + lower * y_part) // 65536).astype(np.uint8)


class CentredEngine(NumpyEngine):
    """The tiny network about a middle grey, with smaller boxes: its masks have both sides."""

    def run(self, program: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        if program.startswith("features"):
            inputs = {name: values - np.float32(128) for name, values in inputs.items()}
        outputs = super().run(program, inputs)
        if "box" in outputs:
            outputs["box"] = outputs["box"] * np.float32(0.05)
        return outputs


def digest(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def placements() -> list[dict[str, Any]]:
    rng = np.random.default_rng(1)
    sizes = [(64, 64, 128, 1), (64, 96, 128, 127), (96, 64, 1, 4000), (64, 64, 100, 37)]
    sizes += [
        (*(32 * rng.integers(1, 30, 2)), *(2 ** rng.uniform(0, 14, 2)).astype(int))
        for _ in range(200)
    ]
    found = []
    for height, width, photo_height, photo_width in (map(int, size) for size in sizes):
        placement = Canvas(height, width, PAD).place(photo_height, photo_width)
        x, y = int(rng.integers(photo_width)), int(rng.integers(photo_height))
        found.append(
            {
                "canvas": [height, width],
                "photo": [photo_height, photo_width],
                "content": [placement.content_height, placement.content_width],
                "at": [x, y],
                "tap": placement.to_canvas(x, y),
            }
        )
    return found


def canvases() -> list[dict[str, Any]]:
    """Windows of canvases: enlarged, reduced, thinned, tiles, and across blocks."""
    found = []
    for number, (canvas, photo, tile, window) in enumerate(
        [
            ((64, 96), (40, 50), (0, 0, 50, 40), (0, 0, 64, 96)),
            ((64, 96), (64, 96), (0, 0, 96, 64), (0, 0, 64, 96)),
            ((64, 64), (150, 131), (0, 0, 131, 150), (0, 0, 64, 64)),
            ((64, 64), (201, 303), (0, 0, 303, 201), (5, 7, 40, 50)),
            ((64, 64), (401, 17), (0, 0, 17, 401), (0, 0, 64, 64)),
            ((32, 64), (190, 300), (31, 45, 212, 187), (0, 0, 32, 64)),
            ((96, 64), (120, 90), (13, 20, 33, 50), (0, 0, 96, 64)),
            ((32, 1088), (9, 700), (0, 0, 700, 9), (0, 490, 32, 60)),
            ((1088, 32), (3000, 7), (0, 0, 7, 3000), (400, 0, 688, 32)),
            ((64, 64), (1, 1), (0, 0, 1, 1), (0, 0, 64, 64)),
        ]
    ):
        pixels = noise(number, photo[0] * photo[1] * 3).reshape(*photo, 3)
        x0, y0, x1, y1 = tile
        image = Canvas(*canvas, PAD).open(pixels[y0:y1, x0:x1])
        found.append(
            {
                "canvas": canvas,
                "photo": photo,
                "tile": tile,
                "window": window,
                "seed": number,
                "sha256": digest(image.cut(*window)),
            }
        )
    return found


def masks() -> list[dict[str, Any]]:
    """Masks of maps of noise, on whole photos and on tiles, larger and smaller than the map."""
    found = []
    for number, (canvas, photo, tile, window) in enumerate(
        [
            ((64, 96), (90, 120), (0, 0, 120, 90), (0, 0, 96, 64)),
            ((64, 96), (90, 120), (0, 0, 120, 90), (16, 8, 40, 32)),
            ((64, 64), (300, 217), (0, 0, 217, 300), (0, 0, 64, 64)),
            ((64, 64), (20, 31), (0, 0, 31, 20), (0, 0, 64, 64)),
            ((96, 64), (11, 7), (0, 0, 7, 11), (0, 10, 64, 90)),
            ((64, 96), (200, 300), (31, 45, 212, 187), (0, 0, 96, 64)),
            ((64, 96), (200, 300), (100, 110, 130, 131), (8, 0, 64, 40)),
            ((64, 64), (1, 5000), (0, 0, 5000, 1), (0, 0, 64, 64)),
        ]
    ):
        x0, y0, x1, y1 = tile
        placement = Canvas(*canvas, PAD).place(y1 - y0, x1 - x0)
        shape = (window[3] - window[1]) // 2, (window[2] - window[0]) // 2
        cells = (noise(number, shape[0] * shape[1]) / np.float32(255)).reshape(shape)
        probability = ProbabilityMap(cells.astype(np.float32), window, placement, photo, tile)
        mask = probability.mask_at(*photo)
        found.append(
            {
                "canvas": canvas,
                "photo": photo,
                "tile": tile,
                "window": window,
                "seed": number,
                "area": int(mask.sum()),
                "sha256": digest(mask),
            }
        )
    return found


def placed() -> list[dict[str, Any]]:
    """What the host operation ``place_mask`` keeps of a mask of the whole canvas."""
    rng = np.random.default_rng(3)
    found = []
    for _ in range(60):
        height, width = (int(v) for v in 32 * rng.integers(1, 9, 2))
        stride = int(rng.choice([8, 16, 32]))
        reach = None if rng.random() < 0.1 else int(2 * rng.integers(1, 60))
        key = int(rng.integers(width // stride)), int(rng.integers(height // stride))
        cells = np.arange(height * width // 4, dtype=np.float32)
        whole = {"in": PlacedArray(cells.reshape(1, 1, height // 2, width // 2), 0, 0)}
        kept = place_mask(PlaceMask("in", "out", reach), whole, key, stride, (height, width))
        found.append(
            {
                "canvas": [height, width],
                "key_stride": stride,
                "reach": reach,
                "key_cell": key,
                "start": [kept.y0, kept.x0],
                "size": kept.values.shape[2:],
                "first": float(kept.values.flat[0]),
            }
        )
    return found


def tiles() -> list[dict[str, Any]]:
    rng = np.random.default_rng(2)
    found = []
    for _ in range(200):
        width, height = (int(v) for v in 2 ** rng.uniform(4, 13, 2))
        extent, gain = float(rng.uniform(10, 64)), float(rng.uniform(0.3, 3))
        rule = ZoomRule(0, 0, extent, 4.0, gain, float(rng.uniform(0.05, 0.95)), 0.7)
        x, y = (float(rng.uniform(0, side)) for side in (width, height))
        x0, x1 = sorted(float(v) for v in rng.uniform(0, width, 2))
        y0, y1 = sorted(float(v) for v in rng.uniform(0, height, 2))
        first = Canvas(64, 96, PAD).place(height, width)
        tile = rule.choose_tile((96, 64), first, (x, y), (x0, y0, x1, y1))
        found.append(
            {
                "photo": [height, width],
                "extent": extent,
                "gain": gain,
                "inside": rule.inside,
                "at": [x, y],
                "box": [x0, y0, x1, y1],
                "tile": tile,
            }
        )
    return found


def tiny() -> dict[str, Any]:
    """A bundle without its programs, their weights, and what its schedules answer."""
    photo = {"height": 250, "width": 330, "seed": 11}
    pixels = smooth_photo(11, 250, 330)
    taps = [(200, 120), (3, 240), (329, 0), (77, 91), (160, 30)]
    with tempfile.TemporaryDirectory() as folder:
        bundle = Bundle.open(write_tiny_bundle(Path(folder) / "bundle", ZOOM))
        ways = {
            v.name: segmenter_of(bundle, [v], engine=CentredEngine())
            for v in bundle.manifest.schedules
        }
        ways["zoom"] = TapSegmenter(bundle, CentredEngine())
        return {
            "manifest": read_manifest(bundle.folder),
            "table": np.fromfile(bundle.folder / "table.bin", "<i4").tolist(),
            "weights": {name: values.tolist() for name, values in WEIGHTS.items()},
            "photo": photo,
            "answers": [
                {"way": way, "at": at, **_answer(session.tap(at))}
                for way, segmenter in ways.items()
                for session in [segmenter.open(pixels)]
                for at in taps
            ],
        }


def _answer(result: TapResult) -> dict[str, Any]:
    return {
        "level": result.level,
        "score": result.score,
        "box": result.box,
        "schedule": result.schedule,
        "mask_window": result.mask_window,
        "canvas": result.canvas,
        "macs": result.macs,
        "tile": result.tile,
        "area": result.area,
        "mask_rle": result.rle(),
    }


def fixtures() -> dict[str, Any]:
    return {
        "placements": placements(),
        "canvases": canvases(),
        "masks": masks(),
        "tiles": tiles(),
        "placed": placed(),
        "tiny": tiny(),
    }


def comparable(value: Any) -> Any:
    """What JSON makes of a value, with floats as near as processors agree on."""
    if isinstance(value, dict):
        return {key: comparable(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [comparable(element) for element in value]
    return pytest.approx(value, rel=1e-4, abs=1e-6) if isinstance(value, float) else value


@pytest.mark.parametrize("name", ["placements", "canvases", "masks", "tiles", "placed"])
def test_geometry_is_what_python_gives(name: str) -> None:
    stored = json.loads((FOLDER / f"{name}.json").read_text())
    assert stored == comparable(globals()[name]())


def test_the_tiny_bundle_answers_so() -> None:
    stored, now = json.loads((FOLDER / "tiny.json").read_text()), tiny()
    for manifest in (stored["manifest"], now["manifest"]):
        # The files depend on the version of onnx; the web runtime's tests make their own.
        del manifest["files"], manifest["producer"]
    for answer in (*stored["answers"], *now["answers"]):
        del answer["mask_rle"]
    assert stored == comparable(now)


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, fixture in fixtures().items():
        text = json.dumps(fixture, separators=(",", ":"))
        (FOLDER / f"{name}.json").write_text(text + "\n")
