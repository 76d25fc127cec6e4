"""A Chromium for all tests that open pages."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from playwright.sync_api import sync_playwright

from tracenet_bench.measure.browser.cli import CHROMIUM

PATIENCE = 240_000
"""Milliseconds: a busy machine may take long, which is not what is tested."""


def give_up(reason: str) -> NoReturn:
    """Skip; but where changes are judged, what was not tested must not pass."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_playwright() as driver:
        found = CHROMIUM or driver.chromium.executable_path
        if not Path(found).exists():
            give_up("no Chromium is installed: apt-get install chromium")
        browser = driver.chromium.launch(executable_path=found, timeout=PATIENCE)
        yield browser
        browser.close()
