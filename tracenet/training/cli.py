"""tracenet-train."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any

from tracenet.options import DEFAULT_NETWORK
from tracenet.training.config_file import ConfigError
from tracenet.training.options import parse_options
from tracenet_runtime.tool import print_results, run_tool, say


def main(argv: list[str] | None = None) -> int:
    """Entry point; the summary goes to stdout. Returns the exit code."""
    try:
        arguments = parse_options(argv)
    except ConfigError as error:
        say("tracenet-train", str(error))
        return 2

    def work() -> None:
        summary = _run(arguments)
        if summary is not None:
            print_results(json.dumps(summary) if arguments.json else _readable(summary))

    def stopped() -> str:
        resumable = (arguments.out / "state").exists()
        return f"stopped; {'--resume goes on from here' if resumable else 'nothing is saved yet'}"

    return run_tool("tracenet-train", "train", work, stopped)


def _run(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """Train; gives the summary in the main process alone, so that it is printed once."""
    # Imported here so that --help and mistakes on the command line need not wait for torch.
    from accelerate import PartialState
    from accelerate.utils import set_seed

    from tracenet.data import CopyPaste, HeldOut, TapInputs, TileAugmentation, open_dataset
    from tracenet.data.clips import held_back, open_clips, trained_on
    from tracenet.data.corrections import TILE_SIDE, CorrectionInputs
    from tracenet.data.video import VideoInputs
    from tracenet.model import (
        CheckpointError,
        TraceNet,
        build_network,
        load_checkpoint,
        load_trunk,
        with_fusion,
        with_guided_look,
        with_propagation,
    )
    from tracenet.training.loop import train
    from tracenet.training.optimization import (
        Optimization,
        freeze_all_but,
        freeze_early_layers,
    )
    from tracenet.training.task import B, TrainingTask
    from tracenet.training.tasks.corrections import CorrectionTask
    from tracenet.training.tasks.fusion import FusionTask
    from tracenet.training.tasks.taps import TapTask
    from tracenet.training.tasks.video import VideoTask

    photos = open_dataset(arguments.data, arguments.coco, arguments.lvis, arguments.set_weight)
    if photos.problems and PartialState().is_main_process:
        print(photos.problems, file=sys.stderr)
    held_out = None
    if arguments.held_out:
        held_out = HeldOut(photos, arguments.held_out, training=False)
        photos = HeldOut(photos, arguments.held_out, training=True)
    set_seed(arguments.seed)  # of the weights that start at random
    if arguments.init:
        network = load_checkpoint(arguments.init)
        if arguments.model not in (None, network.config.name):
            raise CheckpointError(
                f"{arguments.init} is a {network.config.name}, not a {arguments.model}; give "
                f"--model {network.config.name}"
            )
    else:
        network = build_network(arguments.model or DEFAULT_NETWORK)
    if arguments.trunk:
        load_trunk(network, arguments.trunk)
    optimization = Optimization(
        steps=arguments.steps,
        optimizer=arguments.optimizer,
        learning_rate=arguments.learning_rate,
        trunk_factor=arguments.trunk_factor,
        weight_decay=arguments.weight_decay,
        milestones=arguments.milestones,
        leaky_steps=arguments.leaky_steps,
        rounded_steps=arguments.rounded_steps,
    )
    copy_paste = CopyPaste(probability=arguments.copy_paste)

    def learn(network: TraceNet, task: TrainingTask[B]) -> dict[str, Any]:
        return train(
            network,
            task,
            optimization,
            arguments.out,
            seed=arguments.seed,
            save_every=arguments.save_every,
            score_every=arguments.score_every,
            resume=arguments.resume,
            precision=arguments.precision,
            workers=arguments.workers,
        )

    tiles = max(1, round(arguments.pixels * 1e6 / TILE_SIDE**2))
    if arguments.task in ("video", "fusion"):
        learnt: type[VideoTask | FusionTask]
        if arguments.task == "video":
            network, learnt = with_propagation(network), VideoTask
            freeze_all_but(network, network.propagation)
        else:
            network, learnt = with_fusion(network), FusionTask
            freeze_all_but(network, network.fusion)
        clips = open_clips(arguments.clips) if arguments.clips else []
        video = VideoInputs(
            frames_per_step=tiles,
            lengths=arguments.lengths,
            clip_share=arguments.clip_share,
            steps=arguments.steps,
            copy_paste=copy_paste,
        )
        known = trained_on(clips) if clips else []
        summary = learn(network, learnt(photos, known, video, network.pad_value, held_back(clips)))
    elif arguments.task == "clicks":
        network = with_guided_look(network)
        freeze_all_but(network, network.tile_encoder, network.guided_look)
        corrections = CorrectionInputs(tiles_per_step=tiles, copy_paste=copy_paste)
        summary = learn(network, CorrectionTask(photos, corrections, network.pad_value, held_out))
    else:
        if arguments.trunk or arguments.init:
            freeze_early_layers(network)
        taps = TapInputs(
            pixels=round(arguments.pixels * 1e6),
            canvas_sizes=arguments.canvas,
            tap_region=arguments.tap_at,
            copy_paste=copy_paste,
            tiles=TileAugmentation(shares=arguments.tiles),
        )
        summary = learn(network, TapTask(photos, taps, network.pad_value, held_out))
    return summary if PartialState().is_main_process else None


def _readable(summary: Mapping[str, Any]) -> str:
    losses = ", ".join(f"{name} {value:.4f}" for name, value in summary["losses"].items())
    return (
        f"{summary['steps']} steps in {summary['seconds']:.1f} s, "
        f"{summary['images_per_second']:.2f} images a second; mean losses: {losses}"
    )


if __name__ == "__main__":
    sys.exit(main())
