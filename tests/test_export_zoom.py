"""A zoom as exported: each look is FullNet's on its own canvas, before one of them answers."""

import numpy as np
import pytest
import torch
from export_fixtures import few_programs, without_clips
from skimage import data

from tracenet.model import (
    TraceNet,
    answer_taps,
    load_checkpoint,
    save_checkpoint,
    shipped_checkpoint,
)
from tracenet.options import DEFAULT_NETWORK
from tracenet_export import check as exporters_check
from tracenet_export.cli import main
from tracenet_runtime import TapResult, TapSegmenter
from tracenet_runtime.graph.schedule import Schedule
from tracenet_runtime.image.canvas import Canvas
from tracenet_runtime.image.mask import place_mask


@pytest.fixture(scope="module", params=[256, pytest.param(384, marks=pytest.mark.slow)])
def first(request: pytest.FixtureRequest) -> int:
    """The side of the first look's canvas: that of the second look, or a larger one."""
    return int(request.param)


@pytest.fixture(scope="module")
def segmenter(
    first: int, network: TraceNet, tmp_path_factory: pytest.TempPathFactory
) -> TapSegmenter:
    folder = tmp_path_factory.mktemp("zoom")
    checkpoint = folder / "network.safetensors"
    save_checkpoint(without_clips(network), checkpoint, licence="none")
    arguments = ["--checkpoint", str(checkpoint), "--schedule", f"zoom@{first}", "--threads", "1"]
    with few_programs(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporters_check, "REPLAYED_TAPS", 8)
        assert main([*arguments, "--out", str(folder / "bundle")]) == 0
    return TapSegmenter.load(folder / "bundle", threads=1)


@pytest.fixture(scope="module")
def network() -> TraceNet:
    return load_checkpoint(shipped_checkpoint(DEFAULT_NETWORK)).eval()


@torch.inference_mode()
def fullnet(
    network: TraceNet, side: int, photo: np.ndarray, at: tuple[int, int]
) -> tuple[float, tuple[float, float, float, float], np.ndarray]:
    """Score, box and mask of the best level on a square canvas."""
    pixels, placement = Canvas(side, side, network.pad_value).fit(photo)
    outputs = network(torch.from_numpy(pixels).permute(2, 0, 1)[None].float())
    answers = answer_taps(outputs, torch.tensor([placement.to_canvas(*at)]), probability=True)
    best = int(answers.score[0].argmax())
    mask = place_mask(answers.mask[0, best].numpy(), (0, 0, side, side), placement)
    x0, y0, x1, y1 = answers.box[0, best].tolist()
    return float(answers.score[0, best]), placement.box_to_photo((x0, y0, x1, y1)), mask


def check(
    network: TraceNet, first: int, photo: np.ndarray, at: tuple[int, int], result: TapResult
) -> bool:
    """Whether the result is that of a second look; fails where it is not what FullNet gives."""
    first_score, _, first_mask = fullnet(network, first, photo, at)
    if result.tile is None:
        expected, score = first_mask, first_score
    else:
        x0, y0, x1, y1 = result.tile
        near_score, _, near = fullnet(network, 256, photo[y0:y1, x0:x1], (at[0] - x0, at[1] - y0))
        whole = np.zeros(photo.shape[:2], np.bool_)
        whole[y0:y1, x0:x1] = near
        # Which of the two looks answers must be clear before it can be compared.
        trusted = near_score >= 0.7 * first_score
        expected, score = (whole, near_score) if trusted else (first_mask, first_score)
    assert result.score == pytest.approx(score, abs=1e-3)
    # A mask window may cut some of a mask off, but never adds to it.
    wanted = np.count_nonzero(expected)
    assert np.count_nonzero(result.mask & ~expected) <= 0.002 * wanted + 20
    assert np.count_nonzero(result.mask) >= 0.9 * wanted - 20
    return result.tile is not None


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee", "rocket"])
def test_each_look_is_fullnets(
    segmenter: TapSegmenter, first: int, network: TraceNet, name: str
) -> None:
    photo = np.ascontiguousarray(getattr(data, name)())
    height, width = photo.shape[:2]
    taps = [(0, 0), (width - 1, height - 1), (width // 2, height // 2), (width // 3, height - 9)]
    looked_twice = [check(network, first, photo, at, segmenter.tap(photo, at)) for at in taps]
    assert len(looked_twice) == len(taps)


def test_a_large_photo_costs_what_a_small_one_does(segmenter: TapSegmenter, first: int) -> None:
    photo = data.astronaut()
    large = np.repeat(np.repeat(photo, 8, axis=0), 8, axis=1)
    programs = segmenter.bundle.manifest.programs

    def macs(schedule: Schedule, *whens: str) -> list[int]:
        return [
            sum(programs[call.program].macs for call in phase.program_calls)
            for phase in schedule.graph.phases
            if phase.when in whens
        ]

    schedules = [choice.schedule for choice in segmenter.strategy.choices(photo.shape[:2])]
    limit = sum(sum(macs(v, "tap")) for v in schedules) + max(
        max(macs(v, "window")) for v in schedules
    )
    for at in ((220, 100), (20, 20), (500, 400)):
        small = segmenter.tap(photo, at)
        assert small.macs <= limit <= {256: 1.6e9, 384: 1.9e9}[first]
        result = segmenter.tap(large, (8 * at[0] + 3, 8 * at[1] + 3))
        assert result.macs <= limit
        assert result.mask.shape == (4096, 4096)
