"""Options of tracenet-train from a TOML file, whose keys are the long options' names."""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Set
from pathlib import Path
from typing import Any, NoReturn

from tracenet_runtime.errors import TraceNetError
from tracenet_runtime.text import read_text
from tracenet_runtime.tool import ToolParser

SHIPPED = Path(__file__).parent / "configs"


class ConfigError(TraceNetError):
    """A configuration file is missing or damaged, or says what no option takes."""


class FileParser(ToolParser):
    """Raises ``ConfigError`` where argparse ends the program."""

    def error(self, message: str) -> NoReturn:
        """Raise."""
        raise ConfigError(message)


def read_config(name: str, parser: argparse.ArgumentParser, options: Set[str]) -> dict[str, Any]:
    """What a file sets, as the command line would have set it: values by the option's ``dest``.

    Args:
        name: of a shipped configuration, else the file's path.
        parser: a :class:`FileParser`, which checks and converts every value.
        options: names of the options that a file may set, without dashes in front.

    Raises:
        ConfigError: there is no such file, it is no TOML, or a key or value is wrong.
    """
    try:
        path = _find(name)
        content = tomllib.loads(read_text(path))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{name} cannot be read as TOML: {error}") from error
    unknown = sorted(content.keys() - options)
    if unknown:
        raise ConfigError(
            f"{path} sets {', '.join(unknown)}; it may set {', '.join(sorted(options))}"
        )
    values = {}
    for key, value in content.items():
        destination = key.replace("-", "_")
        words = _words(key, value)
        if any("\0" in word for word in words):  # what no command line and no file name has
            raise ConfigError(f"{path}: {key} has a character of code 0; leave it out")
        try:
            parsed = vars(parser.parse_args(words))[destination]
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None
        expected = _mismatch(value, parsed)
        if expected:
            raise ConfigError(f"{path}: {key} must be {expected}, not {value!r}")
        values[destination] = parsed
    return values


def _find(name: str) -> Path:
    shipped = {path.stem: path for path in SHIPPED.glob("*.toml")}
    path = shipped.get(name, Path(name))
    if not path.is_file():
        raise ConfigError(
            f"there is no configuration {name}; give a .toml file or one of "
            f"{', '.join(sorted(shipped))}"
        )
    return path


def _words(key: str, value: object) -> list[str]:
    """The words of a command line that say the same."""
    match value:
        case bool():
            return [f"--{key}"] if value else []
        case dict():
            return [f"--{key}={name}={number}" for name, number in value.items()]
        case list() if any(isinstance(item, str) for item in value):
            return [f"--{key}", *map(str, value)]
        case list():
            return [f"--{key}={','.join(map(str, value))}"]
    return [f"--{key}={value}"]


def _mismatch(value: object, parsed: object) -> str | None:
    """What the value should have been for an option that gives ``parsed``, if it is not that.

    The words of a command line have no types: ``"3"`` and ``3`` are the same there.
    """
    match parsed:
        case bool():
            return None if isinstance(value, bool) else "true or false"
        case int() | float():
            return None if _is_number(value) else "a number"
        case tuple():
            items = value if isinstance(value, list) else [value]
            return None if all(map(_is_number, items)) else "a whole number or a list of them"
        case [Path(), *_]:
            texts = isinstance(value, list) and all(isinstance(item, str) for item in value)
            return None if texts else "a list of strings"
        case list():
            numbers = isinstance(value, dict) and all(map(_is_number, value.values()))
            return None if numbers else "a table of numbers"
    return None if isinstance(value, str) else "a string"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
