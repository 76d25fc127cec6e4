"""The project's own rules: what installs what, who imports whom, how the tools speak."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
FOLDERS = {
    "tracenet": ROOT / "tracenet",
    "tracenet_export": ROOT / "export" / "tracenet_export",
    "tracenet_runtime": ROOT / "runtime" / "tracenet_runtime",
    "tracenet_demo": ROOT / "runtime" / "tracenet_demo",
    "tracenet_bench": ROOT / "benchmarks" / "tracenet_bench",
}
ALLOWED = {
    "tracenet": {"tracenet", "tracenet_runtime"},
    "tracenet_export": {"tracenet", "tracenet_runtime", "tracenet_export"},
    "tracenet_runtime": {"tracenet_runtime"},
    "tracenet_demo": {"tracenet_runtime", "tracenet_demo"},
    "tracenet_bench": set(FOLDERS),  # the halo's curve plans, and the browser opens the page
}


def requirement_names(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=\[ ;]", requirement)[0] for requirement in requirements}


@pytest.mark.parametrize("engine", ["onnxruntime", "coreml", "litert"])
def test_an_engine_installs_no_torch(engine: str) -> None:
    extras = PROJECT["optional-dependencies"]
    names = requirement_names(PROJECT["dependencies"]) | requirement_names(extras[engine])
    assert "torch" not in names
    assert not {name for name in names if name.startswith("tracenet")}


def imported_packages(file: Path) -> set[str]:
    modules: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules.add(node.module)
    return {module.split(".")[0] for module in modules}


@pytest.mark.parametrize("package", FOLDERS)
def test_imports_run_one_way(package: str) -> None:
    files = list(FOLDERS[package].rglob("*.py"))
    assert files
    for file in files:
        ours = imported_packages(file) & set(FOLDERS)
        assert ours <= ALLOWED[package], file


@pytest.mark.parametrize("package", ["tracenet_runtime", "tracenet_demo"])
def test_the_runtime_is_numpy_pillow_and_an_engine(package: str) -> None:
    installed = requirement_names(PROJECT["dependencies"])
    assert installed == {"numpy", "pillow"}
    anywhere = sys.stdlib_module_names | set(FOLDERS) | {"numpy", "PIL", "_typeshed"}
    extras = {"engines": {"onnxruntime", "coremltools", "ai_edge_litert"}, "clips": {"av", "tqdm"}}
    for file in FOLDERS[package].rglob("*.py"):
        allowed = anywhere | extras.get(file.parent.name, set())
        assert imported_packages(file) <= allowed, file


@pytest.mark.parametrize("tool", PROJECT["scripts"])
def test_every_tool_explains_itself(tool: str, capsys: pytest.CaptureFixture[str]) -> None:
    module, _, function = PROJECT["scripts"][tool].partition(":")
    with pytest.raises(SystemExit) as stop:
        getattr(importlib.import_module(module), function)(["--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: {tool}")
    assert "example" in shown


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("tracenet_export.cli", ["--untrained"]),
        ("tracenet_export.trace_cli", []),
        ("tracenet.evaluation.cli", ["--data", "photos"]),
        ("tracenet.training.cli", ["--data", "photos", "--out", "run"]),
    ],
)
def test_a_missing_extra_is_one_sentence(module: str, arguments: list[str]) -> None:
    without_torch = (
        "import sys; sys.modules['torch'] = None\n"
        f"from {module} import main\nsys.exit(main({arguments!r}))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", without_torch], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert "torch is not installed; run: pip install 'tracenet[" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_constraints_pin_what_the_project_asks_for() -> None:
    pinned = {
        line.split("==")[0]
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    asked = requirement_names(PROJECT["dependencies"])
    for extra in ("export", "train", "bench", "demo", "dev"):
        asked |= requirement_names(PROJECT["optional-dependencies"][extra])
    assert asked - {"tracenet"} <= pinned
