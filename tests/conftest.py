"""Fixtures that several test files share; torch is imported only by those that use them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from export_fixtures import SmallExport


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallExport:
    """A bundle of untrained mobilenetv2-fpn with four schedules; not to be changed."""
    from export_fixtures import export_small

    return export_small(tmp_path_factory.mktemp("small"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that fork come first: litert-torch brings JAX, whose threads do not survive a fork."""
    items.sort(key=lambda item: item.path.name != "test_training.py")
