"""One small network and its bundle, exported once for all tests that need one."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tracenet.model import save_checkpoint, untrained_network
from tracenet_export import bundle as bundle_module
from tracenet_export import check, cli, schedule
from tracenet_export.manifest import Source
from tracenet_export.plan import partition
from tracenet_export.schedule import SchedulePlan

CANVAS = (256, 384)
"""Of the schedules `all` and `full`."""

OPEN_CANVAS = (128, 1024)
"""Of the schedule `P3`, whose windows serve every width from this one up."""

WARM_CANVAS = (256, 256)

LICENCE = "CC BY 4.0\nby nobody in particular"


@dataclass(frozen=True, eq=False)
class SmallExport:
    """A bundle, what it was made from, and what the exporter said."""

    folder: Path
    checkpoint: Path
    report: dict[str, Any]
    source: Source
    plans: dict[str, SchedulePlan]

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
        patch.setattr(partition, "MACS_PER_CALL", 20_000_000)
        patch.setattr(schedule, "WORTHWHILE", -1.0)
        yield


def export_small(folder: Path) -> SmallExport:
    """Export through the command line, in place of a bundle of another time."""
    checkpoint = folder / "network.safetensors"
    save_checkpoint(untrained_network("mobilenetv2-fpn"), checkpoint, licence=LICENCE)
    out = folder / "bundle"
    out.mkdir()
    (out / "manifest.json").write_text(
        '{"schema_version": 0, "files": {"of_another_time.bin": {}}}'
    )
    (out / "of_another_time.bin").write_bytes(b"old")
    # A canvas that is no multiple of 128 is padded to one.
    height, width = CANVAS[0] - 6, CANVAS[1] - 127
    arguments = [
        "--checkpoint", str(checkpoint), "--canvas", f"{height}x{width}",
        "--schedule", "all", f"P3@{OPEN_CANVAS[0]}x{OPEN_CANVAS[1]}", f"warm@{WARM_CANVAS[0]}",
        "full", "--threads", "1", "--out", str(out), "--json",
    ]  # fmt: skip
    made = []
    export_bundle = bundle_module.export_bundle

    def recording(
        source: Source, plans: Sequence[SchedulePlan], *others: Any, **options: Any
    ) -> dict[str, Any]:
        made.append((source, plans))
        return export_bundle(source, plans, *others, **options)

    stdout = io.StringIO()
    with (
        few_programs(),
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(stdout),
    ):
        patch.setattr(bundle_module, "export_bundle", recording)
        patch.setattr(check, "REPLAYED_TAPS", 28)
        assert cli.main(arguments) == 0
    ((source, plans),) = made
    by_name = {plan.name: plan for plan in plans}
    return SmallExport(out, checkpoint, json.loads(stdout.getvalue()), source, by_name)


def snapshot(folder: Path) -> dict[str, str]:
    """Every file below a folder and its hash."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }
