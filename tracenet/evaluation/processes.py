"""One evaluation over several processes and hosts, as ``accelerate launch`` or
``torchrun`` starts them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, TypeVar

_Item = TypeVar("_Item")

_COUNTS = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
"""Where torchrun and the kinds of mpirun, which accelerate may use, say how many there are."""

_PATIENCE = timedelta(days=7)
"""How long processes wait for the slowest."""


class Processes:
    """This process among those of the evaluation; alone unless a launcher says otherwise."""

    def __init__(self) -> None:
        self.count, self.index = 1, 0
        self._state: Any = None
        if any(int(os.environ.get(name) or 1) > 1 for name in _COUNTS):
            # Only here: accelerate takes a while to import.
            from accelerate import PartialState

            self._state = PartialState(cpu=True, timeout=_PATIENCE)
            self.count, self.index = self._state.num_processes, self._state.process_index

    @property
    def is_main(self) -> bool:
        """This process prints and writes the results."""
        return self.index == 0

    def share(self, photos: int) -> range:
        """The photos of this process, by index: every count-th."""
        return range(self.index, photos, self.count)

    def wait(self) -> None:
        """Go on when all have come here."""
        if self._state is not None:
            self._state.wait_for_everyone()

    def gather(self, items: Sequence[_Item]) -> list[_Item]:
        """The items of all processes, in every process."""
        if self._state is None:
            return list(items)
        from accelerate.utils import gather_object

        gathered: list[_Item] = gather_object(list(items))
        return gathered

    def close(self) -> None:
        """Leave the others in good order."""
        if self._state is not None:
            self._state.destroy_process_group()
