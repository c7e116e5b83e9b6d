"""What all workers and their supervisor know of each other: open connections, rates, outcomes.

Each worker writes its own part and reads the others', without locks, so that none can hold up
another one. Only the supervisor clears what a dead one has left.
"""

import os
from dataclasses import dataclass

from pad19.dispatch.limits import shared_counts
from pad19.dispatch.limits.shared_counts import SharedCounts

from .shared_memory import attach, create
from .telemetry import scoreboard
from .telemetry.scoreboard import Scoreboard, Slot


@dataclass(frozen=True, slots=True)
class Handed:
    """The memory by its descriptors, for a worker that inherits them."""

    counts: int
    scoreboard: int
    slots: int

    @property
    def descriptors(self) -> tuple[int, int]:
        """Both."""
        return self.counts, self.scoreboard

    def slot(self, number: int) -> Slot:
        """Where a worker counts what happens."""
        return Scoreboard(attach(self.scoreboard), self.slots).slot(number)

    def limits(self, slot: int, *, worker: int, workers: int) -> SharedCounts:
        """What a worker compares with limits: its connections, and those of others."""
        return SharedCounts(attach(self.counts), self.slots, slot, worker=worker, workers=workers)


class SharedState:
    """The supervisor's side."""

    def __init__(self, slots: int) -> None:
        """``slots``: workers alive at once, at most."""
        self.handed = Handed(
            create("pad19-limits", shared_counts.size(slots)),
            create("pad19-scoreboard", scoreboard.size(slots)),
            slots,
        )
        self.scoreboard = Scoreboard(attach(self.handed.scoreboard), slots)
        self._counts = attach(self.handed.counts)
        shared_counts.prepare(self._counts)

    def close(self) -> None:
        """Let go of the descriptors; workers have their own."""
        for fd in self.handed.descriptors:
            os.close(fd)

    def clear(self, slot: int) -> None:
        """Its worker has ended: its connections are gone, and what it has counted is kept."""
        self.scoreboard.retire(slot)
        shared_counts.clear(self._counts, self.handed.slots, slot)
