"""How the zoom's rule is chosen: every setting, from looks that were taken once."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scenes import Scenes, make_scene

from tracenet.data import DataError
from tracenet.evaluation.evaluate import score_photo
from tracenet.evaluation.models import FullNet
from tracenet.evaluation.protocol import TapProtocol, drawn_taps
from tracenet.model import untrained_network
from tracenet_runtime.image.canvas import Canvas
from zoom_search import Search, build_parser, search


def test_settings_choose_between_looks() -> None:
    """Two things, the first tapped twice; the second look of the last tap is not trusted."""
    first = np.array([0.2, 0.4, 0.9]), np.array([0.5, 0.5, 0.8])
    near = np.array([0.8, 0.6, 0.1]), np.array([0.5, 0.4, 0.3]), np.array([3.0, 1.3, 1.0])
    found = Search(np.array([0, 0, 1]), {128: first}, {(128, 256, 0.75): near})
    settings = {(v["gain"], v["trust"]): v for v in found.settings()}
    assert len(settings) == 16
    assert settings[0.0, 0.0]["miou_t"] == pytest.approx((0.7 + 0.1) / 2)
    assert settings[0.0, 0.0]["looked_twice"] == 1
    assert settings[1.2, 0.6]["miou_t"] == pytest.approx((0.7 + 0.9) / 2)
    assert settings[1.2, 0.6]["looked_twice"] == pytest.approx(2 / 3)
    assert settings[2.0, 0.8]["miou_t"] == pytest.approx((0.6 + 0.9) / 2)
    assert settings[0.0, 0.7]["miou_t"] == pytest.approx((0.7 + 0.9) / 2)


def test_every_tap_is_looked_at_in_every_way() -> None:
    network = untrained_network("mobilenetv2-fpn").eval()
    photos = Scenes([make_scene(200, 260, 0), make_scene(150, 150, 1)])
    found = search(network, photos, taps=2, firsts=[128], tiles=[128])
    # The first look alone is what FullNet gives on its canvas.
    model = FullNet(network, Canvas(128, 128, network.pad_value))
    scores = [
        score_photo(model, index, example, taps)
        for index, (example, taps) in enumerate(drawn_taps(photos, TapProtocol(taps=2)))
    ]
    taps = [tap for photo in scores for instance in photo.instances for tap in instance.taps]
    ious, _ = found.first[128]
    assert ious == pytest.approx(np.array([tap.iou for tap in taps]), abs=1e-3)
    assert ious.max() > 0.02
    assert np.bincount(found.instance).tolist()[1:] == [2] * (len(taps) // 2)
    assert set(found.near) == {(128, 128, extent) for extent in (0.5, 0.625, 0.75, 0.875)}
    assert all(len(column) == len(taps) for looks in found.near.values() for column in looks)
    # A larger extent is a closer look, up to the largest enlargement.
    gains = [found.near[128, 128, extent][2] for extent in (0.5, 0.625, 0.75, 0.875)]
    assert all((far <= near).all() for far, near in pairwise(gains))
    assert (gains[0] < gains[-1]).any()


def test_photos_without_things_are_one_sentence() -> None:
    network = untrained_network("mobilenetv2-fpn").eval()
    with pytest.raises(DataError, match="large enough"):
        search(network, Scenes([]), taps=1, firsts=[128], tiles=[128])


@pytest.mark.parametrize("side", ["0", "x", "16385"])
def test_sides_that_are_no_canvas(side: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["--data", str(Path()), "--first", side])
    assert "argument --first: " in capsys.readouterr().err
