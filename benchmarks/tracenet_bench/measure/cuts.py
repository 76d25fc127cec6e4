"""What the cuts between programs cost, against one ONNX program that holds the same work."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm.auto import tqdm

from tracenet_bench.measure.one_program import OneProgram
from tracenet_bench.measure.photos import random_taps
from tracenet_bench.report.schema import Photo
from tracenet_runtime.bundle.choice import choose_strategy
from tracenet_runtime.bundle.files import Bundle
from tracenet_runtime.engines import EngineSettings, load_engine
from tracenet_runtime.errors import TraceNetError
from tracenet_runtime.graph.arrays import Array, PlacedArray
from tracenet_runtime.graph.executor import Executor
from tracenet_runtime.graph.schedule import (
    Choice,
    Graph,
    Phase,
    ProgramCall,
    Role,
    Schedule,
)
from tracenet_runtime.image.canvas import Canvas
from tracenet_runtime.image.photo import load_photo

_TOLERANCE = 1e-4


class BenchError(TraceNetError):
    """There is nothing to measure, or what was measured was not the same work."""


@dataclass(frozen=True)
class CutCost:
    """What a schedule's cuts cost with one mask window.

    Attributes:
        mask: name of the mask window.
        calls: programs that run, without the mask head.
        cut_ms, one_ms: median milliseconds of the calls, and of one program with the same work.
        cost: median over taps of the one over the other, minus 1.
    """

    mask: str
    calls: int
    cut_ms: float
    one_ms: float
    cost: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "mask_window": self.mask,
            "calls": self.calls,
            "cut_ms": round(self.cut_ms, 2),
            "one_program_ms": round(self.one_ms, 2),
            "cost_of_cuts": round(self.cost, 4),
        }


def measure_cuts(
    bundle: Bundle,
    schedule: Schedule,
    canvas: npt.NDArray[np.uint8],
    taps: Sequence[tuple[int, int]],
    threads: int,
    warm_up: int = 2,
) -> list[CutCost]:
    """Time every mask window of a schedule, both forms in turn for each tap.

    Args:
        bundle: an ONNX bundle.
        schedule: one of its schedules.
        canvas: uint8, height x width x 3, of a size that the schedule serves.
        taps: (x, y) canvas pixels.
        threads: of ONNX Runtime.
        warm_up: taps before the first that counts.

    Raises:
        BundleError, EngineUnavailable: the bundle does not run here.
        BenchError: the schedule has no cuts, or the two forms give different answers.
    """
    graph = schedule.graph
    if not any(_cut_calls(graph).values()):
        raise BenchError(
            f"a tap of {schedule.name} runs no program besides the mask head, so it has no cuts; "
            "name another --schedule"
        )
    size = canvas.shape[0], canvas.shape[1]
    engine, _ = load_engine("onnxruntime", bundle.program_files, EngineSettings(threads))
    image = PlacedArray(np.moveaxis(canvas, -1, 0)[None], 0, 0)
    costs = []
    for name, calls in _cut_calls(graph).items():
        left = _left(graph, calls)
        executor = Executor(
            bundle.manifest.programs, Choice(_of_taps(schedule, calls, left), *size), engine
        )
        # Nothing of the tap phase ahead of the tap: the one program has all of it.
        encoded = executor.encode(image, {}, one_tap=True)
        one = OneProgram(bundle, schedule, calls, left, size, threads)
        pairs = []
        rounds = [*(taps[i % len(taps)] for i in range(warm_up)), *taps]
        for tap in tqdm(rounds, unit="tap", desc=f"cuts, {name}"):
            began = time.perf_counter()
            arrays = executor.run_tap(encoded, tap, {})
            between = time.perf_counter()
            outputs = one.run(encoded.arrays, tap)
            pairs.append((between - began, time.perf_counter() - between))
            _compare(outputs, arrays)
        counted = pairs[warm_up:]
        costs.append(
            CutCost(
                name,
                len(calls),
                1000 * statistics.median(cut for cut, _ in counted),
                1000 * statistics.median(one for _, one in counted),
                statistics.median(cut / one for cut, one in counted) - 1,
            )
        )
    return costs


def measure_bundle_cuts(
    folder: Path,
    schedule_name: str | None,
    canvas_size: tuple[int, int] | None,
    photo_path: Path | None,
    threads: int,
    count: int,
    warm_up: int,
    seed: int,
) -> dict[str, Any]:
    """The figures of :func:`measure_cuts`, with their conditions.

    JSON-ready. Without a schedule, the first that serves the canvas; without a photo, the golden
    one.
    """
    bundle = Bundle.open(folder)
    schedule = choose_strategy(bundle.manifest, schedule_name, canvas_size).schedules[0]
    height, width = canvas_size or schedule.canvas
    photo = load_photo(photo_path or bundle.golden_photo)
    canvas, placement = Canvas(height, width, bundle.manifest.pad_value).fit(photo)
    taps = random_taps([Photo("photo", *photo.shape[:2])], count, seed)
    on_canvas = [placement.to_canvas(*tap.at) for tap in taps]
    costs = measure_cuts(bundle, schedule, canvas, on_canvas, threads, warm_up)
    return {
        "bundle": str(folder),
        "schedule": schedule.name,
        "canvas": [height, width],
        "threads": threads,
        "taps": count,
        "cuts": [cost.to_dict() for cost in costs],
    }


def readable(report: dict[str, Any]) -> str:
    """The same in lines."""
    height, width = report["canvas"]
    lines = [
        f"{report['bundle']}, {report['schedule']} on {height}x{width}, onnxruntime, "
        f"{report['threads']} thread(s), {report['taps']} taps"
    ]
    lines += [
        f"{cost['mask_window']:>6}: {cost['calls']} programs {cost['cut_ms']:.1f} ms, as one "
        f"program {cost['one_program_ms']:.1f} ms: the cuts cost {cost['cost_of_cuts']:.1%}"
        for cost in report["cuts"]
    ]
    return "\n".join(lines)


def _cut_calls(graph: Graph) -> dict[str, list[ProgramCall]]:
    """By mask window, the calls of a tap without the head: that needs the answer of a level."""
    before = [call for phase in graph.phases if phase.when == "tap" for call in phase.program_calls]
    return {
        phase.name: [*before, *(call for call in phase.program_calls if not call.vectors)]
        for phase in graph.windows
    }


def _left(graph: Graph, calls: Sequence[ProgramCall]) -> list[str]:
    """What calls make and do not use up themselves."""
    asked = {name for names in graph.outputs.values() for name in names}
    read = {name for call in calls for name in call.reads}
    made = [name for call in calls for name in call.makes]
    return [name for name in made if name in asked or name not in read]


def _of_taps(schedule: Schedule, calls: Sequence[ProgramCall], left: Sequence[str]) -> Schedule:
    """A schedule that runs these calls for a tap, and no window."""
    photo = (phase for phase in schedule.graph.phases if phase.when == "photo")
    phases = (*photo, Phase("tap", "tap", tuple(calls)))
    outputs: dict[Role, tuple[str, ...]] = {"score": tuple(left), "mask": ()}
    return replace(schedule, graph=replace(schedule.graph, phases=phases, outputs=outputs))


def _compare(outputs: Mapping[str, npt.NDArray[Any]], arrays: Mapping[str, Array]) -> None:
    for name, value in outputs.items():
        expected = arrays[name]
        assert isinstance(expected, PlacedArray)
        scale = max(float(np.abs(expected.values).max()), 1e-30)
        if not float(np.abs(value - expected.values).max()) <= _TOLERANCE * scale:
            raise BenchError(
                f"the one program gives another {name}, so their times cannot be compared; export "
                "the bundle again"
            )
