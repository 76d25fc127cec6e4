"""Fixtures of what following things gives, for the tests of the web runtime.

``python tests/test_web_tracking_fixtures.py`` writes them anew.
"""

import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runtime_fixtures import write_tiny_bundle
from test_web_fixtures import FOLDER, CentredEngine, comparable, noise
from tracking_fakes import LENGTH, ColourNetwork, frame, frames, truth

from tracenet_export.write import write_tracking
from tracenet_runtime.answer.prompt import Bounds, Gesture, Scribble, Tap
from tracenet_runtime.answer.result import TapResult
from tracenet_runtime.bundle.files import Bundle
from tracenet_runtime.frame_session import FrameSession, OpenView
from tracenet_runtime.graph.program import TensorSpec
from tracenet_runtime.image.rle import encode_rle
from tracenet_runtime.segmenter import TapSegmenter
from tracenet_runtime.stream_session import StreamSession
from tracenet_runtime.tracking.aggregate import aggregated
from tracenet_runtime.tracking.check import tensors_of
from tracenet_runtime.tracking.groups import GroupTracker
from tracenet_runtime.tracking.memory import CELLS, Memory, memory_nbytes
from tracenet_runtime.tracking.passes import ClipPasses
from tracenet_runtime.tracking.records import Tracking
from tracenet_runtime.tracking.results import FrameResult
from tracenet_runtime.tracking.tile import FollowRule, carried
from tracenet_runtime.tracking.tracker import Tracked, Tracker
from tracenet_runtime.video import VideoSession

DIGITS = 5
STEP = 197
"""Of a large array, every 197th number is compared."""


def spread(seed: int, shape: Sequence[int]) -> np.ndarray:
    """Numbers from 0 to 1 that the tests of the web runtime make in the same way."""
    count = int(np.prod(shape))
    fine = noise(seed, 2 * count).astype(np.float64)
    return ((fine[::2] * 256 + fine[1::2]) / 65535).astype(np.float32).reshape(shape)


def some(values: np.ndarray) -> list[float]:
    return [round(float(v), DIGITS) for v in values.ravel()[::STEP]]


def tracking_manifest() -> dict[str, Any]:
    """What a manifest says of a network that tracks, and its programs."""
    names = {part: f"track_{part}" for part in ("frame", "value", "decode", "fuse")}
    ends = tensors_of({"edges": 6, "fine": 8, "coarse": 16, "deep": 24})

    def written(specs: Sequence[TensorSpec]) -> list[dict[str, Any]]:
        return [{"name": v.name, "shape": v.shape, "dtype": "float32"} for v in specs]

    return {
        "tracking": write_tracking(Tracking(**names, rule=FollowRule())),
        "programs": {
            names[part]: {
                "file": f"programs/{names[part]}.onnx",
                "signature": None,
                "layout": "NCHW",
                "macs": 1000,
                "inputs": written(inputs),
                "outputs": written(outputs),
            }
            for part, (inputs, outputs) in ends.items()
        },
    }


def memory_reads() -> dict[str, Any]:
    """What a memory of two things says after each frame that it is given."""
    memory = Memory(2)
    found = []
    for number, touched in [(0, True), *((n, False) for n in range(1, 14)), (20, True)] + [
        (n, True) for n in (21, 0, 22, 23)
    ]:
        key = spread(100 + number, (CELLS, 64))
        values = spread(200 + number, (2, CELLS, 128))
        if touched:
            memory.forget_way()
            memory.touch(number, key, values)
        else:
            memory.remember(number, key, values)
        read = memory.read(spread(300 + number, (CELLS, 64)))
        found.append(
            {
                "number": number,
                "touched": touched,
                "frames": memory.frames,
                "read": some(read),
            }
        )
    return {"bytes": [memory_nbytes(1), memory_nbytes(2)], "reads": found}


def followed() -> list[dict[str, Any]]:
    """Tiles about boxes, and masks carried from one to the next."""
    rng = np.random.default_rng(8)
    found, before = [], None
    for seed in range(60):
        width, height = (int(v) for v in 2 ** rng.uniform(4, 11, 2))
        fill, enlarge = round(float(rng.uniform(0.2, 1)), 3), round(float(rng.uniform(1, 4)), 3)
        rule = FollowRule(fill, enlarge)
        x0, x1 = sorted(round(float(v), 3) for v in rng.uniform(0, width, 2))
        y0, y1 = sorted(round(float(v), 3) for v in rng.uniform(0, height, 2))
        box = None if seed % 7 == 0 else (x0, y0, x1, y1)
        searched = seed % 9
        view = rule.tile((height, width), box, searched)
        moved = carried(spread(seed, (64, 64)), before or view, view)
        before = view
        found.append(
            {
                "frame": [height, width],
                "rule": {"fill": fill, "enlarge": enlarge, "lost": 0.5, "sure": 0.8},
                "box": box,
                "searched": searched,
                "tile": view.tile,
                "content": [view.placement.content_height, view.placement.content_width],
                "seed": seed,
                "carried": some(moved),
            }
        )
    return found


def groups() -> list[dict[str, Any]]:
    """Which of up to five things share a tile."""
    rng = np.random.default_rng(9)
    found = []
    for _ in range(80):
        width, height = (int(v) for v in 2 ** rng.uniform(7, 11, 2))
        fill, enlarge = round(float(rng.uniform(0.2, 1)), 3), round(float(rng.uniform(1, 4)), 3)
        boxes: list[tuple[float, ...] | None] = []
        for _ in range(rng.integers(1, 6)):
            side, spread_over = 2 ** rng.uniform(3, 9, 2)
            x, y = rng.uniform(0, [width, height]) * min(1, spread_over / 256)
            box = x, y, min(x + side, width), min(y + side, height)
            boxes.append(None if rng.random() < 0.1 else tuple(round(float(v), 3) for v in box))
        said = FollowRule(fill, enlarge, 0.5).groups((height, width), boxes)
        rule = {"fill": fill, "enlarge": enlarge, "lost": 0.5, "sure": 0.8}
        found.append({"frame": [height, width], "rule": rule, "boxes": boxes, "groups": said})
    sizes = [len(group) for case in found for group in case["groups"]]
    assert sizes.count(1) > 40
    assert len(sizes) - sizes.count(1) > 20
    return found


def shared() -> list[dict[str, Any]]:
    """Masks of one thing to four that share their cells."""
    found = []
    for things in range(1, 5):
        masks = spread(things, (things, 8, 8))
        masks[0, 0, 0], masks[-1, 0, 1] = 0, 1
        said = [round(float(v), DIGITS) for v in aggregated(masks).ravel()]
        found.append({"things": things, "seed": things, "shared": said})
    return found


def told(things: Iterable[Tracked]) -> list[dict[str, Any]]:
    """Of the things in a frame."""
    return [
        {
            "tile": thing.view.tile,
            "presence": round(thing.presence, DIGITS),
            "present": thing.present,
            "box": thing.box,
            "probability": some(thing.probability),
            "mask_rle": encode_rle(thing.mask()),
        }
        for thing in things
    ]


def tracked() -> dict[str, Any]:
    """Two things followed through a clip, one of which leaves and comes back."""
    tracker, clip = Tracker(ColourNetwork(), 2), frames()
    found = [told(tracker.touch(0, clip[0], [truth(0, 0), truth(1, 0)]))]
    found += [told(tracker.step(number, clip[number])) for number in range(1, LENGTH)]
    assert [things[1]["present"] for things in found].count(False) == 2
    return {"frames": found, "remembered": tracker.memory.frames}


def grouped() -> dict[str, Any]:
    """The halves of one thing, far from another, which then comes in front of them.

    The halves are things 0 and 2, and share a tile.
    """
    tracker, clip = GroupTracker(ColourNetwork(), 3), frames()
    left, right = truth(0, 0), truth(0, 0)
    left[:, 33:], right[:, :33] = False, False
    masks = [left, truth(1, 0), right]
    found = [told(tracker.touch(0, clip[0], masks))]
    found += [told(tracker.step(number, clip[number])) for number in range(1, LENGTH)]
    assert all(things[0]["tile"] == things[2]["tile"] for things in found)
    assert found[0][0]["tile"] != found[0][1]["tile"]
    return {"masks": [encode_rle(mask) for mask in masks], "frames": found}


def known(result: FrameResult | None) -> list[dict[str, Any]] | None:
    """Of a clip's frame."""
    return result and [
        {
            "known": thing.known,
            "touched": thing.touched,
            "present": thing.present,
            "presence": round(thing.presence, DIGITS),
            "score": round(thing.score, DIGITS),
            "box": thing.box,
            "mask_rle": encode_rle(thing.mask()),
        }
        for thing in result.things
    ]


def passes() -> list[dict[str, Any]]:
    """A clip whose frames are touched and forgotten, and what is known of all after each pass."""
    clip = ClipPasses(ColourNetwork(), frames(), FollowRule())
    steps: list[dict[str, Any]] = [
        {"touch": [4, 0, 0]},
        {"touch": [3, 1, 0]},
        {"advance": LENGTH * 4},
        # Of a thing its upper part is not there any more.
        {"touch": [9, 0, 60]},
        {"advance": 3},
        {"touch": [0, 1, 72]},
        {"touch": [11, 0, 0]},
        {"advance": LENGTH * 4},
        {"forget": [9, 0]},
        {"advance": LENGTH * 4},
        {"forget": [0, 1]},
        {"forget": [3, 1]},
        {"advance": LENGTH * 4},
        {"forget": [4, 0]},
        {"forget": [11, 0]},
        {"touch": [0, 0, 0]},
        {"advance": LENGTH * 4},
        # The other one is meant: what was there before is looked at where it was.
        {"touch": [2, 0, 0], "as": 1},
        {"advance": LENGTH * 4},
    ]
    found = []
    for step in steps:
        numbers = []
        if "touch" in step:
            number, which, top = step["touch"]
            mask = truth(step.get("as", which), number)
            mask[:top] = False
            clip.touch(number, {which: mask})
        elif "forget" in step:
            clip.forget(*step["forget"])
        else:
            advanced = (clip.advance() for _ in range(step["advance"]))
            numbers = [number for number in advanced if number is not None]
        results = [known(clip.result(number)) for number in range(LENGTH)] if numbers else []
        found.append({"step": step, "numbers": numbers, "touched": clip.touched, "known": results})
    return found


def tiny_view() -> OpenView:
    """What opens photos with the tiny bundle with a guided look."""
    with tempfile.TemporaryDirectory() as folder:
        bundle = Bundle.open(write_tiny_bundle(Path(folder) / "bundle", guided=True))
    segmenter = TapSegmenter(bundle, CentredEngine())
    return partial(segmenter.strategy.open, segmenter.viewer)


def given(frame: FrameSession, step: Mapping[str, Any]) -> dict[str, Any]:
    """What a frame's session answers."""
    result: TapResult | None
    if "make" in step:
        result = frame.make(gesture_of(step["make"]))
    elif "start_from" in step:
        result = frame.start_from(truth(*step["start_from"]))
    elif step["move"] == "clear":
        frame.clear()
        result = None
    else:
        result = frame.undo() if step["move"] == "undo" else frame.redo()
    return {
        "mask_rle": None if result is None else result.rle(),
        "can_undo": frame.can_undo,
        "can_redo": frame.can_redo,
    }


def gesture_of(value: Mapping[str, Any]) -> Gesture:
    if value["kind"] == "box":
        return Bounds(tuple(value["box"]))
    points = [tuple(point) for point in value.get("points", [value.get("at")])]
    if value["kind"] == "tap":
        return Tap(points[0], value["positive"])
    return Scribble(tuple(points), value["width"], value["positive"])


TAP = {"kind": "tap", "at": [60, 40], "positive": True}
NOT = {"kind": "tap", "at": [50, 30], "positive": False}
LINE = {"kind": "scribble", "points": [[70, 60], [90, 70]], "width": 8.0, "positive": True}
BOX = {"kind": "box", "box": [110, 55, 150, 90]}


def video() -> list[dict[str, Any]]:
    """A session on a clip: gestures on frames, passes, undone and cleared; what it answers."""
    open_view = tiny_view()
    steps: list[dict[str, Any]] = [
        {"frame": [2, 0], "make": TAP},
        {"frame": [2, 0], "make": NOT},
        {"frame": [4, 1], "make": BOX},
        {"propagate": True},
        # Corrects what was carried there.
        {"frame": [8, 0], "make": LINE},
        {"frame": [8, 0], "make": NOT},
        {"frame": [8, 0], "move": "undo"},
        {"propagate": True},
        {"frame": [8, 0], "move": "redo"},
        {"frame": [6, 1], "start_from": [1, 6]},
        {"propagate": True},
        # The mask of a frame that is opened again is given: undo goes back to no further.
        {"frame": [2, 0], "make": LINE},
        {"frame": [2, 0], "move": "undo"},
        {"frame": [8, 0], "move": "clear"},
        {"propagate": True},
    ]
    found = []
    with VideoSession(open_view, ColourNetwork(), frames(), FollowRule()) as session:
        for step in steps:
            answer = given(session.frame(*step["frame"]), step) if "frame" in step else None
            passed = [v.number for v in session.propagate()] if "propagate" in step else []
            results = [known(session.result(number)) for number in range(LENGTH)] if passed else []
            found.append(
                {
                    "step": step,
                    "answer": answer,
                    "passed": passed,
                    "touched": session.touched,
                    "known": results,
                }
            )
    return found


def stream() -> list[dict[str, Any]]:
    """Frames that are pushed, marked and followed."""
    open_view = tiny_view()
    steps: list[dict[str, Any]] = [
        {"push": 0},
        {"push": 1},
        {"thing": 0, "start_from": [0, 1]},
        {"push": 2},
        {"push": 3},
        {"thing": 0, "make": NOT},
        {"push": 4},
        {"thing": 1, "make": BOX},
        {"push": 5},
        {"push": 6},
        {"thing": 1, "move": "clear"},
        {"push": 7},
    ]
    found = []
    with StreamSession(open_view, ColourNetwork(), FollowRule()) as session:
        for step in steps:
            if "push" in step:
                found.append({"step": step, "known": known(session.push(frame(step["push"])))})
            else:
                answer = given(session.thing(step["thing"]), step)
                found.append({"step": step, "answer": answer})
    return found


NAMES = [
    "tracking_manifest",
    "memory_reads",
    "followed",
    "groups",
    "shared",
    "tracked",
    "grouped",
    "passes",
    "video",
    "stream",
]


@pytest.mark.parametrize("name", NAMES)
def test_following_is_what_python_gives(name: str) -> None:
    stored = json.loads((FOLDER / f"{name}.json").read_text())
    assert stored == comparable(globals()[name]())


if __name__ == "__main__":
    for name in NAMES:
        text = json.dumps(globals()[name](), separators=(",", ":"))
        (FOLDER / f"{name}.json").write_text(text + "\n")
