"""docs/ios.md, docs/android.md: names and numbers are those of the shipped default bundle."""

import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from tracenet.model import DEFAULT_CANVAS, LEVELS, load_checkpoint, shipped_checkpoint
from tracenet.model.config import FILTER_SIZE
from tracenet.options import DEFAULT_NETWORK
from tracenet_export.assemble import Assembly, assemble
from tracenet_export.programs import Program
from tracenet_export.requests import parse_schedule
from tracenet_export.schedule import captured, plan_schedule
from tracenet_runtime.engines import COMPUTE_UNITS
from tracenet_runtime.graph.schedule import ProgramCall, Schedule

CANVAS = DEFAULT_CANVAS
PREFIX = f"all_{CANVAS[0]}x{CANVAS[1]}_"
DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module", params=["ios", "android"])
def device(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def page(device: str) -> str:
    return (DOCS / f"{device}.md").read_text()


@pytest.fixture(scope="module")
def ios() -> str:
    return (DOCS / "ios.md").read_text()


@pytest.fixture(scope="module")
def android() -> str:
    return (DOCS / "android.md").read_text()


@pytest.fixture(scope="module")
def assembly() -> Assembly:
    network = load_checkpoint(shipped_checkpoint(DEFAULT_NETWORK))
    return assemble([plan_schedule(captured(network), parse_schedule("all", CANVAS))])


@pytest.fixture(scope="module")
def schedule(assembly: Assembly) -> Schedule:
    return assembly.schedules[0]


@pytest.fixture(scope="module")
def query(schedule: Schedule) -> tuple[ProgramCall, ...]:
    (phase,) = (phase for phase in schedule.graph.phases if phase.when == "tap")
    return phase.program_calls


@pytest.fixture(scope="module")
def programs(assembly: Assembly) -> dict[str, Program]:
    return {program.name: program for program in assembly.programs}


def laid_out(shape: Sequence[int], device: str) -> list[int]:
    """1 x C x H x W in the order of the device's tensors."""
    return [shape[axis] for axis in ((0, 2, 3, 1) if device == "android" else (0, 1, 2, 3))]


def by(sizes: Sequence[int | str]) -> str:
    return " x ".join(map(str, sizes))


def table(page: str, header: str) -> list[str]:
    """The rows of the table whose header begins so."""
    lines = page.split("\n")
    first = next(i for i, line in enumerate(lines) if line.startswith(f"| {header} "))
    last = next(i for i in range(first, len(lines)) if not lines[i].startswith("|"))
    return lines[first + 2 : last]


def numbers(program: Program) -> int:
    return sum(math.prod(output.shape) for output in program.outputs)


def test_sizes(page: str, assembly: Assembly, schedule: Schedule) -> None:
    rows, entries = len(schedule.rows), CANVAS[0] // LEVELS[0].stride
    assert f"| {rows} rows of {entries} int32, {4 * rows * entries} bytes" in page
    assert f"of P3: {LEVELS[0].stride} canvas pixels, {entries} x {entries} of them" in page
    assert f"`table[{entries} * row + cell]`" in page
    assert f"at least {assembly.meaning.reach_slack} times" in page
    assert f"the filter, {FILTER_SIZE} numbers" in page
    assert schedule.key_stride == LEVELS[0].stride
    assert schedule.canvas == CANVAS
    # "it serves one canvas"
    for served, side in zip((schedule.serves.height, schedule.serves.width), CANVAS, strict=True):
        assert (served.least, served.most) == (side, side)


def test_levels(page: str) -> None:
    assert table(page, "level") == [
        f"| {level.name} | {level.stride} | {level.size_of_interest} "
        f"| {by([side // level.stride for side in CANVAS])} | "
        + ", ".join(f"`{level.output(kind)}`" for kind in ("score", "box", "filter"))
        + " |"
        for level in LEVELS
    ]


def test_query(
    page: str, device: str, query: tuple[ProgramCall, ...], programs: dict[str, Program]
) -> None:
    wanted = []
    for index, call in enumerate(query, 1):
        shapes = {
            tensor.name: by(laid_out(tensor.shape, device)[1:])
            for tensor in programs[call.program].inputs
        }
        inputs = [f"`{w.name}` {shapes[w.name]} of `{w.array}`, step {w.step}" for w in call.inputs]
        wanted.append(
            f"| {index} | `{call.program}` | {call.origin_y}, {call.origin_x} "
            f"| {'; '.join(inputs)} | {len(call.outputs)} |"
        )
    assert table(page, "call") == wanted
    names = [call.program for call in query]
    kind = "signatures" if device == "android" else "programs"
    assert f"{len(set(names))} {kind} in {len(wanted)} calls" in page
    twice = sorted(name for name in set(names) if names.count(name) == 2)
    assert len(twice) == len(names) - len(set(names)) == 2
    if device == "android":
        assert f"`{twice[0]}` and `{twice[1]}` run twice in a tap" in page


def test_what_is_said_of_the_calls(
    ios: str, schedule: Schedule, query: tuple[ProgramCall, ...]
) -> None:
    """Which outputs do not depend on the tap, and which calls wait for which."""
    starts = schedule.starts(*CANVAS)
    for row in (query[0].origin_y, query[0].origin_x):
        assert not starts[row].any()
    maker = {name: number for number, call in enumerate(query, 1) for name in call.makes}
    waits = [{maker.get(name) for name in call.reads} for call in query]
    assert waits == [{None}, {1}, {1}, {1}, {2}, {3}]
    assert query[1].program == query[2].program
    assert query[4].program == query[5].program
    text = " ".join(ios.split())
    assert "Calls 2, 3 and 4 wait for call 1 only, call 5 for call 2 as well" in text
    assert "and call 6 for call 3. Calls 2 and 3, and calls 5 and 6, one model each" in text


def test_mask_windows(page: str, schedule: Schedule) -> None:
    wanted = []
    for phase in schedule.graph.windows:
        *calls, head = phase.program_calls
        names = [f"`{call.program.removeprefix(PREFIX)}`" for call in calls]
        features, mask = head.inputs[0], head.outputs[0]
        wanted.append(
            f"| `{phase.name}` | {phase.reach or 'all'} | {', '.join(names)} "
            f"| `{head.program}` | {by([features.height, features.width])} "
            f"| {by([mask.height, mask.width])} |"
        )
    assert table(page, "window") == wanted


def test_mask_head(
    page: str, device: str, programs: dict[str, Program], assembly: Assembly
) -> None:
    assert f"`{assembly.meaning.feature_stride} * (start + 0.5)`" in page
    rows = {row.split("|")[1].strip(): row.split("|")[2].strip() for row in table(page, "tensor")}
    for height, width in ((34, 34), (66, 66)):
        program = programs[f"mask_head_{height}x{width}"]
        shapes = {f"`{v.name}`": by(laid_out(v.shape, device)) for v in program.inputs}
        shapes |= {f"`{v.name}` (output)": by(laid_out(v.shape, device)) for v in program.outputs}
        letters = {"2h": 2 * height, "2w": 2 * width, "h": height, "w": width}
        found = {
            name: by([letters.get(side, side) for side in shape.split(" x ")])
            for name, shape in rows.items()
        }
        assert found == shapes


def test_memory(
    page: str, schedule: Schedule, query: tuple[ProgramCall, ...], programs: dict[str, Program]
) -> None:
    kept = numbers(programs[f"{PREFIX}query_0"])
    assert f"`{PREFIX}query_0` are {kept} numbers, {4 * kept / 2**20:.1f} MiB" in page
    others = sum(numbers(programs[call.program]) for call in query[1:])
    assert f"The other calls of the query give {4 * others / 2**20:.1f} MiB" in " ".join(
        page.split()
    )
    most = max(
        sum(numbers(programs[call.program]) for call in phase.program_calls[:-1])
        for phase in schedule.graph.windows
    )
    assert f"give at most {4 * most / 2**20:.1f} MiB more" in page.replace("\n  ", " ")
    assert f"The image is {4 * 3 * math.prod(CANVAS) / 2**20:.1f} MiB" in page


def test_programs_of_ios(ios: str, assembly: Assembly) -> None:
    assert f"| {len(assembly.programs)} packages `programs/<name>.mlpackage`" in ios


def test_programs_of_android(android: str, assembly: Assembly) -> None:
    assert f"with {len(assembly.programs)} signatures" in android
    assert f"as a tensor 1 x {CANVAS[0]} x {CANVAS[1]} x 3" in android


def test_names_of_compute_units(ios: str) -> None:
    names = [row.split("|")[2].strip() for row in table(ios, "`computeUnits`")]
    assert names == [f"`{name}`" for name in COMPUTE_UNITS]


def test_what_was_checked_is_said(ios: str, android: str) -> None:
    assert "checked by our reference executor, not run on Core ML" in " ".join(ios.split())
    assert "nothing was run on a phone" in " ".join(android.split())


def test_int8_weights_of_ios(ios: str) -> None:
    coreml = pytest.importorskip("tracenet_export.targets.coreml")
    assert f"those with more than {coreml.LARGE_WEIGHT} numbers: int8" in ios
