"""One small network and its bundle, exported once for all tests that need one."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from tracenet.model import TraceNet, save_checkpoint, untrained_network
from tracenet.model.guided import GuidedLook
from tracenet_export import check, cli, schedule
from tracenet_export import exporting as exporting_module
from tracenet_export.assemble import Assembly, assemble
from tracenet_export.draft import Draft, Source
from tracenet_export.exporting import open_source
from tracenet_export.plan import partition
from tracenet_export.schedule import SchedulePlan
from tracenet_runtime.strategies.rules import SingleRule

CANVAS = (256, 384)
"""Of the schedules `all` and `full`."""

OPEN_CANVAS = (128, 1024)
"""Of the schedule `P3`, whose windows serve every width from this one up."""

WARM_CANVAS = (256, 256)

LICENCE = "CC BY 4.0\nby nobody in particular"


class SmallExport:
    """A bundle, what it was made from, and what the exporter said.

    Args:
        made: the folder that ``export_small`` filled.
    """

    def __init__(self, made: Path) -> None:
        self.folder, self.checkpoint = made / "bundle", made / "network.safetensors"
        self.report: dict[str, Any] = json.loads((made / "report.json").read_text())

    @cached_property
    def source(self) -> Source:
        """The network."""
        return open_source(checkpoint=self.checkpoint)

    @cached_property
    def plans(self) -> dict[str, SchedulePlan]:
        """By the schedules' names."""
        return {plan.name: plan for plan in self._planned[0]}

    @property
    def draft(self) -> Draft:
        """What was exported."""
        return self._planned[1]

    @cached_property
    def _planned(self) -> tuple[list[SchedulePlan], Draft]:
        """Planned again, which takes less than to convert, and cannot be kept in a file."""
        planned: list[SchedulePlan] = []
        made: list[Draft] = []

        def assembling(plans: Sequence[SchedulePlan], look: GuidedLook | None) -> Assembly:
            planned.extend(plans)
            return assemble(plans, look)

        def exporting(draft: Draft, *others: Any, **options: Any) -> dict[str, Any]:
            made.append(replace(draft, source=self.source))
            return {}

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(exporting_module, "assemble", assembling)
            patch.setattr(exporting_module, "export_bundle", exporting)
            run_small(self.checkpoint, self.folder)
        return planned, made[0]

    def drafted(self, *names: str) -> Draft:
        """A draft of some of the plans, by default of all, made again."""
        plans = [self.plans[name] for name in names or self.plans]
        strategy = SingleRule(tuple(range(len(plans))))
        return replace(self.draft, assembly=assemble(plans), strategy=strategy)

    @property
    def manifest(self) -> dict[str, Any]:
        """As written, not as the runtime parses it."""
        content: dict[str, Any] = json.loads((self.folder / "manifest.json").read_text())
        return content

    def schedule(self, name: str) -> dict[str, Any]:
        """One of the manifest's schedules."""
        found: list[dict[str, Any]] = [s for s in self.manifest["schedules"] if s["name"] == name]
        (schedule,) = found
        return schedule


@contextlib.contextmanager
def few_programs() -> Iterator[None]:
    """Plans with fewer, larger programs: each takes a second to convert; and every mask window."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            partition.CostModel, "cost", lambda self, macs, cut: macs + 20_000_000 + 9 * cut
        )
        patch.setattr(schedule, "WORTHWHILE", -1.0)
        yield


def without_clips(network: TraceNet) -> TraceNet:
    """The same weights without propagation, whose programs take as long to export as a schedule."""
    config = replace(network.config, track_channels=(), fusion_channels=0)
    still = TraceNet(config)
    weights = network.state_dict()
    still.load_state_dict({name: weights[name] for name in still.state_dict()})
    return still.eval()


def export_small(folder: Path) -> None:
    """Export through the command line, in place of a bundle of another time."""
    checkpoint = folder / "network.safetensors"
    save_checkpoint(untrained_network("mobilenetv2-fpn"), checkpoint, licence=LICENCE)
    out = folder / "bundle"
    out.mkdir()
    (out / "manifest.json").write_text(
        '{"schema_version": 0, "files": {"of_another_time.bin": {}}}'
    )
    (out / "of_another_time.bin").write_bytes(b"old")
    (folder / "report.json").write_text(run_small(checkpoint, out))


def run_small(checkpoint: Path, out: Path) -> str:
    """The command line, and what it says."""
    arguments = [
        "--checkpoint", str(checkpoint), "--canvas", f"{CANVAS[0]}x{CANVAS[1]}",
        "--schedule", "all", f"P3@{OPEN_CANVAS[0]}x{OPEN_CANVAS[1]}", f"warm@{WARM_CANVAS[0]}",
        "full", "--threads", "1", "--out", str(out), "--json",
    ]  # fmt: skip
    stdout = io.StringIO()
    with (
        few_programs(),
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(stdout),
    ):
        patch.setattr(check, "REPLAYED_TAPS", 28)
        assert cli.main(arguments) == 0
    return stdout.getvalue()


def calls_of(schedule: dict[str, Any], when: str | None = None) -> list[dict[str, Any]]:
    """The program calls of a schedule's phases, or of those of one time."""
    return [
        call
        for phase in schedule["graph"]["phases"]
        if when in (None, phase["when"])
        for call in phase["calls"]
        if call["kind"] == "program"
    ]


def windows_of(schedule: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The calls of each mask window: those before the head, the head, and ``place_mask``."""
    phases = schedule["graph"]["phases"]
    return {phase["name"]: phase["calls"] for phase in phases if phase["when"] == "window"}


def macs_of(bundle: SmallExport, name: str) -> dict[str, Any]:
    """What the programs of a schedule's phases add up to, and FullNet."""
    schedule, programs = bundle.schedule(name), bundle.manifest["programs"]

    def total(calls: list[dict[str, Any]]) -> int:
        return sum(programs[call["program"]]["macs"] for call in calls)

    return {
        "full": schedule["full_macs"],
        "encode": total(calls_of(schedule, "photo")),
        "query": total(calls_of(schedule, "tap")),
        "masks": {window: total(calls[:-1]) for window, calls in windows_of(schedule).items()},
    }


def snapshot(folder: Path) -> dict[str, str]:
    """Every file below a folder and its hash."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }
