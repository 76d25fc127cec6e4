"""What goes wrong is said in the page, which goes on working."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from browser_fixtures import browser as browser
from demo_fixtures import serving_assets
from page_fixtures import Open, Opened
from page_fixtures import built_assets as built_assets
from page_fixtures import built_page as built_page
from page_fixtures import open_page as open_page
from page_fixtures import photos as photos
from page_fixtures import tiny_assets as tiny_assets
from PIL import Image

from tracenet_demo.assets import Asset
from tracenet_demo.server import DemoServer
from tracenet_runtime.bundle.records import MANIFEST_NAME

MANIFEST = f"bundle/{MANIFEST_NAME}"
TABLE = "bundle/table.bin"
WEIGHTS = "bundle/programs/weights.bin"


@pytest.fixture
def server(tiny_assets: dict[str, Asset]) -> Iterator[DemoServer]:
    """One for each test, which may change what it serves."""
    with serving_assets(dict(tiny_assets)) as running:
        yield running


def works(phone: Opened, photos: dict[str, Path]) -> None:
    phone.open_photo(photos["astronaut"])
    phone.tap(phone.point_at((512, 512), (225, 110)))
    assert phone.mask().any()
    assert phone.elsewhere == []


@contextlib.contextmanager
def serving_instead(server: DemoServer, name: str, content: bytes) -> Iterator[None]:
    """Another content of one file, behind the back of the server's checks."""
    assert isinstance(server.assets, dict)
    right = server.assets[name]
    server.assets[name] = Asset(content, name)
    yield
    server.assets[name] = right


def of_another_schema(content: bytes) -> bytes:
    return json.dumps({**json.loads(content), "schema_version": 99}).encode()


def without_its_weights(content: bytes) -> bytes:
    manifest = json.loads(content)
    del manifest["files"]["programs/weights.bin"]
    return json.dumps(manifest).encode()


def with_a_byte_flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    ("name", "damage", "said"),
    [
        pytest.param(WEIGHTS, with_a_byte_flipped, "weights.bin", id="flipped"),
        pytest.param(MANIFEST, of_another_schema, "99", id="schema"),
        pytest.param(MANIFEST, without_its_weights, "does not accept the program", id="unlisted"),
        pytest.param(
            WEIGHTS, lambda content: content[:-100], "weights.bin", id="cut", marks=pytest.mark.slow
        ),
        pytest.param(TABLE, with_a_byte_flipped, "table.bin", id="table", marks=pytest.mark.slow),
        pytest.param(
            MANIFEST,
            lambda content: content[:1000],
            MANIFEST_NAME,
            id="cut_manifest",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            MANIFEST,
            lambda content: b"<!doctype html>",
            MANIFEST_NAME,
            id="no_manifest",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_broken_bundle(
    open_page: Open,
    photos: dict[str, Path],
    server: DemoServer,
    name: str,
    damage: Callable[[bytes], bytes],
    said: str,
) -> None:
    phone = open_page()
    with serving_instead(server, name, damage(server.assets[name].content)):
        phone.page.goto(phone.address)
        phone.wait_for("error", said)
    phone.shown("error").get_by_role("button", name="Retry").tap()
    phone.wait_until_ready()
    works(phone, photos)
    phone.assert_sound()


def test_a_file_of_the_bundle_is_missing(
    open_page: Open, photos: dict[str, Path], server: DemoServer
) -> None:
    assert isinstance(server.assets, dict)
    weights = server.assets.pop(WEIGHTS)
    phone = open_page()
    phone.page.goto(phone.address)
    phone.wait_for("error", "weights.bin")
    server.assets[WEIGHTS] = weights
    phone.shown("error").get_by_role("button", name="Retry").tap()
    phone.wait_until_ready()
    works(phone, photos)


def test_a_network_that_is_not_loaded_can_be_retried_after_other_errors(
    open_page: Open, photos: dict[str, Path], server: DemoServer, tmp_path: Path
) -> None:
    (tmp_path / "notes.png").write_bytes(b"not a picture at all")
    phone = open_page()
    broken = with_a_byte_flipped(server.assets[WEIGHTS].content)
    with serving_instead(server, WEIGHTS, broken):
        phone.page.goto(phone.address)
        phone.wait_for("error", "weights.bin")
    error = phone.shown("error")
    phone.shown("file-input").set_input_files(photos["astronaut"])
    phone.wait_for("status", "The network is not loaded.")
    phone.wait_for("error", "weights.bin")
    phone.shown("file-input").set_input_files(tmp_path / "notes.png")
    phone.wait_for("error", "notes.png is not a picture")
    assert error.get_by_role("alert").get_by_role("button").count() == 0
    error.get_by_role("button", name="Dismiss").press("Enter")
    phone.wait_for("error", "weights.bin")
    assert phone.page.evaluate("document.activeElement.textContent") == "Retry"
    phone.page.keyboard.press("Enter")
    assert phone.page.evaluate("document.activeElement.id") == "viewer"
    phone.wait_until_ready()
    works(phone, photos)
    assert error.inner_text() == ""


def test_a_runtime_that_died_is_loaded_again(open_page: Open, photos: dict[str, Path]) -> None:
    phone = open_page()
    phone.context.add_init_script(
        "window.workers = []; window.Worker = class extends Worker {"
        " constructor(...values) { super(...values); window.workers.push(this); } };"
    )
    phone.load()
    works(phone, photos)
    before = phone.mask()
    # As when memory is refused where nothing can catch it.
    phone.page.evaluate(
        "() => window.workers.at(-1).dispatchEvent(new ErrorEvent('error', { cancelable: true }))"
    )
    phone.page.touchscreen.tap(*phone.point_at((512, 512), (250, 400)).screen)
    phone.shown("error").get_by_role("button", name="Load again").tap()
    phone.wait_until_ready()
    assert np.array_equal(phone.mask(), before)
    phone.tap(phone.point_at((512, 512), (250, 400)))
    assert not np.array_equal(phone.mask(), before)
    assert phone.shown("error").inner_text() == ""
    phone.assert_sound()


def test_files_that_are_no_photos(open_page: Open, photos: dict[str, Path], tmp_path: Path) -> None:
    files = {
        "notes.png": b"not a picture at all",
        "empty.jpg": b"",
        "cut.png": photos["coffee"].read_bytes()[:300],
    }
    phone = open_page()
    phone.load()
    works(phone, photos)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        phone.shown("file-input").set_input_files(tmp_path / name)
        phone.wait_for("error", f"{name} is not a picture that this browser can open")
        # The photo before is still there.
        phone.tap(phone.point_at((512, 512), (250, 400)))
        assert phone.mask().any()
        assert phone.shown("error").inner_text() == ""
    works(phone, photos)
    phone.assert_sound()


@pytest.mark.parametrize(
    "script",
    [
        "delete window.WebAssembly",
        # A browser from before SIMD: its instructions have the prefix 0xfd.
        "const validate = WebAssembly.validate; WebAssembly.validate = bytes =>"
        " !new Uint8Array(bytes.buffer ?? bytes).includes(0xfd) && validate(bytes)",
    ],
    ids=["no_webassembly", "no_simd"],
)
def test_a_browser_that_is_too_old(open_page: Open, photos: dict[str, Path], script: str) -> None:
    phone = open_page()
    phone.context.add_init_script(script)
    phone.page.goto(phone.address)
    phone.wait_for("error", "WebAssembly SIMD")
    phone.shown("file-input").set_input_files(photos["astronaut"])
    phone.wait_for("status", "The network is not loaded.")
    phone.wait_for("error", "WebAssembly SIMD")
    phone.assert_sound()


# Before anything else in the page, and before each of its workers.
REFUSING_MEMORY = """
for (const name of ["ArrayBuffer", "Uint8Array", "Uint8ClampedArray", "Float32Array"]) {
  const limit = LIMIT / (globalThis[name].BYTES_PER_ELEMENT ?? 1);
  globalThis[name] = new Proxy(globalThis[name], {
    construct(target, values, made) {
      if (typeof values[0] === "number" && values[0] > limit)
        throw new RangeError("Array buffer allocation failed");
      return Reflect.construct(target, values, made === globalThis[name] ? target : made);
    },
  });
}
for (const type of [globalThis.CanvasRenderingContext2D, OffscreenCanvasRenderingContext2D]) {
  if (type === undefined) continue;
  const { getImageData } = type.prototype;
  type.prototype.getImageData = function (x, y, width, height, ...settings) {
    if (4 * width * height > LIMIT) throw new RangeError("Out of memory at ImageData creation");
    return getImageData.call(this, x, y, width, height, ...settings);
  };
}
"""


def refuse_memory(phone: Opened, server: DemoServer, script: str) -> None:
    """Run a script first in the page and in each of its workers."""
    phone.context.add_init_script(script)
    assert isinstance(server.assets, dict)
    workers = [
        name
        for name in server.assets
        if name.startswith("assets/") and "orker" in name and name.endswith((".js", ".mjs"))
    ]
    assert workers
    for name in workers:
        content = script.encode() + server.assets[name].content
        server.assets[name] = Asset(content, name)


def test_memory_for_a_photo_is_refused(
    open_page: Open, photos: dict[str, Path], server: DemoServer, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    Image.fromarray(noise).resize((2400, 1800)).save(tmp_path / "large.png")
    phone = open_page()
    refuse_memory(phone, server, REFUSING_MEMORY.replace("LIMIT", str(12_000_000)))
    phone.load()
    phone.shown("file-input").set_input_files(tmp_path / "large.png")
    phone.wait_for("error", "memory")
    works(phone, photos)
    phone.assert_sound()


def test_memory_for_the_network_is_refused(
    open_page: Open, photos: dict[str, Path], server: DemoServer
) -> None:
    phone = open_page()
    before = dict(server.assets)
    refuse_memory(
        phone,
        server,
        "WebAssembly.Memory = class { constructor() {"
        " throw new RangeError('WebAssembly.Memory(): could not allocate memory'); } };",
    )
    phone.page.goto(phone.address)
    phone.wait_for("error", "memory")
    assert isinstance(server.assets, dict)
    server.assets.update(before)
    phone.shown("error").get_by_role("button", name="Retry").wait_for()
