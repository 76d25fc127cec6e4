"""The wheel carries the page and its bundle, and serves them without Node or a clone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from demo_fixtures import write_page
from runtime_fixtures import write_tiny_bundle

ROOT = Path(__file__).parent.parent
PACKAGES = ("tracenet", "export", "runtime", "benchmarks")
FILES = ("pyproject.toml", "README.md", "LICENSE", ".gitignore", "constraints.txt")


@pytest.fixture(autouse=True, scope="module")
def _registry(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Builds and fresh environments take packages from where pip takes them."""
    folder = str(tmp_path_factory.mktemp("downloaded"))
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", folder]
    reached = subprocess.run([*command, "hatchling>=1.27"], capture_output=True, check=False)
    if reached.returncode and os.environ.get("CI") != "true":
        pytest.skip("pip reaches no registry to take hatchling from")


def clone(folder: Path) -> Path:
    """The project's sources without anything that was built, and its demo's package folder."""
    for name in PACKAGES:
        ignored = shutil.ignore_patterns("node_modules", "__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in FILES:
        shutil.copy(ROOT / name, folder)
    demo = folder / "runtime" / "tracenet_demo"
    for built in ("page", "bundle"):
        shutil.rmtree(demo / built, ignore_errors=True)
    return demo


def build(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", str(folder)]
    subprocess.run([*command, "--wheel-dir", str(folder / "dist")], check=True)
    (wheel,) = (folder / "dist").glob("*.whl")
    return wheel


def install(wheel: Path, folder: Path) -> Path:
    """A fresh environment with the runtime and an engine; its folder of commands."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    commands = folder / ("Scripts" if os.name == "nt" else "bin")
    constraints = str(ROOT / "constraints.txt")
    subprocess.run(
        [str(commands / "python"), "-m", "pip", "install", "--quiet", "--constraint", constraints,
         f"{wheel}[onnxruntime]"],
        check=True,
    )  # fmt: skip
    return commands


def test_a_wheel_serves_its_page(tmp_path: Path) -> None:
    demo = clone(tmp_path / "clone")
    write_page(demo / "page")
    write_tiny_bundle(demo / "bundle")
    wheel = build(tmp_path / "clone")
    inside = set(zipfile.ZipFile(wheel).namelist())
    for folder in (demo / "page", demo / "bundle"):
        for path in folder.rglob("*"):
            name = path.relative_to(demo.parent).as_posix()
            assert path.is_dir() or name in inside
    assert not [name for name in inside if "node_modules" in name or name.startswith("runtime/")]

    commands = install(wheel, tmp_path / "venv")
    away = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(commands / "tracenet-demo"), "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=away
    ) as process:
        assert process.stdout is not None
        try:
            address = urlsplit(process.stdout.readline().strip())
            assert address.port is not None
            for path, file in (
                ("/", "page/index.html"),
                ("/assets/ort-12345678.wasm", "page/assets/ort-12345678.wasm"),
                ("/bundle/manifest.json", "bundle/manifest.json"),
            ):
                connection = HTTPConnection("127.0.0.1", address.port, timeout=30)
                connection.request("GET", path)
                assert connection.getresponse().read() == (demo / file).read_bytes()
                connection.close()
        finally:
            process.terminate()
    listed = [str(commands / "python"), "-m", "pip", "list", "--format", "freeze"]
    assert "torch" not in subprocess.run(listed, capture_output=True, text=True, check=True).stdout


def test_without_a_page_the_runtime_installs_all_the_same(tmp_path: Path) -> None:
    clone(tmp_path / "clone")
    wheel = build(tmp_path / "clone")
    inside = zipfile.ZipFile(wheel).namelist()
    assert "tracenet_runtime/segmenter.py" in inside
    assert "tracenet_demo/cli.py" in inside
    # Who the shipped weights come from, beside them.
    assert {"tracenet/weights/NOTICE", "tracenet/weights/README.md"} <= set(inside)
    for licence in ("LICENSE", "tracenet/weights/NOTICE"):
        assert any(name.endswith(f"licenses/{licence}") for name in inside)
    assert not [name for name in inside if name.startswith(("tracenet_demo/page/", "web/"))]
