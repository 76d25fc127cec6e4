"""Running the command-line tools in tests."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest


def run_json(main: Any, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main([*arguments, "--json"]) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    return report


def assert_one_sentence(
    main: Any, arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    last = shown.err.strip().splitlines()[-1]
    assert re.match(r"tracenet-\w+: ", last)
    assert expected in last
    assert "Traceback" not in shown.err
