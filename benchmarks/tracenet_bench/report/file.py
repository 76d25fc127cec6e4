"""A report as JSON: written whole, and read back only if it is one."""

from __future__ import annotations

import dataclasses
import json
import sys
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NoReturn

from tracenet_bench.report.schema import SCHEMA_VERSION, Report
from tracenet_runtime.errors import OutputError, TraceNetError
from tracenet_runtime.files import check_writing, replacing


class ReportError(TraceNetError):
    """A file is no report, or one of another version."""


def report_to_dict(report: Report) -> dict[str, Any]:
    """JSON-ready; every field of the dataclasses under its own name."""
    found: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(report), allow_nan=False))
    return found


def report_from_dict(content: Any, source: str = "the report") -> Report:
    """The report that ``report_to_dict`` was given; ``source`` is for the error's sentence.

    Raises:
        ReportError: a field is missing, unknown, or not of its type, samples do not fit the rest,
            or the version is another.
    """
    version = content.get("schema") if isinstance(content, dict) else None
    if type(version) is int and version != SCHEMA_VERSION:
        raise ReportError(
            f"{source} is a report of version {version} and this reads {SCHEMA_VERSION}; measure "
            "again, or compare with the release that wrote it"
        )
    try:
        report: Report = _read(Report, content, "the report")
        _check_samples(report)
    except _Damaged as damage:
        raise ReportError(f"{source} is no report of tracenet-bench: {damage}") from damage
    return report


def read_report(path: Path) -> Report:
    """A report that :func:`write_report` wrote.

    Raises:
        ReportError: there is none, or it is damaged or of another version.
    """
    try:
        content = json.loads(path.read_bytes(), parse_constant=_refuse_constant)
    except OSError as error:
        raise ReportError(f"{path} cannot be read: {error.strerror}; check the path") from error
    except (ValueError, RecursionError) as error:
        raise ReportError(f"{path} is not valid JSON ({error}); measure again") from error
    return report_from_dict(content, str(path))


def write_report(path: Path, report: Report) -> None:
    """Write it as JSON, whole or not at all; ``OutputError`` where that cannot be."""
    write_text(path, f"{json.dumps(report_to_dict(report), indent=2)}\n")


def write_text(path: Path, text: str) -> None:
    """Write a file, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        with replacing(path) as file:
            # A path may have what no encoding has.
            file.write(text.encode(errors="backslashreplace"))
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error


def check_writable(path: Path) -> None:
    """Try what :func:`write_text` does, before hours are spent on what goes there.

    Nothing is left behind, and what there is stays as it is.

    Raises:
        OutputError: it could not be written.
    """
    try:
        if path.is_dir():
            raise OutputError(f"{path} is a folder; name a file in it")
        if not path.parent.is_dir():
            raise OutputError(f"{path.parent} does not exist; make it, or name another file")
        check_writing(replacing(path))
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error


class _Damaged(Exception):  # noqa: N818 - reads as what happened
    pass


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _check_samples(report: Report) -> None:
    """What types cannot say of times, and what would fail when they are shown or compared."""
    photos = len(report.conditions.photos)
    if report.conditions.taps < 1:
        raise _Damaged("the report.conditions.taps is not above zero")
    for index, measured in enumerate(report.measured):
        steady, where = measured.steady, f"the report.measured[{index}].steady"
        if steady is None:
            continue
        if min(steady.samples, default=0.0) <= 0:
            raise _Damaged(f"{where}.samples are not times above zero")
        if len(steady.by_photo) != photos:
            raise _Damaged(
                f"{where}.by_photo has {len(steady.by_photo)} medians and the report {photos} "
                "photo(s)"
            )


def _read(kind: Any, value: Any, where: str) -> Any:
    """A value as the type that the schema says; ``_Damaged`` where it is none."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _read_fields(kind, value, where)
    if origin is types.UnionType and types.NoneType in arguments:
        (other,) = (v for v in arguments if v is not types.NoneType)
        return None if value is None else _read(other, value, where)
    if origin is types.UnionType:
        if type(value) in arguments:
            return value
    elif origin is Literal:
        if value in arguments:
            return value
    elif origin is tuple and isinstance(value, list):
        if arguments[1:] == (...,):
            return tuple(_read(arguments[0], v, f"{where}[{i}]") for i, v in enumerate(value))
        if len(value) == len(arguments):
            pairs = enumerate(zip(arguments, value, strict=True))
            return tuple(_read(each, v, f"{where}[{i}]") for i, (each, v) in pairs)
    elif origin is Mapping and isinstance(value, dict):
        keys, values = arguments
        return {
            _read_key(keys, k, where): _read(values, v, f"{where}.{k}") for k, v in value.items()
        }
    elif kind is float and type(value) in (int, float) and abs(value) <= sys.float_info.max:
        return float(value)
    elif kind in (int, str, bool) and type(value) is kind:
        return value
    raise _Damaged(f"{where} is not {_in_words(kind)}")


def _read_fields(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise _Damaged(f"{where} is not an object")
    types_of = typing.get_type_hints(kind)
    if odd := sorted(map(str, types_of.keys() ^ value.keys())):
        raise _Damaged(
            f"{where} {'lacks' if odd[0] in types_of else 'has the unknown field'} {odd[0]}"
        )
    return kind(**{name: _read(v, value[name], f"{where}.{name}") for name, v in types_of.items()})


def _read_key(kind: Any, key: str, where: str) -> Any:
    """JSON's keys are text."""
    if kind is str:
        return key
    if not (key.isascii() and key.isdigit()):
        raise _Damaged(f"{where} has the key {key!r}, which is no number")
    return int(key)


def _in_words(kind: Any) -> str:
    return getattr(kind, "__name__", None) or str(kind)
