"""What all tests share; torch is imported only by those that use it."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from made_once import made_once

if TYPE_CHECKING:
    from export_fixtures import SmallExport
    from tracking_export import TrackingExport

# What fails once fails always. Networks take their time, and no example changes a fixture.
settings.register_profile(
    "tracenet",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("tracenet")


def pytest_collection_finish() -> None:
    """Rarer searches for circular garbage, none of them through all that was imported.

    Exports make millions of small objects, which Python by default searches so often that it takes
    a tenth of their time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """One thread for torch, in fixtures too: what it computes then repeats exactly."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallExport:
    """A bundle of untrained mobilenetv2-fpn with four schedules; not to be changed."""
    from export_fixtures import SmallExport, export_small

    return SmallExport(made_once(tmp_path_factory, "small", export_small))


@pytest.fixture(scope="session")
def small_tracking(tmp_path_factory: pytest.TempPathFactory) -> TrackingExport:
    """A bundle of a tiny untrained network that tracks and corrects; not to be changed."""
    from tracking_export import TrackingExport, export_tracking

    return TrackingExport(made_once(tmp_path_factory, "tracking", export_tracking))


_FIRST = (
    "test_training.py",
    "test_targets.py",
    "test_exactness.py",
    "test_web_clips.py",
    "test_web_masks.py",
    "test_web_clip.py",
    "test_export_coreml.py",
    "test_export_litert.py",
    "test_bench.py",
    "test_networks.py",
    "test_trace.py",
    "test_web_page.py",
    "test_web_offline.py",
    "test_web_refusals.py",
    "test_export_onnx.py",
    "test_export_zoom.py",
    "test_video_session.py",
    "test_bench_web.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that fork come first: litert-torch brings JAX, whose threads do not survive a fork.

    Of two processes one begins with them, and the other with a file of long exports. The longest of
    the others follow: were one among the last, one process would wait for it.
    """
    order = {name: number for number, name in enumerate(_FIRST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))
