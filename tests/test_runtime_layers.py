"""Which way imports go in the runtime, by folder: type-only ones and those in functions count."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import tracenet_runtime

ROOT = Path(tracenet_runtime.__file__).parent
BASE = {"contract", "errors", "timing"}
TOOLS = {"arguments", "cores", "files", "streams", "text", "tool"}

BELOW = {
    "image": {"base"},
    "graph": {"base"},
    "answer": {"base", "image", "graph"},
    "tracking": {"base", "image", "graph", "answer"},
    "strategies": {"base", "image", "graph", "answer"},
    "bundle": {"base", "image", "graph", "answer", "strategies", "tracking"},
    "engines": {"base", "graph"},
    "clips": {"base", "tools", "image", "tracking"},
    "base": set[str](),
    "tools": {"base"},
}
"""What each folder may import besides its own; the public modules may import all of them."""


def modules() -> dict[str, Path]:
    paths = (path.relative_to(ROOT).with_suffix("") for path in ROOT.rglob("*.py"))
    return {
        ".".join(path.parts).removesuffix("__init__").rstrip("."): ROOT / path.with_suffix(".py")
        for path in paths
    }


def folder(module: str) -> str:
    first, _, rest = module.partition(".")
    if rest or first in BELOW:
        return first
    return "base" if first in BASE else "tools" if first in TOOLS else "public"


@functools.cache
def imports() -> dict[str, set[str]]:
    known = modules()

    def named(tree: ast.AST) -> Iterator[str]:
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                yield node.module
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            elif isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            assert not (isinstance(node, ast.ImportFrom) and node.level), "imports are absolute"

    return {
        module: {
            name.removeprefix("tracenet_runtime").lstrip(".")
            for name in named(ast.parse(path.read_text()))
            if name.split(".")[0] == "tracenet_runtime"
        }
        & known.keys() - {module}
        for module, path in known.items()
    }


def test_nothing_runs_back_up() -> None:
    for module, imported in imports().items():
        here = folder(module)
        allowed = BELOW.get(here, {*BELOW, "public"}) | {here}
        wrong = {name for name in imported if folder(name) not in allowed}
        assert not wrong, f"{module} ({here}) imports {sorted(wrong)}"


def test_no_circle_and_no_long_chain() -> None:
    longest: dict[str, tuple[str, ...]] = {}

    def chain(module: str, above: tuple[str, ...]) -> tuple[str, ...]:
        assert module not in above, f"a circle: {' -> '.join((*above, module))}"
        if module not in longest:
            chains = [chain(name, (*above, module)) for name in sorted(imports()[module])]
            longest[module] = (module, *max(chains, key=len, default=()))
        return longest[module]

    found = max((chain(module, ()) for module in modules()), key=len)
    assert len(found) <= 12, " -> ".join(found)
