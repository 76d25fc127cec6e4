"""Fixtures of what a guided look's host side gives, for the tests of the web runtime.

``python tests/test_web_guided_fixtures.py`` writes them anew.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runtime_fixtures import read_manifest, write_tiny_bundle
from test_web_fixtures import FOLDER, PAD, CentredEngine, comparable, noise, smooth_photo

from tracenet_runtime.answer.marks import Area, Mark, Stroke, as_shown, guide_planes
from tracenet_runtime.answer.mask_state import Layer, MaskState
from tracenet_runtime.answer.promises import force, hold, obeys, spare
from tracenet_runtime.answer.prompt import Bounds, Gesture, Scribble, Tap, mark_of, tapped
from tracenet_runtime.answer.result import TapResult
from tracenet_runtime.bundle.files import Bundle
from tracenet_runtime.image.canvas import Canvas
from tracenet_runtime.image.geometry import PlacedTile, Tile
from tracenet_runtime.image.mask import ProbabilityMap
from tracenet_runtime.image.rle import encode_rle
from tracenet_runtime.segmenter import TapSegmenter
from tracenet_runtime.strategies.rules import GuidedRule, ZoomRule

CANVAS, CELLS = (32, 48), (8, 12)
DIGITS = 5


def cells_of(seed: int) -> np.ndarray:
    """Probabilities that the tests of the web runtime make in the same way."""
    return (noise(seed, CELLS[0] * CELLS[1]) / np.float32(255)).astype(np.float32).reshape(CELLS)


def rounded(values: np.ndarray) -> list[float]:
    return [round(float(v), DIGITS) for v in values.ravel()]


def written(mark: Mark) -> dict[str, Any]:
    if isinstance(mark, Area):
        return {"box": mark.box}
    return {"points": mark.points, "radius": mark.radius, "positive": mark.positive}


def made(gesture: Gesture) -> dict[str, Any]:
    if isinstance(gesture, Bounds):
        return {"kind": "box", "box": gesture.box}
    if isinstance(gesture, Tap):
        return {"kind": "tap", "at": gesture.at, "positive": gesture.positive}
    return {
        "kind": "scribble",
        "points": gesture.points,
        "width": gesture.width,
        "positive": gesture.positive,
    }


def random_gesture(rng: np.random.Generator, tile: Tile) -> Gesture:
    x0, y0, x1, y1 = tile

    def place() -> tuple[float, float]:
        return round(float(rng.uniform(x0, x1)), 3), round(float(rng.uniform(y0, y1)), 3)

    kind = rng.integers(4)
    if kind == 0:
        (a, b), (c, d) = place(), place()
        return Bounds((min(a, c), min(b, d), max(a, c) + 0.5, max(b, d) + 0.5))
    if kind == 1:
        points = tuple(place() for _ in range(int(rng.integers(1, 4))))
        return Scribble(points, round(float(rng.uniform(1, 20)), 3), bool(rng.integers(2)))
    return Tap((int(rng.integers(x0, x1)), int(rng.integers(y0, y1))), bool(rng.integers(2)))


def random_tile(rng: np.random.Generator, photo: tuple[int, int]) -> Tile:
    height, width = photo
    x0, y0 = int(rng.integers(width)), int(rng.integers(height))
    return x0, y0, int(rng.integers(x0, width)) + 1, int(rng.integers(y0, height)) + 1


def view_of(tile: Tile) -> PlacedTile:
    x0, y0, x1, y1 = tile
    return PlacedTile(tile, Canvas(*CANVAS, PAD).place(y1 - y0, x1 - x0), CANVAS)


def layer_of(seed: int, view: PlacedTile, photo: tuple[int, int], marks: list[Mark]) -> Layer:
    mask = ProbabilityMap(cells_of(seed), (0, 0, 48, 32), view.placement, photo, view.tile, 4)
    return Layer(mask, view, tuple(mark for mark in marks if isinstance(mark, Stroke)))


def marks() -> list[dict[str, Any]]:
    """Gestures on tiles as marks, what of these is shown, and the planes of all of them."""
    rng = np.random.default_rng(4)
    found = []
    for seed in range(8):
        photo = int(rng.integers(1, 300)), int(rng.integers(1, 300))
        tile = random_tile(rng, photo)
        gestures = [random_gesture(rng, tile) for _ in range(1 + seed % 4)]
        view = view_of(tile)
        on_canvas = [mark_of(gesture, view) for gesture in gestures]
        planes = guide_planes(on_canvas, *(cells_of(seed + n) for n in (0, 100, 200)))
        found.append(
            {
                "photo": photo,
                "tile": tile,
                "seed": seed,
                "gestures": [made(gesture) for gesture in gestures],
                "tapped": [tapped(gesture, photo) for gesture in gestures],
                "marks": [written(mark) for mark in on_canvas],
                "shown": [written(as_shown(mark)) for mark in on_canvas],
                "planes": rounded(planes),
            }
        )
    return found


def mask_states() -> list[dict[str, Any]]:
    """Masks of layers over a mask, in the photo, about what, and carried to another tile."""
    rng = np.random.default_rng(5)
    found = []
    for seed in range(10):
        photo = int(rng.integers(20, 120)), int(rng.integers(20, 120))
        base = noise(seed, photo[0] * photo[1]).reshape(photo) < 20 if seed % 2 else None
        state = MaskState(photo, base=base)
        layers = []
        for number in range(1 + seed % 3):
            tile = random_tile(rng, photo)
            view = view_of(tile)
            gestures = [random_gesture(rng, tile) for _ in range(2)]
            strokes = [mark_of(gesture, view) for gesture in gestures]
            state = state.put(layer_of(seed + number, view, photo, strokes))
            layers.append(
                {
                    "tile": tile,
                    "seed": seed + number,
                    "gestures": [made(gesture) for gesture in gestures],
                }
            )
        other = random_tile(rng, photo)
        found.append(
            {
                "photo": photo,
                "base_seed": seed if base is not None else None,
                "layers": layers,
                "kept": len(state.layers),
                "box": state.box,
                "mask_rle": encode_rle(state.mask_at(*photo)),
                "half_rle": encode_rle(state.mask_at(photo[0] // 2, photo[1] // 2)),
                "tile": other,
                "carried": rounded(state.carried(view_of(other))),
            }
        )
    return found


def kept() -> list[dict[str, Any]]:
    """What strokes force, and what is held and spared far from the newest."""
    rng = np.random.default_rng(6)
    found = []
    while len(found) < 8:
        photo = int(rng.integers(10, 300)), int(rng.integers(10, 300))
        view = view_of(random_tile(rng, photo))
        gestures = [random_gesture(rng, view.tile) for _ in range(3)]
        on_canvas = [mark_of(gesture, view) for gesture in gestures]
        strokes = [mark for mark in on_canvas if isinstance(mark, Stroke)]
        if not strokes:
            continue
        seed = len(found)
        cells, before = cells_of(seed), cells_of(seed + 50)
        found.append(
            {
                "photo": photo,
                "tile": view.tile,
                "seed": seed,
                "near": 18.0,
                "strokes": [written(stroke) for stroke in strokes],
                "forced": rounded(force(cells, strokes, view)),
                "held": rounded(hold(cells, before, strokes[-1], 18.0, view)),
                "spared": rounded(spare(cells, before, strokes[-1])),
                "obeyed": obeys(cells, strokes[-1]),
            }
        )
    return found


def guided_tiles() -> list[dict[str, Any]]:
    """Tiles about boxes, gestures that leave a tile, and masks that spill over its sides."""
    rng = np.random.default_rng(7)
    found = []
    for seed in range(100):
        width, height = (int(v) for v in 2 ** rng.uniform(4, 13, 2))
        photo = height, width
        zoom = ZoomRule(0, 0, 36.0, 4.0, 1.2, 0.8, 0.7)
        rule = GuidedRule(zoom, 0, 20.0, 18.0, margin=4.0, spill=0.02, roomy=0.6, small=0.4)
        x0, x1 = sorted(round(float(v), 3) for v in rng.uniform(0, width, 2))
        y0, y1 = sorted(round(float(v), 3) for v in rng.uniform(0, height, 2))
        extent = float(rng.uniform(10, 40))
        tile = zoom.tile_about(CANVAS, photo, (x0, y0, x1, y1), extent)
        view = view_of(tile)
        gesture = random_gesture(rng, tile)
        threshold = int(rng.integers(100, 256))
        inside = cells_of(seed) > np.float32(threshold / 255)
        found.append(
            {
                "photo": photo,
                "box": [x0, y0, x1, y1],
                "extent": extent,
                "tile": tile,
                "gesture": made(gesture),
                "leaves": rule.leaves(view, photo, gesture.bounds),
                "seed": seed,
                "threshold": threshold,
                "spills": rule.spills(inside, view, photo),
                "shrinks": rule.shrinks(gesture.bounds, view),
            }
        )
    return found


def guided() -> dict[str, Any]:
    """A bundle with a guided look, and what sessions on a photo give."""
    pixels = smooth_photo(11, 250, 330)
    sessions: list[list[Gesture]] = [
        [
            Tap((200, 120)),
            Tap((190, 100), False),
            Scribble(((150, 90), (170.5, 110), (160, 140)), 6.0),
            Tap((10, 240)),
        ],
        [Bounds((60, 40, 140, 120)), Scribble(((70, 50), (90, 60)), 8.0, False)],
        [Scribble(((40, 200), (120, 220)), 5.0), Bounds((20, 180, 160, 249.5)), Tap((100, 200))],
    ]
    with tempfile.TemporaryDirectory() as folder:
        bundle = Bundle.open(write_tiny_bundle(Path(folder) / "bundle", guided=True))
        segmenter = TapSegmenter(bundle, CentredEngine())
        return {
            "manifest": read_manifest(bundle.folder),
            "table": np.fromfile(bundle.folder / "table.bin", "<i4").tolist(),
            "photo": {"height": 250, "width": 330, "seed": 11},
            "sessions": [
                [
                    {"gesture": made(gesture), **_answer(session.make(gesture))}
                    for gesture in gestures
                ]
                for gestures in sessions
                for session in [segmenter.open(pixels)]
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
        "obeyed": result.obeyed,
        "area": result.area,
        "mask_rle": result.rle(),
    }


NAMES = ["marks", "mask_states", "kept", "guided_tiles"]


@pytest.mark.parametrize("name", NAMES)
def test_the_host_side_is_what_python_gives(name: str) -> None:
    stored = json.loads((FOLDER / f"{name}.json").read_text())
    assert stored == comparable(globals()[name]())


def test_the_tiny_bundle_corrects_so() -> None:
    stored, now = json.loads((FOLDER / "guided.json").read_text()), guided()
    for manifest in (stored["manifest"], now["manifest"]):
        del manifest["files"], manifest["producer"]
    for session in (*stored["sessions"], *now["sessions"]):
        for answer in session:
            del answer["mask_rle"]
    assert stored == comparable(now)


if __name__ == "__main__":
    for name in (*NAMES, "guided"):
        text = json.dumps(globals()[name](), separators=(",", ":"))
        (FOLDER / f"{name}.json").write_text(text + "\n")
