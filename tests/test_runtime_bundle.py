"""A bundle is untrusted: whatever is wrong with it is a BundleError of one sentence."""

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runtime_fixtures import (
    random_photo,
    read_manifest,
    replay_of,
    row_by_the_formula,
    tiny_manifest_and_table,
    write_manifest,
    write_tiny_bundle,
)

from tracenet_runtime.bundle.check import check_manifest
from tracenet_runtime.bundle.checked_json import JsonValue, parse_json
from tracenet_runtime.bundle.files import Bundle
from tracenet_runtime.bundle.parser import parse_manifest
from tracenet_runtime.engines import EngineSettings, load_engine
from tracenet_runtime.errors import BundleError, TraceNetError
from tracenet_runtime.graph.schedule import Choice
from tracenet_runtime.segmenter import TapSegmenter
from tracenet_runtime.strategies.single import Single


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny_bundle(tmp_path / "bundle")


def refused(folder: Path, match: str) -> None:
    with pytest.raises(BundleError, match=match) as caught:
        Bundle.open(folder)
    assert "\n" not in str(caught.value)


def test_opens(folder: Path) -> None:
    bundle = Bundle.open(folder)
    schedules = bundle.manifest.schedules
    assert [(v.name, v.canvas) for v in schedules] == [
        ("all", (64, 96)),
        ("P3", (96, 144)),
        ("warm", (64, 96)),
    ]
    assert {v.key_stride for v in schedules} == {8}
    golden = bundle.golden()
    assert len(golden.schedules) == 3
    assert {tuple(tap.at for tap in taps) for taps in (*golden.schedules, golden.strategy)} == {
        ((60, 45), (2, 88), (119, 0))
    }
    assert bundle.manifest.schedules[1].graph.programs() == {
        "trunk",
        "query_3",
        "features_near",
        "head_near",
    }
    assert bundle.program_files.path("trunk").is_file()


def test_unknown_keys_and_unlisted_files_are_ignored(folder: Path) -> None:
    manifest = read_manifest(folder)
    manifest["comment"] = "hello"
    manifest["answer"]["levels"][0]["comment"] = None
    write_manifest(folder, manifest)
    (folder / ".DS_Store").write_bytes(b"x")
    Bundle.open(folder)


def test_missing_folder_and_manifest(tmp_path: Path) -> None:
    refused(tmp_path / "none", "no bundle folder")
    refused(tmp_path, "not a bundle")
    (tmp_path / "file").touch()
    refused(tmp_path / "file", "no bundle folder")
    (tmp_path / "manifest.json").mkdir()
    refused(tmp_path, "not a bundle")


def test_every_file_is_checked(folder: Path) -> None:
    for name in read_manifest(folder)["files"]:
        path = folder / name
        whole = path.read_bytes()
        flipped = bytearray(whole)
        flipped[len(whole) // 2] ^= 1
        path.write_bytes(flipped)
        refused(folder, "altered")
        path.write_bytes(whole[:-1])
        refused(folder, "bytes instead of")
        path.unlink()
        refused(folder, "lacks its file")
        path.write_bytes(whole)
    Bundle.open(folder)


@pytest.mark.parametrize("version", [0, 1, 4, 5, 6, 8])
def test_other_schema_version(folder: Path, version: int) -> None:
    manifest = read_manifest(folder)
    manifest["schema_version"] = version
    write_manifest(folder, manifest)
    refused(folder, f"schema version {version}")


@pytest.mark.parametrize(
    "path",
    [
        "../secret",
        "a/../../secret",
        "/etc/passwd",
        "C:/x",
        "a\\b",
        "./a",
        "a//b",
        "",
        "a/",
        "..",
        "a\0b",
        "é",
        "\ud800",
        "table.bin\n",
    ],
)
@pytest.mark.parametrize("place", ["files", "table", "golden", "program"])
def test_paths_stay_inside(folder: Path, path: str, place: str) -> None:
    (folder.parent / "secret").write_bytes(b"x")
    manifest = read_manifest(folder)
    record = manifest["files"]["table.bin"]
    if place == "files":
        manifest["files"][path] = record
    elif place == "table":
        manifest["table"]["file"] = path
    elif place == "golden":
        manifest["golden"]["photo"] = path
    else:
        manifest["programs"]["trunk"]["file"] = path
    (folder / "manifest.json").write_text(json.dumps(manifest))
    refused(folder, "relative path|non-empty|printable")


def test_links_that_lead_out_are_refused(folder: Path) -> None:
    outside = folder.parent / "outside.bin"
    shutil.move(folder / "table.bin", outside)
    (folder / "table.bin").symlink_to(outside)
    refused(folder, "outside the bundle")
    (folder / "table.bin").unlink()
    shutil.copy(outside, folder / "table.bin")
    Bundle.open(folder)
    (folder / "programs" / "unlisted").symlink_to(folder.parent)
    refused(folder, "outside the bundle")


def test_links_inside_and_to_the_bundle_are_fine(folder: Path) -> None:
    shutil.move(folder / "table.bin", folder / "real.bin")
    (folder / "table.bin").symlink_to("real.bin")
    (folder.parent / "latest").symlink_to(folder)
    Bundle.open(folder.parent / "latest")
    (folder / "table.bin").unlink()
    (folder / "table.bin").symlink_to("table.bin")
    with pytest.raises(BundleError):
        Bundle.open(folder)


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b"NaN", b'{"schema_version": NaN}', b"[" * 100_000],
)
def test_manifest_that_is_no_json_object(folder: Path, text: bytes) -> None:
    (folder / "manifest.json").write_bytes(text)
    refused(folder, "manifest.json")


def test_numbers_beyond_every_type() -> None:
    for text in (b"1e999", b"-1e999", b"1" + b"0" * 400):
        with pytest.raises(BundleError, match="finite"):
            parse_json(text, "x").number()
    with pytest.raises(BundleError):
        parse_json(b"1" + b"0" * 9000, "x")


def edit(*keys: str | int, to: Any) -> Callable[[dict[str, Any]], None]:
    def apply(manifest: dict[str, Any]) -> None:
        target: Any = manifest
        for key in keys[:-1]:
            target = target[key]
        target[keys[-1]] = to

    return apply


def encode_at_the_tap(manifest: dict[str, Any]) -> None:
    encode, _, near, _ = manifest["schedules"][2]["graph"]["phases"]
    call = copy.deepcopy(near["calls"][0])
    call["outputs"][0]["array"] = "something"
    encode["calls"].append(call)


def pop(manifest: dict[str, Any], *keys: str | int) -> None:
    target: Any = manifest
    for key in keys[:-1]:
        target = target[key]
    target.pop(keys[-1])


ALL = ("schedules", 0)
PHASES = (*ALL, "graph", "phases")
QUERY = (*PHASES, 0, "calls")
NEAR = (*PHASES, 1, "calls")  # features, head, place_mask
LEVELS = ("answer", "levels")
P3 = ("schedules", 1)
WARM = ("schedules", 2)
# A row of x, of y, and the number of a row that is not there.
Y_ROW, X_ROW, NO_ROW = 0, 1, 99


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (edit(*LEVELS, 0, "stride", to=True), "whole number"),
        (edit(*LEVELS, 0, "size_of_interest", to=0), "above zero"),
        (edit(*LEVELS, 1, "name", to="P3"), "same name"),
        (edit(*LEVELS, 1, "stride", to=8), "finest"),
        (edit(*LEVELS, 1, "score", to="nothing"), "of the same levels"),
        (edit(*LEVELS, 1, "score", to="p4_box"), "of the same levels"),
        (edit(*LEVELS, 1, "filter", to="p4_box"), "of the same levels"),
        (edit(*LEVELS, 1, "stride", to=32), "misses the cell"),
        (edit("answer", "feature_stride", to=4), "features of 'near' do not have 4 canvas"),
        (edit("answer", "reach_slack", to=None), "must be a number"),
        (edit("answer", "fullnet_iou", to=[None]), "fullnet_iou"),
        (edit(*ALL, "halo", to=0.5), "fullnet_iou"),
        (edit(*ALL, "halo", to=1.5), "at most 1"),
        (edit("schedules", to=[]), "at least 1"),
        (edit(*ALL, "key_stride", to=16), "not those of its finest level"),
        (edit(*ALL, "key_stride", to=7), "key stride"),
        (edit(*ALL, "graph", "outputs", "score", to=["p3_score"]), "of the same levels"),
        (edit(*ALL, "graph", "outputs", "score", to=["p3_score", "p3_box"]), "two roles"),
        (edit(*ALL, "graph", "outputs", "mask", to=["all/mask", "near/mask"]), "in their order"),
        (edit(*ALL, "graph", "inputs", "image", "kind", to="memory"), "'image' or 'vector'"),
        (edit(*ALL, "graph", "inputs", "image", "kind", to="plane"), "channels"),
        (edit(*ALL, "graph", "inputs", "image", "kind", to="vector"), "channels"),
        (
            edit(*ALL, "graph", "inputs", "other", to={"kind": "image"}),
            "one input that is an image",
        ),
        (edit(*ALL, "graph", "inputs", "offset", "channels", to=3), "vectors of a mask head"),
        (edit(*PHASES, 0, "when", to="photo"), "per photo depends on the tap"),
        (edit(*PHASES, 0, "when", to="window"), "does not place one mask"),
        (edit(*PHASES, 1, "when", to="tap"), "at most one per tap"),
        (edit(*PHASES, 1, "when", to="frame"), "'photo' or 'tap' or 'window'"),
        (edit(*PHASES, 1, "calls", 0, "kind", to="fill"), "'program' or 'place_mask'"),
        (edit(*P3, "graph", "outputs", "score", to=["p3_score", "p4_score"]), "of the same levels"),
        (edit(*ALL, "name", to="warm"), "same canvas"),
        (edit("canvas_multiple", to=8), "divide the canvas multiple"),
        (edit("canvas_multiple", to=48), "multiples of 48"),
        (edit(*ALL, "canvas", "height", to=72), "does not serve the canvas"),
        (edit(*ALL, "canvas", "height", to=80), "does not serve the canvas"),
        (edit(*ALL, "serves", "height", to=[64, 72]), "multiples of 16"),
        (edit(*ALL, "serves", "height", to=[64, 48]), "the smaller one first"),
        (edit(*ALL, "serves", "height", to=[64, 16400]), "16384"),
        (edit(*ALL, "serves", "height", to=[64, 80]), "smaller than its reach"),
        (edit(*P3, "serves", "width", to=[32, 192]), "smallest canvas"),
        (edit(*P3, "canvas", to={"height": 96, "width": 128}), "is not what its rows give"),
        (edit(*P3, "table_offset", to=1), "is not what its rows give"),
        (edit(*P3, "table_offset", to=9999), "is not what its rows give"),
        (edit(*P3, "rows", to=[]), "at least 1"),
        (edit(*P3, "rows", 0, "axis", to="z"), "'y' or 'x'"),
        (edit(*P3, "rows", 0, "axis", to="x"), "is not what its rows give"),
        (edit(*P3, "rows", 0, "unit", to=32), "must divide the canvas multiple, 16"),
        (edit(*P3, "rows", 0, "unit", to=8), "is not what its rows give"),
        (edit(*P3, "rows", 0, "size", to=4), "smallest canvas"),
        (edit(*P3, "rows", 0, "size", to=2), "is not what its rows give"),
        (edit(*P3, "rows", 0, "phases", to=[]), "at least 1"),
        (edit(*P3, "rows", 0, "phases", to=[0] * 4097), "at most 4096"),
        (edit(*P3, "rows", 0, "phases", to=[-1, 2**20 + 1]), "must be from"),
        (edit(*P3, "rows", 0, "phases", to=[-1, 0]), "is not what its rows give"),
        (edit(*P3, "rows", 0, "advance", to=-(2**14) - 1), "must be from"),
        (edit(*P3, "rows", 0, "advance", to=2), "is not what its rows give"),
        (
            edit(*WARM, "graph", "phases", 1, "calls", 0, "inputs", 0, "array", to="image"),
            "which only the photo phase may",
        ),
        (
            edit(*WARM, "graph", "phases", 3, "calls", 0, "program", to="features_all"),
            "its inputs once",
        ),
        (encode_at_the_tap, "depends on the tap"),
        (edit(*WARM, "full_macs", to=-1), "must be from"),
        (edit("preprocessing", "color", to="BGR"), "RGB"),
        (edit("preprocessing", "range", to=[0, 1]), r"\[0, 255\]"),
        (edit("preprocessing", "pad_value", to=[0, 0, 256]), "255"),
        (edit("precision", to="int4"), "fp32"),
        (edit("weights_sha256", to="xyz"), "SHA-256"),
        (edit("files", to={}), "not listed"),
        (edit("table", "count", to=7), "7 numbers"),
        (edit("programs", to={}), "not one of the programs"),
        (edit("programs", "trunk", "inputs", 0, "shape", 0, to=2), "from 1 to 1"),
        (edit("programs", "trunk", "inputs", 0, "shape", 1, to=4), "wrong shape"),
        (edit("programs", "trunk", "outputs", 0, "dtype", to="float16"), "wrong dtype"),
        (edit(*QUERY, 0, "inputs", 0, "step", to=17), "leaves the array"),
        (edit(*QUERY, 0, "inputs", 0, "size", to=[48, 64]), "wrong shape"),
        (edit(*QUERY, 0, "outputs", 1, "array", to="p3"), "made twice"),
        (edit(*QUERY, 0, "outputs", 1, "array", to="image"), "made twice"),
        (edit(*QUERY, 0, "origin", "x", to=NO_ROW), "uses row 99"),
        (edit(*QUERY, 0, "origin", "x", to=Y_ROW), "wrong axis, x"),
        (edit(*QUERY, 0, "origin", "y", to=X_ROW), "wrong axis, y"),
        (edit(*QUERY, 1, "inputs", 0, "array", to="later"), "before it is made"),
        (edit(*QUERY, 1, "inputs", 0, "name", to="other"), "each of its inputs"),
        (edit(*NEAR, 2, "reach", to=7), "even"),
        (edit(*NEAR, 2, "reach", to=16), "smaller than its reach"),
        (edit(*NEAR, 2, "reach", to=None), "smallest reach up"),
        (edit(*NEAR, 2, "input", to="features"), "one channel"),
        (edit(*NEAR, 2, "input", to="later"), "before it is made"),
        (edit(*NEAR, 2, "output", to="p3"), "in their order"),
        (edit(*PHASES, 1, "name", to="all"), "same name"),
        (edit(*NEAR, 1, "program", to="trunk"), "each of its inputs"),
        (edit(*NEAR, 1, "inputs", 0, "name", to="x"), "each of its inputs"),
        (edit(*NEAR, 1, "vectors", "offset", to="later"), "which is no input"),
        (edit(*NEAR, 1, "vectors", "offset", to="filter"), "does not fit 'filter'"),
        (edit(*NEAR, 1, "vectors", to={}), "each of its inputs"),
        (edit(*NEAR, 1, "outputs", 0, "step", to=1), "2 canvas pixels a cell"),
        (lambda m: pop(m, *NEAR, 0), "before it is made"),
        (lambda m: pop(m, *NEAR, 2), "does not place one mask"),
    ],
)
def test_contradictions(folder: Path, change: Callable[[dict[str, Any]], None], match: str) -> None:
    manifest = read_manifest(folder)
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    refused(folder, match)


def test_a_core_ml_program_is_a_folder(folder: Path) -> None:
    manifest = read_manifest(folder)
    package = folder / "programs" / "trunk.mlpackage"
    (package / "Data").mkdir(parents=True)
    (package / "Data" / "weight.bin").write_bytes(b"x")
    manifest["target"] = "coreml"
    manifest["programs"]["trunk"]["file"] = "programs/trunk.mlpackage"
    write_manifest(folder, manifest)
    assert Bundle.open(folder).program_files.path("trunk") == package


def test_nothing_unlisted_lies_in_a_program_that_is_a_folder(folder: Path) -> None:
    package = folder / "programs" / "trunk.mlpackage"
    package.mkdir()
    (package / "model.mlmodel").write_bytes(b"model")
    manifest = read_manifest(folder)
    manifest["programs"]["trunk"]["file"] = "programs/trunk.mlpackage"
    write_manifest(folder, manifest)
    Bundle.open(folder)
    (package / "other.bin").write_bytes(b"weights that the model may name")
    refused(folder, "has programs/trunk.mlpackage/other.bin, which its manifest does not list")


ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 40)
    | st.integers()
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from(["p3", "p4", "image", "trunk", "P4", "features", "../x", "table.bin"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


def mutate(value: Any, data: st.DataObject) -> Any:
    """The value with one random thing in it removed, replaced or copied from elsewhere in it."""
    children: list[Any] = []
    if isinstance(value, dict):
        children = list(value)
    elif isinstance(value, list):
        children = list(range(len(value)))
    if not children or data.draw(st.integers(0, 15)) == 0:
        return data.draw(ANY_JSON)
    place = data.draw(st.sampled_from(children))
    action = data.draw(st.integers(0, 11))
    if action == 0:
        del value[place]
    elif action == 1:
        value[place] = copy.deepcopy(value[data.draw(st.sampled_from(children))])
    else:
        value[place] = mutate(value[place], data)
    return value


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("shared") / "bundle")


def test_mutated_manifests(shared_folder: Path) -> None:
    """Most are refused, with a typed error; each that is not still gives the golden answers."""
    manifest_path = shared_folder / "manifest.json"
    original = manifest_path.read_text()
    refused: list[bool] = []

    @settings(max_examples=400)
    @given(data=st.data())
    def try_one(data: st.DataObject) -> None:
        manifest_path.write_text(json.dumps(mutate(json.loads(original), data)))
        try:
            bundle = Bundle.open(shared_folder)
            engine, _ = load_engine(None, bundle.program_files, EngineSettings(1))
            ways = [Single((v,), v.canvas) for v in bundle.manifest.schedules]
            for way in (*ways, None):
                TapSegmenter(bundle, engine, way).check_golden()
        except TraceNetError:
            refused.append(True)
            return
        refused.append(False)

    try:
        try_one()
    finally:
        manifest_path.write_text(original)
    assert sum(refused) >= 0.6 * len(refused)
    assert not all(refused), "mutations that change nothing that counts are accepted"


def test_one_changed_weight_is_refused(folder: Path) -> None:
    """With the hashes of the manifest made to fit: only the golden taps can tell."""
    path = folder / "programs" / "weights.bin"
    weights = np.fromfile(path, np.float32)
    weights[0] *= -1  # of the score
    weights.tofile(path)
    write_manifest(folder, read_manifest(folder))
    with pytest.raises(BundleError, match="does not reproduce the bundle"):
        TapSegmenter.load(folder, threads=1)


@settings(max_examples=200)
@given(place=st.integers(0, 10**6), value=st.integers(-3, 12) | st.integers(-(2**31), 2**31 - 1))
def test_a_table_that_is_not_the_closed_form_is_refused(place: int, value: int) -> None:
    raw, table = tiny_manifest_and_table()
    manifest = parse_manifest(JsonValue(raw, "manifest.json"))
    check_manifest(manifest, table)
    place %= len(table)
    if table[place] == value:
        return
    table[place] = value
    with pytest.raises(BundleError, match="is not what its rows give"):
        check_manifest(manifest, table)


ROW_CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "unit": st.sampled_from([1, 2, 8, 16]),
        "size": st.integers(1, 13),
        "phases": st.lists(
            st.integers(-4, 8) | st.integers(-(2**20), 2**20), min_size=1, max_size=4
        ),
        "advance": st.integers(-2, 3) | st.integers(-(2**14), 2**14),
    },
)


@settings(max_examples=300)
@given(
    number=st.integers(0, 2),
    row=st.integers(0, 10**6),
    changes=ROW_CHANGES,
    canvas=st.tuples(st.integers(3, 8), st.integers(3, 12)),
)
def test_an_altered_closed_form_is_refused_or_harmless(
    number: int, row: int, changes: dict[str, Any], canvas: tuple[int, int]
) -> None:
    """Even where the table was altered with it, no tap on any canvas reads outside an array."""
    raw, _ = tiny_manifest_and_table()
    rows = raw["schedules"][number]["rows"]
    rows[row % len(rows)].update(changes)
    table: list[int] = []
    for schedule in raw["schedules"]:
        schedule["table_offset"] = len(table)
        for r in schedule["rows"]:
            side = schedule["canvas"]["height" if r["axis"] == "y" else "width"]
            table += row_by_the_formula(r, side)
    raw["table"]["count"] = len(table)
    manifest = parse_manifest(JsonValue(raw, "manifest.json"))
    height, width = (16 * side for side in canvas)
    schedule = manifest.schedules[number]
    if not schedule.serves_canvas(height, width):
        height, width = schedule.canvas
    try:
        check_manifest(manifest, np.array(table, np.int64).astype(np.int32))
        replay = replay_of(manifest, Choice(schedule, height, width))
    except BundleError:
        return
    photo = random_photo(0, height, width)
    encoded, own = replay.encode(photo), replay.encode(photo, one_tap=True)
    for y in range(0, height, 8):
        for x in range(0, width, 8):
            query = replay.answer_query(encoded, (x, y))
            cold = replay.answer_query(own, (x, y))
            assert [v.box for v in query.levels] == [v.box for v in cold.levels]
            for mask_index in range(len(schedule.graph.windows)):
                answer = replay.compute_mask(query, 0, mask_index)
                x0, y0, x1, y1 = answer.window
                assert answer.probability.shape == ((y1 - y0) // 2, (x1 - x0) // 2)


def test_malformed_golden(folder: Path) -> None:
    golden = json.loads((folder / "golden.json").read_text())
    for change in (
        edit("schedules", to=[]),
        edit("schedules", to=golden["schedules"][:2]),
        edit("schedules", 1, to=[]),
        edit("schedules", 0, 0, "at", to=[1]),
        edit("schedules", 0, 0, "at", to=[-1, 0]),
        edit("schedules", 2, 0, "score", to="high"),
        edit("schedules", 2, 0, "mask_rle", to=None),
        edit("strategy", to=[]),
        edit("sessions", to=None),
        edit("sessions", to=[[]]),
        edit("sessions", to=[[{"kind": "wave"}]]),
        edit("sessions", to=[[{"kind": "tap", "at": [1, 1], "positive": 1}]]),
        edit("clips", to=None),
        edit("clips", to=[{"size": [9, 9], "frames": []}]),
    ):
        changed = copy.deepcopy(golden)
        change(changed)
        (folder / "golden.json").write_text(json.dumps(changed))
        write_manifest(folder, read_manifest(folder))
        refused(folder, "golden.json")
