"""Fixtures that several test files share; torch is imported only by those that use them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from export_fixtures import SmallExport


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallExport:
    """A bundle of untrained mobilenetv2-fpn on a canvas of 256 x 384; not to be changed."""
    from export_fixtures import export_small

    return export_small(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def full(small: SmallExport, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """FullNet of the same weights as a bundle, and the exporter's report; not to be changed."""
    from export_fixtures import export_full

    out = tmp_path_factory.mktemp("full") / "bundle"
    return out, export_full(small, out)
