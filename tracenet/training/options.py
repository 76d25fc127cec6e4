"""The options of tracenet-train, from the command line and a configuration file."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from tracenet.options import PHOTO_SOURCES
from tracenet.training.config_file import ConfigError, FileParser, read_config
from tracenet.training.parser import build_parser

STARTS = ("trunk", "init")

STARTING = {
    "clicks": "the network whose masks are corrected",
    "video": "the network whose features are read",
    "fusion": "the network with propagation, whose masks are merged",
}
"""Tasks that add to a network, and what that is to them."""

OF_CLIPS = ("video", "fusion")
"""Tasks that learn from clips."""


def parse_options(argv: Sequence[str] | None) -> argparse.Namespace:
    """The options by name: those of the command line, else of ``--config``, else the defaults.

    Ends the program where argparse does. ``set_weight`` is a dict.

    Raises:
        ConfigError: the configuration file is not usable.
    """
    parser, file_parser = build_parser(), build_parser(FileParser)
    defaults = vars(parser.parse_args([]))
    unset = argparse.Namespace(**dict.fromkeys(defaults))
    given = {
        name: value
        for name, value in vars(parser.parse_args(argv, unset)).items()
        if value is not None
    }
    config = {}
    if "config" in given:
        names = {name.replace("_", "-") for name in defaults.keys() - {"config"}}
        config = read_config(given["config"], file_parser, names)
    for rivals in (PHOTO_SOURCES, STARTS):
        if any(name in given for name in rivals):
            config = {name: value for name, value in config.items() if name not in rivals}
        both = [f"--{name}" for name in rivals if name in config]
        if len(both) > 1:
            raise ConfigError(
                f"{given['config']} sets {' and '.join(both)}, which exclude each other"
            )
    options = defaults | config | given
    options["set_weight"] = dict(config.get("set_weight", []) + given.get("set_weight", []))

    if not any(options[name] for name in PHOTO_SOURCES):
        parser.error(f"one of {', '.join(f'--{name}' for name in PHOTO_SOURCES)} is needed")
    if not options["out"]:
        parser.error("--out is needed")
    strange = sorted(options["tiles"].keys() - set(options["canvas"]))
    if strange:
        parser.error(
            f"--tiles names {', '.join(map(str, strange))}, which --canvas does not; name sizes of "
            "--canvas"
        )
    if options["score_every"] and options["task"] in OF_CLIPS and not options["clips"]:
        parser.error("--score-every needs --clips, of which some are kept to be scored")
    if options["score_every"] and options["task"] not in OF_CLIPS and not options["held_out"]:
        parser.error("--score-every needs --held-out, which keeps photos to be scored")
    if options["task"] in STARTING and not options["init"]:
        parser.error(f"--task {options['task']} needs --init, {STARTING[options['task']]}")
    if options["clips"] and options["task"] not in OF_CLIPS:
        parser.error(f"--clips is for --task {' and '.join(OF_CLIPS)}")
    if "lengths" in config | given and options["task"] not in OF_CLIPS:
        parser.error(f"--lengths is for --task {' and '.join(OF_CLIPS)}")
    if options["task"] == "fusion" and min(options["lengths"]) < 3:
        parser.error(
            "--task fusion needs --lengths of 3 at least: what lies between a clip's first and "
            "last frame is merged"
        )
    if options["clip_share"] and not options["clips"]:
        parser.error("--clip-share needs --clips, where the clips are")
    if options["set_weight"] and not options["data"]:
        parser.error("--set-weight needs --data: a COCO or LVIS JSON has no sets")
    return argparse.Namespace(**options)
