"""A tiny network as a bundle: pooling and 1x1 convolutions, in numpy and as ONNX models.

Its windows are larger than its regions, as real ones are, so that what a replay must give can
be computed on the whole canvas without any windows.

levels P3 (stride 8, key of every schedule) and P4 (stride 16), canvases of multiples of 16

all, canvas 64 x 96
  trunk       image 48 x 48 -> p3 6 x 6, p4 3 x 3
  query_3     p3 2 x 2      -> score, box, filter
  query_4     p4 1 x 1      -> score, box, filter
  mask near   p3 3 x 3 -> features -> head, reaches 8 px
  mask all    image 64 x 96 -> features -> head, the whole canvas
P3, canvas 96 x 144, serves 48 x 48 to 128 x 192
  trunk, query_3 and mask near as above
warm, canvas 64 x 96
  encode      image 64 x 96 -> p3 8 x 12, p4 4 x 6
  query_3, query_4 and mask near as above
  mask all    p3 8 x 12 -> features -> head, the whole canvas
guided, canvas 64 x 96, only where it is asked for
  all of warm
  correction  p3 8 x 12, guide 16 x 24 -> the mask's state 16 x 24
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from tracenet_runtime.answer.check import check_choice
from tracenet_runtime.answer.marks import GUIDE_DESCRIBED
from tracenet_runtime.answer.replay import Replay
from tracenet_runtime.bundle.checked_json import JsonValue
from tracenet_runtime.bundle.files import Bundle
from tracenet_runtime.bundle.parser import parse_manifest
from tracenet_runtime.bundle.records import Manifest
from tracenet_runtime.graph.schedule import Choice, Schedule
from tracenet_runtime.segmenter import TapSegmenter
from tracenet_runtime.strategies.single import Single

HEIGHT, WIDTH = 64, 96
P3_CANVAS = (96, 144)
MACS = 10**9  # of each call, whatever it does
STRIDES = {"p3": 8, "p4": 16}
SIZES_OF_INTEREST = {"p3": 64, "p4": 128}
FEATURES, FILTER = 8, 169
VECTORS = {"filter": FILTER, "offset": 2, "inverse_size": 1}
GUIDED = {
    "kind": "guided",
    "first": 0,
    "tile": 3,
    "extent": 48.0,
    "enlarge": 4.0,
    "gain": 1.05,
    "inside": 0.8,
    "trust": 0.7,
    "passes": 0,
    "settled": 20,
    "near": 32,
    "margin": 4,
    "spill": 0.02,
    "roomy": 0.6,
    "small": 0.4,
}


def _random_weights() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    scales = {"score": (1, 4.0), "box": (4, 6.0), "filter": (FILTER, 6.0), "feature": (8, 4.0)}
    weights = {
        name: (rng.normal(size=(rows, 3)) * scale / 255).astype(np.float32)
        for name, (rows, scale) in scales.items()
    }
    weights["box"] = np.abs(weights["box"])
    weights["filter"][:8] /= 10  # else the coordinates would not matter to the mask
    weights["state"] = (rng.normal(size=(1, 3)) * 6 / 255).astype(np.float32)
    # Leans to the mask so far, and to what gestures say, but not enough to obey them always.
    weights["guide"] = np.array([[2, -2, 1, 3, 1, -1, 1, 0.1, 0.1]], np.float32)
    return weights


WEIGHTS = _random_weights()


def sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def pool(values: np.ndarray, factor: int) -> np.ndarray:
    n, c, h, w = values.shape
    return values.reshape(n, c, h // factor, factor, w // factor, factor).mean(axis=(3, 5))


def mix(name: str, values: np.ndarray) -> np.ndarray:
    return np.einsum("oc,nchw->nohw", WEIGHTS[name].astype(values.dtype), values)


def head(
    features: np.ndarray, controller: np.ndarray, offset: np.ndarray, inverse_size: np.ndarray
) -> np.ndarray:
    h, w = features.shape[2:]
    grid = 8.0 * np.stack(np.meshgrid(np.arange(w), np.arange(h)))[None]
    coordinates = (grid.astype(features.dtype) + offset) * inverse_size
    logit = (features * controller[:, :8]).sum(1, keepdims=True)
    logit = logit + (coordinates * controller[:, 8:10]).sum(1, keepdims=True)
    return sigmoid(logit).repeat(4, axis=2).repeat(4, axis=3)


class NumpyEngine:
    """Runs the tiny bundle's programs in the dtype it is given."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def run(self, program: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.calls.append(program)
        if program in ("trunk", "trunk_whole"):
            return {"p3": pool(inputs["image"], 8), "p4": pool(inputs["image"], 16)}
        if program.startswith("query"):
            cells = inputs["cells"]
            return {
                "score": sigmoid(mix("score", cells)),
                "box": np.maximum(0, mix("box", cells)),
                "filter": mix("filter", cells),
            }
        if program in ("features_near", "features_whole"):
            return {"features": mix("feature", inputs["cells"])}
        if program == "features_all":
            return {"features": mix("feature", pool(inputs["image"], 8))}
        if program == "correction":
            cells = inputs["cells"]
            moved = mix("state", cells).repeat(2, axis=2).repeat(2, axis=3)
            planes = inputs["guide"]
            seen = np.einsum("oc,nchw->nohw", WEIGHTS["guide"].astype(planes.dtype), planes)
            return {"mask_state": sigmoid(moved + seen)}
        return {
            "mask": head(
                inputs["features"], inputs["filter"], inputs["offset"], inputs["inverse_size"]
            )
        }


def _spec(name: str, *shape: int) -> dict[str, Any]:
    return {"name": name, "shape": [1, *shape], "dtype": "float32"}


def _programs(guided: bool = False) -> dict[str, dict[str, list[dict[str, Any]]]]:
    def query(h: int, w: int) -> dict[str, list[dict[str, Any]]]:
        return {
            "inputs": [_spec("cells", 3, h, w)],
            "outputs": [
                _spec("score", 1, h, w),
                _spec("box", 4, h, w),
                _spec("filter", FILTER, h, w),
            ],
        }

    def mask_head(h: int, w: int) -> dict[str, list[dict[str, Any]]]:
        return {
            "inputs": [
                _spec("features", FEATURES, h, w),
                _spec("filter", FILTER, 1, 1),
                _spec("offset", 2, 1, 1),
                _spec("inverse_size", 1, 1, 1),
            ],
            "outputs": [_spec("mask", 1, 4 * h, 4 * w)],
        }

    correction = {
        "inputs": [_spec("cells", 3, 8, 12), _spec("guide", 9, 16, 24)],
        "outputs": [_spec("mask_state", 1, 16, 24)],
    }
    return {
        **({"correction": correction} if guided else {}),
        "trunk": {
            "inputs": [_spec("image", 3, 48, 48)],
            "outputs": [_spec("p3", 3, 6, 6), _spec("p4", 3, 3, 3)],
        },
        "trunk_whole": {
            "inputs": [_spec("image", 3, HEIGHT, WIDTH)],
            "outputs": [_spec("p3", 3, 8, 12), _spec("p4", 3, 4, 6)],
        },
        "query_3": query(2, 2),
        "query_4": query(1, 1),
        "features_near": {
            "inputs": [_spec("cells", 3, 3, 3)],
            "outputs": [_spec("features", FEATURES, 3, 3)],
        },
        "features_all": {
            "inputs": [_spec("image", 3, HEIGHT, WIDTH)],
            "outputs": [_spec("features", FEATURES, 8, 12)],
        },
        "features_whole": {
            "inputs": [_spec("cells", 3, 8, 12)],
            "outputs": [_spec("features", FEATURES, 8, 12)],
        },
        "head_near": mask_head(3, 3),
        "head_all": mask_head(8, 12),
    }


def _window(name: str, array: str, step: int, h: int, w: int) -> dict[str, Any]:
    return {"name": name, "array": array, "step": step, "size": [h, w]}


class _Rows:
    """The rows of one schedule, each once."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def origin(
        self, unit: int, height: int, width: int, phases: list[int], advance: int
    ) -> dict[str, int]:
        return {
            axis: self._index(
                {"axis": axis, "unit": unit, "size": size, "phases": phases, "advance": advance}
            )
            for axis, size in (("y", height), ("x", width))
        }

    def _index(self, row: dict[str, Any]) -> int:
        if row not in self.rows:
            self.rows.append(row)
        return self.rows.index(row)


def _trunk(rows: _Rows) -> dict[str, Any]:
    return {
        "kind": "program",
        "program": "trunk",
        "origin": rows.origin(16, 3, 3, [-1, -1], 1),
        "inputs": [_window("image", "image", 16, 48, 48)],
        "vectors": {},
        "outputs": [_window("p3", "p3", 2, 6, 6), _window("p4", "p4", 1, 3, 3)],
    }


def _trunk_whole(rows: _Rows) -> dict[str, Any]:
    return {
        "kind": "program",
        "program": "trunk_whole",
        "origin": rows.origin(16, 4, 6, [0], 0),
        "inputs": [_window("image", "image", 16, HEIGHT, WIDTH)],
        "vectors": {},
        "outputs": [_window("p3", "p3", 2, 8, 12), _window("p4", "p4", 1, 4, 6)],
    }


def _query(level: str, rows: _Rows) -> dict[str, Any]:
    size = {"p3": 2, "p4": 1}[level]
    origin = {"p3": (8, 2, 2, [-1], 1), "p4": (16, 1, 1, [0, 0], 1)}[level]
    return {
        "kind": "program",
        "program": f"query_{level[1]}",
        "origin": rows.origin(*origin),
        "inputs": [_window("cells", level, 1, size, size)],
        "vectors": {},
        "outputs": [
            _window(kind, f"{level}_{kind}", 1, size, size) for kind in ("score", "box", "filter")
        ],
    }


def _mask(name: str, reach: int | None, source: dict[str, Any], rows: _Rows) -> dict[str, Any]:
    near = name == "near"
    h, w = (3, 3) if near else (8, 12)
    origin = rows.origin(8, h, w, [-1], 1) if near else rows.origin(8, h, w, [0], 0)
    program = {"near": "near", "all": "all" if source["array"] == "image" else "whole"}[name]
    return _phase(
        name,
        "window",
        [
            {
                "kind": "program",
                "program": f"features_{program}",
                "origin": origin,
                "inputs": [source],
                "vectors": {},
                "outputs": [_window("features", "features", 1, h, w)],
            },
            {
                "kind": "program",
                "program": f"head_{name}",
                "origin": origin,
                "inputs": [_window("features", "features", 1, h, w)],
                "vectors": {name: name for name in VECTORS},
                "outputs": [_window("mask", "probability", 4, 4 * h, 4 * w)],
            },
            {
                "kind": "place_mask",
                "input": "probability",
                "output": f"{name}/mask",
                "reach": reach,
            },
        ],
    )


def _correction(rows: _Rows) -> dict[str, Any]:
    call = {
        "kind": "program",
        "program": "correction",
        "origin": rows.origin(16, 4, 6, [0], 0),
        "inputs": [_window("cells", "p3", 2, 8, 12), _window("guide", "guide", 4, 16, 24)],
        "vectors": {},
        "outputs": [_window("mask_state", "mask_state", 4, 16, 24)],
    }
    return _phase("correction", "correction", [call])


def _phase(name: str, when: str, calls: list[dict[str, Any]]) -> dict[str, Any]:
    return {"name": name, "when": when, "calls": calls}


def _schedules(guided: bool = False) -> list[dict[str, Any]]:
    """``table_offset`` is still to be filled in."""
    cells, whole_p3 = _window("cells", "p3", 1, 3, 3), _window("cells", "p3", 1, 8, 12)
    whole_image = _window("image", "image", 8, HEIGHT, WIDTH)
    only = {"height": [HEIGHT, HEIGHT], "width": [WIDTH, WIDTH]}

    def schedule(
        name: str,
        canvas: tuple[int, int],
        serves: dict[str, Any],
        rows: _Rows,
        *phases: dict[str, Any],
    ) -> dict[str, Any]:
        levels = ["p3"] if name == "P3" else ["p3", "p4"]
        windows = [phase["name"] for phase in phases if phase["when"] == "window"]
        return {
            "name": name,
            "canvas": {"height": canvas[0], "width": canvas[1]},
            "serves": serves,
            "halo": 1,
            "key_stride": STRIDES["p3"],
            "rows": rows.rows,
            "graph": {
                "inputs": {
                    "image": {"kind": "image"},
                    **{n: {"kind": "vector", "channels": c} for n, c in VECTORS.items()},
                },
                "phases": list(phases),
                "outputs": {
                    **{k: [f"{v}_{k}" for v in levels] for k in ("score", "box", "filter")},
                    "mask": [f"{window}/mask" for window in windows],
                },
            },
            "full_macs": 10 * MACS,
        }

    rows, p3_rows, warm_rows, guided_rows = _Rows(), _Rows(), _Rows(), _Rows()
    correcting = schedule(
        "guided",
        (HEIGHT, WIDTH),
        only,
        guided_rows,
        _phase("encode", "photo", [_trunk_whole(guided_rows)]),
        _phase("query", "tap", [_query("p3", guided_rows), _query("p4", guided_rows)]),
        _mask("all", None, whole_p3, guided_rows),
        _correction(guided_rows),
    )
    correcting["graph"]["inputs"]["guide"] = {"kind": "plane", "channels": 9, "stride": 4}
    correcting["graph"]["outputs"]["mask_state"] = ["mask_state"]
    return [
        schedule(
            "all",
            (HEIGHT, WIDTH),
            only,
            rows,
            _phase("query", "tap", [_trunk(rows), _query("p3", rows), _query("p4", rows)]),
            _mask("near", 8, cells, rows),
            _mask("all", None, whole_image, rows),
        ),
        schedule(
            "P3",
            P3_CANVAS,
            {"height": [48, 128], "width": [48, 192]},
            p3_rows,
            _phase("query", "tap", [_trunk(p3_rows), _query("p3", p3_rows)]),
            _mask("near", 8, cells, p3_rows),
        ),
        schedule(
            "warm",
            (HEIGHT, WIDTH),
            only,
            warm_rows,
            _phase("encode", "photo", [_trunk_whole(warm_rows)]),
            _phase("query", "tap", [_query("p3", warm_rows), _query("p4", warm_rows)]),
            _mask("near", 8, cells, warm_rows),
            _mask("all", None, whole_p3, warm_rows),
        ),
        *([correcting] if guided else []),
    ]


def tiny_manifest_and_table(guided: bool = False) -> tuple[dict[str, Any], np.ndarray]:
    """The manifest as a dict, its ``files`` still empty, and the table."""
    table: list[int] = []
    schedules = _schedules(guided)
    for schedule in schedules:
        schedule["table_offset"] = len(table)
        for row in schedule["rows"]:
            side = schedule["canvas"]["height" if row["axis"] == "y" else "width"]
            table += row_by_the_formula(row, side)
    manifest = {
        "schema_version": 7,
        "identity": "0" * 64,
        "checked_by": "numpy",
        "name": "tiny",
        "licence": "Apache-2.0",
        "target": "onnx",
        "precision": "fp32",
        "producer": {"onnx": onnx.__version__},
        "network": {"backbone": "none"},
        "weights_sha256": "0" * 64,
        "preprocessing": {
            "text": "fit, pad",
            "color": "RGB",
            "dtype": "float32",
            "range": [0, 255],
            "layout": "NCHW",
            "resize": "thinned-pillow-bilinear",
            "pad_value": [124, 116, 104],
        },
        "canvas_multiple": 16,
        "programs": {
            name: {
                "file": f"programs/{name}.onnx",
                "signature": None,
                "layout": "NCHW",
                "macs": MACS,
                **tensors,
            }
            for name, tensors in _programs(guided).items()
        },
        "schedules": schedules,
        "answer": {
            "levels": [
                {
                    "name": name.upper(),
                    "stride": stride,
                    "size_of_interest": SIZES_OF_INTEREST[name],
                    "score": f"{name}_score",
                    "box": f"{name}_box",
                    "filter": f"{name}_filter",
                }
                for name, stride in STRIDES.items()
            ],
            "feature_stride": 8,
            "reach_slack": 1.0,
            "guide": dict(GUIDE_DESCRIBED) if guided else None,
            "fullnet_iou": [None for _ in schedules],
        },
        "strategy": GUIDED
        if guided
        else {"kind": "single", "schedules": list(range(len(schedules)))},
        "tracking": None,
        "table": {"file": "table.bin", "count": len(table)},
        "golden": {"file": "golden.json", "photo": "golden.png"},
        "parity": "parity.json",
        "files": {},
    }
    return manifest, np.array(table, np.int32)


def row_by_the_formula(row: dict[str, Any], side: int) -> list[int]:
    """docs/bundle.md, entry by entry; the key level's stride is 8."""
    phases, advance, last = row["phases"], row["advance"], side // row["unit"] - row["size"]
    n = len(phases)
    return [min(max(phases[k % n] + advance * (k // n), 0), last) for k in range(side // 8)]


def parsed_tiny() -> tuple[Manifest, np.ndarray]:
    manifest, table = tiny_manifest_and_table()
    return parse_manifest(JsonValue(manifest, "manifest.json")), table


def tiny_schedule(name: str) -> Schedule:
    return next(v for v in parsed_tiny()[0].schedules if v.name == name)


def folded(manifest: Manifest) -> Schedule:
    """``warm`` without a photo phase: its trunk is a call per tap, the same for every tap."""
    (warm,) = (v for v in manifest.schedules if v.name == "warm")
    encode, query, *windows = warm.graph.phases
    tap = replace(query, calls=(*encode.calls, *query.calls))
    return replace(warm, name="folded", graph=replace(warm.graph, phases=(tap, *windows)))


def tiny_replay(name: str, canvas: tuple[int, int] | None = None, engine: Any = None) -> Replay:
    """The schedule of this name, or ``folded``, on its own canvas or another that it serves."""
    manifest, _ = parsed_tiny()
    schedule = folded(manifest) if name == "folded" else tiny_schedule(name)
    return replay_of(manifest, Choice(schedule, *(canvas or schedule.canvas)), engine)


def replay_of(manifest: Manifest, choice: Choice, engine: Any = None) -> Replay:
    """A schedule on a canvas, once it is checked."""
    check_choice(manifest.programs, manifest.meaning, choice)
    return Replay(manifest.programs, manifest.meaning, choice, engine or NumpyEngine())


def random_photo(seed: int, height: int, width: int) -> np.ndarray:
    """Smooth colours, so that the tiny network's masks are regions and not noise."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8))
    return np.array(small.resize((width, height), Image.Resampling.BICUBIC))


def write_tiny_bundle(
    folder: Path, strategy: dict[str, Any] | None = None, guided: bool = False
) -> Path:
    manifest, table = tiny_manifest_and_table(guided)
    manifest["strategy"] = strategy or manifest["strategy"]
    (folder / "programs").mkdir(parents=True)
    for name, model in _onnx_models(guided).items():
        path = folder / "programs" / f"{name}.onnx"
        if name == "query_3":
            onnx.save_model(
                model, path, save_as_external_data=True, location="weights.bin", size_threshold=0
            )
        else:
            onnx.save_model(model, path)
    table.astype("<i4").tofile(folder / "table.bin")
    (folder / "parity.json").write_text("{}")
    photo = random_photo(3, 90, 120)
    Image.fromarray(photo).save(folder / "golden.png")

    bundle = Bundle(folder, parse_manifest(JsonValue(manifest, "manifest.json")))
    golden = {
        "schedules": [
            golden_taps(segmenter_of(bundle, [schedule], schedule.canvas), photo)
            for schedule in bundle.manifest.schedules
        ],
        "strategy": golden_taps(TapSegmenter(bundle, NumpyEngine()), photo),
        "sessions": [golden_session(bundle, photo)] if guided else [],
        "clips": [],
    }
    (folder / "golden.json").write_text(json.dumps(golden))
    write_manifest(folder, manifest)
    return folder


def segmenter_of(
    bundle: Bundle,
    schedules: Sequence[Schedule],
    canvas: tuple[int, int] | None = None,
    engine: Any = None,
) -> TapSegmenter:
    """One that answers with these schedules only."""
    return TapSegmenter(bundle, engine or NumpyEngine(), Single(tuple(schedules), canvas))


def golden_taps(segmenter: TapSegmenter, photo: np.ndarray) -> list[dict[str, Any]]:
    taps = []
    for at in ((60, 45), (2, 88), (119, 0)):
        result = segmenter.tap(photo, at)
        taps.append(
            {
                "at": at,
                "level": result.level,
                "score": result.score,
                "box": result.box,
                "mask_rle": result.rle(),
            }
        )
    return taps


def golden_session(bundle: Bundle, photo: np.ndarray) -> list[dict[str, Any]]:
    gestures: list[dict[str, Any]] = [
        {"kind": "tap", "at": [60, 45], "positive": True},
        {"kind": "tap", "at": [70, 45], "positive": False},
        {"kind": "box", "box": [20, 20, 80, 70]},
        {"kind": "scribble", "points": [[30, 30], [50, 40.5]], "width": 6, "positive": True},
    ]
    with TapSegmenter(bundle, NumpyEngine()).open(photo) as session:
        made = (
            session.tap((60, 45)),
            session.tap((70, 45), positive=False),
            session.box((20, 20, 80, 70)),
            session.scribble([(30, 30), (50, 40.5)], 6),
        )
        return [
            {**gesture, "mask_rle": result.rle()}
            for gesture, result in zip(gestures, made, strict=True)
        ]


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """The manifest with the sizes and hashes of the files that are there now."""
    manifest["files"] = {
        path.relative_to(folder).as_posix(): {
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "bytes": path.stat().st_size,
        }
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "manifest.json"
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))


def read_manifest(folder: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return manifest


def make_model(
    name: str,
    tensors: dict[str, list[dict[str, Any]]],
    nodes: list[Any],
    initializers: list[Any],
) -> onnx.ModelProto:
    def values(specs: list[dict[str, Any]]) -> list[Any]:
        return [
            helper.make_tensor_value_info(v["name"], TensorProto.FLOAT, v["shape"]) for v in specs
        ]

    graph = helper.make_graph(
        nodes, name, values(tensors["inputs"]), values(tensors["outputs"]), initializers
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def _onnx_models(guided: bool) -> dict[str, onnx.ModelProto]:
    def average(source: str, target: str, factor: int) -> Any:
        return helper.make_node(
            "AveragePool",
            [source],
            [target],
            kernel_shape=[factor, factor],
            strides=[factor, factor],
        )

    def weights(name: str) -> Any:
        return numpy_helper.from_array(WEIGHTS[name][:, :, None, None], name + "_w")

    def conv(source: str, name: str, target: str) -> Any:
        return helper.make_node("Conv", [source, name + "_w"], [target])

    query_nodes = [
        conv("cells", "score", "s"),
        helper.make_node("Sigmoid", ["s"], ["score"]),
        conv("cells", "box", "b"),
        helper.make_node("Relu", ["b"], ["box"]),
        conv("cells", "filter", "filter"),
    ]
    query_weights = [weights(name) for name in ("score", "box", "filter")]
    bodies: dict[str, tuple[list[Any], list[Any]]] = {
        "trunk": ([average("image", "p3", 8), average("image", "p4", 16)], []),
        "trunk_whole": ([average("image", "p3", 8), average("image", "p4", 16)], []),
        "query_3": (query_nodes, query_weights),
        "query_4": (query_nodes, query_weights),
        "features_near": ([conv("cells", "feature", "features")], [weights("feature")]),
        "features_whole": ([conv("cells", "feature", "features")], [weights("feature")]),
        "features_all": (
            [average("image", "cells", 8), conv("cells", "feature", "features")],
            [weights("feature")],
        ),
        "head_near": _head_body(3, 3),
        "head_all": _head_body(8, 12),
    }
    bodies["correction"] = (
        [
            conv("cells", "state", "m"),
            helper.make_node(
                "Resize",
                ["m", "", "scales"],
                ["moved"],
                mode="nearest",
                coordinate_transformation_mode="asymmetric",
                nearest_mode="floor",
            ),
            conv("guide", "guide", "seen"),
            helper.make_node("Add", ["moved", "seen"], ["logit"]),
            helper.make_node("Sigmoid", ["logit"], ["mask_state"]),
        ],
        [
            weights("state"),
            weights("guide"),
            numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales"),
        ],
    )
    return {
        name: make_model(name, tensors, *bodies[name])
        for name, tensors in _programs(guided).items()
    }


def _head_body(h: int, w: int) -> tuple[list[Any], list[Any]]:
    grid = 8.0 * np.stack(np.meshgrid(np.arange(w), np.arange(h)))[None]
    constants = {
        "grid": grid.astype(np.float32),
        "split": np.array([8, 2, FILTER - 10], np.int64),
        "channels": np.array([1], np.int64),
        "scales": np.array([1, 1, 4, 4], np.float32),
    }
    node = helper.make_node
    nodes = [
        node("Split", ["filter", "split"], ["f", "g", "rest"], axis=1),
        node("Mul", ["features", "f"], ["ff"]),
        node("ReduceSum", ["ff", "channels"], ["a"]),
        node("Add", ["grid", "offset"], ["c"]),
        node("Mul", ["c", "inverse_size"], ["ci"]),
        node("Mul", ["ci", "g"], ["cg"]),
        node("ReduceSum", ["cg", "channels"], ["b"]),
        node("Add", ["a", "b"], ["logit"]),
        node("Sigmoid", ["logit"], ["p"]),
        node(
            "Resize",
            ["p", "", "scales"],
            ["mask"],
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        ),
    ]
    return nodes, [numpy_helper.from_array(v, name) for name, v in constants.items()]
