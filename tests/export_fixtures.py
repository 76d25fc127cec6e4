"""One small network and its bundle, exported once for all tests that need one."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from tracenet.model import save_checkpoint, untrained_network
from tracenet_export import bundle as bundle_module
from tracenet_export import cli
from tracenet_export.bundle import Source
from tracenet_export.schedule import TapPlan

CANVAS = (256, 384)
WINDOWS = "64,128,all"
LICENCE = "CC BY 4.0\nby nobody in particular"


@dataclass(frozen=True, eq=False)
class SmallExport:
    """A bundle, what it was made from, and what the exporter said."""

    folder: Path
    checkpoint: Path
    report: dict[str, Any]
    source: Source
    tap_plan: TapPlan

    @property
    def manifest(self) -> dict[str, Any]:
        """As written, not as the runtime parses it."""
        content: dict[str, Any] = json.loads((self.folder / "manifest.json").read_text())
        return content


def export_small(folder: Path) -> SmallExport:
    """Export through the command line, in place of a bundle of another time."""
    torch.set_num_threads(1)
    checkpoint = folder / "network.safetensors"
    save_checkpoint(untrained_network("mobilenetv2-fpn"), checkpoint, licence=LICENCE)
    out = folder / "bundle"
    out.mkdir()
    (out / "manifest.json").write_text('{"schema_version": 0, "schedule": {}}')
    (out / "of_another_time.bin").write_bytes(b"old")
    # A canvas that is no multiple of 128 is padded to one.
    height, width = CANVAS[0] - 6, CANVAS[1] - 127
    arguments = [
        "--checkpoint", str(checkpoint), "--canvas", f"{height}x{width}", "--windows", WINDOWS,
        "--threads", "1", "--out", str(out), "--json",
    ]  # fmt: skip
    made = []
    export_bundle = bundle_module.export_bundle

    def recording(source: Source, tap_plan: TapPlan, *others: Any, **options: Any) -> Any:
        made.append((source, tap_plan))
        return export_bundle(source, tap_plan, *others, **options)

    stdout = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(stdout):
        patch.setattr(bundle_module, "export_bundle", recording)
        assert cli.main(arguments) == 0
    ((source, tap_plan),) = made
    return SmallExport(out, checkpoint, json.loads(stdout.getvalue()), source, tap_plan)


def export_full(small: SmallExport, out: Path) -> dict[str, Any]:
    """FullNet as a bundle, from the same graph; returns the exporter's report."""
    arguments = [
        "--checkpoint", str(small.checkpoint), "--canvas", "x".join(map(str, CANVAS)),
        "--schedule", "full", "--threads", "1", "--out", str(out), "--json",
    ]  # fmt: skip
    stdout = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(stdout):
        patch.setattr("tracenet.rft.capture", lambda *_: small.tap_plan.plan.graph)
        assert cli.main(arguments) == 0
    report: dict[str, Any] = json.loads(stdout.getvalue())
    return report


def snapshot(folder: Path) -> dict[str, str]:
    """Every file below a folder and its hash."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }
