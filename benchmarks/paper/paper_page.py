"""The paper's table as Markdown: counts beside the paper's, times over FullNet's, and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from paper_counts import NetworkCounts, Size
from paper_windows import TimedForm
from tracenet_bench.report.conditions import conditions_sentence, environment_table
from tracenet_bench.report.markdown import escape, noise_warning, table_markdown
from tracenet_bench.report.schema import Report
from tracenet_bench.report.tables import Row, Table
from tracenet_bench.report.texts import NONE, number, percent, printable, with_interval


@dataclass(frozen=True)
class PaperFigures:
    """What the paper's Table 3 has for a network, in G multiply-adds."""

    fullnet: float
    tracenet: float


PAPER = {"r50-fpn": PaperFigures(86.67, 34.47), "r101-fpn": PaperFigures(118.28, 66.67)}
"""Table 3 of arXiv 2406.14874."""


@dataclass(frozen=True)
class PaperTable:
    """All that the page says.

    Attributes:
        canvas: height and width.
        counts: by network.
        windows: fixed windows over FullNet, on ONNX Runtime.
        regions: exact regions over FullNet, in PyTorch.
        report: of the fixed windows; its noise verdict is over everything that was timed.
    """

    canvas: Size
    counts: tuple[NetworkCounts, ...]
    windows: tuple[TimedForm, ...]
    regions: tuple[TimedForm, ...]
    report: Report


def paper_page(table: PaperTable) -> str:
    """The page, in GitHub's Markdown."""
    report = table.report
    command = printable(" ".join(report.command))
    parts = [
        "# The paper's Table 3",
        "TraceNet ([arXiv 2406.14874](https://arxiv.org/abs/2406.14874)) reports what a tap costs "
        "with R-50 and R-101 trunks, beside FullNet, the same network computed whole. This page "
        f"is written by `{command}`; another machine has its own.",
        "## Multiply-adds",
        table_markdown(counts_table(table.counts)),
        _counts_notes(table),
        "## Time",
        "A tap over FullNet on the same engine and threads, timed in turn. Times on different "
        "machines are not comparable, so neither the paper's nor ours stand here, only these "
        "ratios: below 1 is faster for latency, above 1 for throughput.",
        *noise_warning(report),
        "### Fixed windows",
        f"ONNX Runtime, fp32, from photo to mask, each configuration in a process of its own. "
        f"{_WINDOWS_NOTE}",
        table_markdown(times_table(table.windows)),
        "### Exact regions",
        _REGIONS_NOTE,
        table_markdown(times_table(table.regions)),
        "## What differs from the paper, and why",
        _bullets(_differences(table)),
        "## Conditions",
        escape(conditions_sentence(report)),
        table_markdown(environment_table(report)),
    ]
    return "\n\n".join(parts) + "\n"


def counts_table(counts: Iterable[NetworkCounts]) -> Table:
    """Multiply-adds, with the paper's beside those that it has a figure for."""
    rows = []
    for it in counts:
        paper = PAPER.get(it.network)
        of_fullnet, of_tap = ((NONE, NONE),) * 2
        if paper is not None:
            of_fullnet = (_giga(1e9 * paper.fullnet), NONE)
            of_tap = (_giga(1e9 * paper.tracenet), _saved(paper.tracenet, paper.fullnet))
        rows.append(Row(it.network, ("FullNet", _giga(it.fullnet), NONE, *of_fullnet)))
        rows += [
            Row(it.network, (f"{kind}, {form}", _giga(macs), _saved(macs, it.fullnet), *beside))
            for kind, forms, beside in (
                ("exact regions", it.regions, of_tap),
                ("fixed windows", it.windows, (NONE, NONE)),
            )
            for form, macs in forms.items()
        ]
    return Table(
        ("network", "what is computed", "G", "saved", "paper, G", "paper, saved"), tuple(rows)
    )


def times_table(forms: Iterable[TimedForm]) -> Table:
    """Latency and throughput over FullNet's."""
    forms = tuple(forms)
    columns = ["network", "a tap", "latency", "throughput", "multiply-adds"]
    traced = any(it.tracing is not None for it in forms)
    if traced:
        columns.append("of it finding regions")
    rows = []
    for it in forms:
        cells = (
            it.form,
            with_interval(it.latency, it.interval),
            number(it.throughput),
            number(it.macs),
            *((percent(it.tracing),) if traced else ()),
        )
        rows.append(Row(it.network, cells))
    return Table(tuple(columns), tuple(rows))


_WINDOWS_NOTE = (
    "Intervals are at 95 %. `all` takes the smallest of its mask windows that holds the predicted "
    "box; the weights are random, so which one that is says nothing, and the column of "
    "multiply-adds has what the timed taps did."
)

_REGIONS_NOTE = (
    "The paper's own form: every layer computes just what the tap needs of it, in PyTorch, fp32. "
    "A tap finds its regions, which is Python, and computes them; FullNet is the module called as "
    "it is. Both begin with the picture as a tensor and end before the mask head. The rows with "
    "everything have the whole network computed in the same way, layer by layer: above 1 is what "
    "finding, cutting and padding cost where they save nothing."
)


def _counts_notes(table: PaperTable) -> str:
    height, width = table.canvas
    by_torch = ", ".join(f"{it.network} {_giga(it.fullnet_by_torch)}" for it in table.counts)
    return (
        f"In G (10^9) multiply-adds of convolutions and matrix products on a canvas of {height} x "
        f"{width}, as `tracenet-trace` counts them, without the mask head (under 0.01 G). "
        f"PyTorch's own counter, `torch.utils.flop_counter`, finds for FullNet: {by_torch}. "
        "Saved: of FullNet. Exact regions are the mean over taps on a 16 px grid of the whole "
        "canvas; fixed windows cost the same for every tap."
    )


def _differences(table: PaperTable) -> Sequence[str]:
    height, width = table.canvas
    return (
        f"**Canvas.** {height} x {width}, at about which the paper's counts come out."
        + _trunk_sentence(table.counts),
        "**Network.** Heads are two towers of four 3x3 convolutions of 256 channels; the mask "
        "branch is as in CondInst: a 3x3 convolution to 128 channels on each of P3, P4 and P5, "
        "and four more on their sum. FullNet's total depends on both.",
        "**What a tap asks.** The paper's figure fits two readings: the cells of P3-P5 with the "
        "mask features up to 256 px from the tap, or those of all five levels with hardly any "
        "mask features. Both are above, and the share that each saves is near the paper's.",
        "**Which taps.** Ours are uniform over the canvas; near its border, regions are clipped.",
        "**Fixed windows.** Phones' accelerators want static shapes, so what is exported has one "
        "size of window for all taps, and that has to fit the worst one. Hence it costs more than "
        "the mean of exact regions.",
        "**Mask window.** An exported `all` has several and takes the smallest that holds the "
        "predicted box, so its cost depends on the thing; the table has all of them.",
        "**Time.** It need not fall as multiply-adds do: what a tap saves is most of the heads, "
        "large convolutions with much arithmetic to each number that they read; what it keeps is "
        "most of the trunk, which has less.",
    )


def _trunk_sentence(counts: Sequence[NetworkCounts]) -> str:
    """What the deeper trunk adds, which no head or mask branch is in."""
    ours = {it.network: it.fullnet / 1e9 for it in counts}
    if not PAPER.keys() <= ours.keys():
        return ""
    small, large = (PAPER[name].fullnet for name in PAPER)
    paper, here = large - small, ours["r101-fpn"] - ours["r50-fpn"]
    return (
        f" What R-101 has over R-50, blocks of the trunk alone, is {here:.2f} G here and "
        f"{paper:.2f} G there, {paper / here:.2f} times as much: its canvas is larger by that, or "
        "its count has more in it."
    )


def _bullets(texts: Iterable[str]) -> str:
    return "\n".join(f"- {text}" for text in texts)


def _giga(macs: float) -> str:
    return f"{macs / 1e9:.2f}"


def _saved(macs: float, fullnet: float) -> str:
    """Share of FullNet's."""
    return f"{100 * (1 - macs / fullnet):.1f} %"
