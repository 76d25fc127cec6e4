"""The multiply-adds of FullNet and TraceNet, for the paper's table: tracenet-trace's counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tracenet_export.draft import Source
    from tracenet_export.schedule import SchedulePlan

Size = tuple[int, int]
"""Height and width."""

LEVELS = "P3-P5"
EVERY_LEVEL = "all"
FULLNET = "full"

_WINDOW = 256
"""Canvas pixels from the tap to each side: the mask window of ``LEVELS``."""


@dataclass(frozen=True, eq=False)
class PlannedNetwork:
    """A network with random weights, and its schedules.

    Attributes:
        name: of its configuration.
        source: what it is exported from.
        plans: by schedule: ``LEVELS`` with one mask window, ``EVERY_LEVEL`` with those that an
            export has by default, ``FULLNET``.
    """

    name: str
    source: Source
    plans: Mapping[str, SchedulePlan]

    @property
    def forms(self) -> dict[str, tuple[SchedulePlan, str]]:
        """Plan and mask window of the taps whose exact regions are computed, by description.

        Two readings of the paper: ``LEVELS``, and ``EVERY_LEVEL`` with its smallest mask window.
        """
        chosen = (self.plans[name] for name in (LEVELS, EVERY_LEVEL))
        forms = ((plan, next(iter(plan.windows))) for plan in chosen)
        return {_described(plan, window): (plan, window) for plan, window in forms}


@dataclass(frozen=True)
class NetworkCounts:
    """Multiply-adds of a network's convolutions and matrix products, without the mask head.

    Attributes:
        network: its name.
        fullnet: the whole network on the whole canvas.
        fullnet_by_torch: the same, counted by ``torch.utils.flop_counter``.
        regions: of exact regions, the mean over taps, by schedule and mask window.
        windows: of fixed windows, the same for every tap, likewise.
    """

    network: str
    fullnet: int
    fullnet_by_torch: int
    regions: Mapping[str, float]
    windows: Mapping[str, int]


def plan_network(name: str, canvas: Size) -> PlannedNetwork:
    """Plan a network's schedules, as ``tracenet-export --model NAME --untrained`` would."""
    from tracenet_export.exporting import open_source
    from tracenet_export.requests import parse_schedule
    from tracenet_export.schedule import captured, plan_schedule

    source = open_source(name, untrained=True)
    source.network.eval()
    graphs = captured(source.network)
    requests = (
        parse_schedule(LEVELS, canvas, (_WINDOW,)),
        parse_schedule(EVERY_LEVEL, canvas),
        parse_schedule(FULLNET, canvas),
    )
    plans = {request.name: plan_schedule(graphs, request) for request in requests}
    return PlannedNetwork(name, source, plans)


def count_network(planned: PlannedNetwork) -> NetworkCounts:
    """What FullNet costs, and a tap: with exact regions, and with fixed windows."""
    from tracenet_export.trace_report import report_costs

    regions = {
        described: report_costs(plan, window).region_macs_mean
        for described, (plan, window) in planned.forms.items()
    }
    windows = {
        _described(plan, window): report_costs(plan, window).window_macs
        for plan in (planned.plans[LEVELS], planned.plans[EVERY_LEVEL])
        for window in plan.windows
    }
    full = planned.plans[FULLNET]
    return NetworkCounts(
        network=planned.name,
        fullnet=full.plan.graph.full_macs,
        fullnet_by_torch=count_by_torch(planned.name, full.canvas),
        regions=regions,
        windows=windows,
    )


def count_by_torch(network: str, canvas: Size) -> int:
    """FullNet's multiply-adds as torch counts them while the network runs on no data."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from tracenet.model import build_network

    with torch.device("meta"):
        fullnet = build_network(network).eval()
        picture = torch.empty(1, 3, *canvas)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        fullnet(picture)
    flops: int = counter.get_total_flops()
    return flops // 2


def _described(plan: SchedulePlan, window: str) -> str:
    """``P3-P5, mask window 256 px``."""
    reach = plan.windows[window]
    return f"{plan.name}, mask window {'of the whole canvas' if reach is None else f'{reach} px'}"
