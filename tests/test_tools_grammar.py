"""The tools speak one grammar: what an option means does not depend on the tool."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator

import pytest

from tracenet.evaluation import cli as evaluation
from tracenet.training import parser as training
from tracenet_bench import arguments as bench
from tracenet_demo import cli as demo
from tracenet_export import cli as export
from tracenet_export import trace_cli
from tracenet_runtime import cli as tap
from tracenet_runtime import track_cli
from tracenet_runtime.arguments import canvas_size
from tracenet_runtime.streams import ToolParser

PARSERS: dict[str, argparse.ArgumentParser] = {
    "tracenet-train": training.build_parser(),
    "tracenet-eval": evaluation.build_parser(),
    "tracenet-trace": trace_cli.build_parser(),
    "tracenet-export": export.build_parser(),
    "tracenet-export targets": export.targets_parser(),
    "tracenet-tap": tap._parser(),
    "tracenet-track": track_cli._parser(),
    "tracenet-bench": bench.build_parser(),
    "tracenet-demo": demo._parser(),
}
tools = pytest.mark.parametrize("tool", PARSERS)


def actions(option: str) -> Iterator[tuple[str, argparse.Action]]:
    for tool, parser in PARSERS.items():
        for action in parser._actions:
            if option in action.option_strings:
                yield tool, action


@tools
def test_help_begins_with_the_name_and_has_an_example(tool: str) -> None:
    parser = PARSERS[tool]
    assert isinstance(parser, ToolParser)
    assert parser.prog == tool
    assert re.search(rf"^examples?:\n  {tool} ", parser.format_help(), re.MULTILINE)


@tools
def test_no_option_is_abbreviated_and_none_has_two_names(tool: str) -> None:
    parser = PARSERS[tool]
    assert not parser.allow_abbrev
    for action in parser._actions:
        if not isinstance(action, argparse._HelpAction):
            assert len(action.option_strings) <= 1


def test_json_is_a_flag_of_every_tool_that_has_results() -> None:
    found = dict(actions("--json"))
    assert PARSERS.keys() - found.keys() == {"tracenet-demo"}  # which prints where it serves
    assert all(action.nargs == 0 and action.const is True for action in found.values())


def test_a_canvas_reads_alike() -> None:
    found = dict(actions("--canvas"))
    assert len(found) == 6
    read = found.pop("tracenet-train").type
    assert callable(read)
    assert read("640,672x672") == (640, 672)  # training draws one of several squares
    for wrong in ("640x672", "100", "640x", "wide"):
        with pytest.raises(argparse.ArgumentTypeError):
            read(wrong)
    assert all(action.type is canvas_size for action in found.values())


@pytest.mark.parametrize(("option", "count"), [("--taps", 3), ("--held-out", 2), ("--seed", 3)])
def test_an_option_takes_the_same_numbers_everywhere(option: str, count: int) -> None:
    found = dict(actions(option))
    assert len(found) == count
    for text in ("0", "1", "2", "100000", "100001", "4294967296", "-1", "two", "2.5"):
        assert len({taken(action, text) for action in found.values()}) == 1, text


def taken(action: argparse.Action, text: str) -> object:
    assert callable(action.type)
    try:
        return action.type(text)
    except argparse.ArgumentTypeError as error:
        return str(error)


@tools
def test_what_no_option_takes_is_one_line_and_2(
    tool: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        PARSERS[tool].parse_args(["--no-such-option"])
    assert stop.value.code == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines()[-1].startswith(f"{tool}: error: ")
