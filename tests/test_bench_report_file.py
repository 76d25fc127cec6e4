"""Reports as JSON: what is written is read back, what is no report is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from bench_reports import realistic
from hypothesis import given, settings
from random_bench_reports import reports

from tracenet_bench.report.file import (
    ReportError,
    check_writable,
    read_report,
    report_from_dict,
    report_to_dict,
    write_report,
    write_text,
)
from tracenet_bench.report.schema import SCHEMA_VERSION, Report
from tracenet_runtime.errors import OutputError


@settings(max_examples=15)
@given(reports())
def test_what_is_written_is_read_back(report: Report) -> None:
    text = json.dumps(report_to_dict(report), allow_nan=False)
    assert report_from_dict(json.loads(text)) == report


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("of another time")
    write_report(path, realistic())
    assert read_report(path) == realistic()
    assert [found.name for found in tmp_path.iterdir()] == ["report.json"]


def changed(path: str, value: Any) -> dict[str, Any]:
    content = report_to_dict(realistic())
    *before, last = path.split(".")
    place: Any = content
    for key in before:
        place = place[int(key) if key.isdigit() else key]
    if value is KeyError:
        del place[last]
    else:
        place[last] = value
    return content


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("measured", None, "the report.measured is not tuple"),
        ("measured.0.subject.threads", "2", "the report.measured[0].subject.threads is not int"),
        ("measured.0.subject.threads", True, "threads is not int"),
        ("measured.0.subject.kind", "app", "subject.kind is not"),
        ("measured.0.load", "fast", "load is not float"),
        ("measured.0.steady.interval", [1.0], "steady.interval is not tuple"),
        ("measured.0.steady.p50", 10**400, "steady.p50 is not float"),
        ("measured.0.subject.engine_says", {"a": 1.5}, "engine_says.a is not"),
        ("environment.peak_macs_per_second", {"two": 1.0}, "the key 'two', which is no number"),
        ("environment", [], "the report.environment is not an object"),
        ("noise.quiet", 1, "noise.quiet is not bool"),
        ("noise", KeyError, "the report lacks noise"),
        ("conditions.weather", "fine", "the report.conditions has the unknown field weather"),
        ("schema", KeyError, "the report lacks schema"),
        ("conditions.taps", 0, "the report.conditions.taps is not above zero"),
        ("measured.1.steady.samples", [], "measured[1].steady.samples are not times above zero"),
        ("measured.0.steady.samples", [4.0, 0.0], "steady.samples are not times above zero"),
        ("measured.0.steady.samples", [4.0, -1.0], "steady.samples are not times above zero"),
        ("measured.0.steady.by_photo", [9.0], "has 1 medians and the report 3 photo(s)"),
        ("conditions.photos", [], "has 3 medians and the report 0 photo(s)"),
    ],
)
def test_a_damaged_report_is_one_sentence(path: str, value: Any, said: str) -> None:
    with pytest.raises(ReportError, match=r"old\.json is no report of tracenet-bench") as refused:
        report_from_dict(changed(path, value), "old.json")
    assert said in str(refused.value)


@pytest.mark.parametrize("version", [0, SCHEMA_VERSION + 1])
def test_other_versions_are_refused(version: int) -> None:
    with pytest.raises(ReportError, match=f"version {version} and this reads {SCHEMA_VERSION}"):
        report_from_dict(changed("schema", version))


@pytest.mark.parametrize("content", [None, [], 7, "report"])
def test_other_json_is_refused(content: Any) -> None:
    with pytest.raises(ReportError, match="is not an object"):
        report_from_dict(content)


@pytest.mark.parametrize("text", ["{", "", '{"schema": NaN}', "\xff", "[" * 100_000])
def test_what_is_not_json_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ReportError, match="is not valid JSON"):
        read_report(path)


def test_a_file_that_can_be_written_stays_as_it_is(tmp_path: Path) -> None:
    there, new = tmp_path / "there.json", tmp_path / "new.json"
    there.write_text("of another time")
    check_writable(there)
    check_writable(new)
    assert there.read_text() == "of another time"
    assert list(tmp_path.iterdir()) == [there]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (".", "is a folder; name a file in it"),
        ("no/report.json", "no does not exist; make it, or name another file"),
        (f"{'x' * 251}.json", "cannot be written: File name too long"),
        (f"{'x' * 300}.json", "cannot be written: File name too long"),
    ],
)
def test_what_cannot_be_written_is_found_before(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(OutputError, match=said):
        check_writable(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="has no /proc")
def test_a_folder_that_nobody_may_write_to() -> None:
    with pytest.raises(OutputError, match=r"/proc/report\.json cannot be written"):
        check_writable(Path("/proc/report.json"))


def test_files_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"nowhere\.json cannot be read"):
        read_report(tmp_path / "nowhere.json")
    with pytest.raises(OutputError, match="cannot be written"):
        write_text(tmp_path / "no" / "folder", "text")
