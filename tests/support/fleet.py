"""A fleet of workers without a process, and without a second passing."""

import errno
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field

from pad19.service.config.model import Config, Limits
from pad19.service.fleet import SLOTS, Fleet
from pad19.service.generation import Generation, Worker
from pad19.service.handover import Alive, Closed, Ready, Shown

GRACE = 30.0  # seconds
SHOWN = (Shown("localhost", "sha256:00", "sha256:01", 0.0, is_new=False),)
READY = Ready(SHOWN, {"localhost.crt": (1, 2, 3, 4, 5, 6, 7)})


@dataclass(eq=False)
class FakeChild:
    """A process that does nothing but remember what it was told."""

    pid: int
    told: list[str] = field(default_factory=list)

    def drain(self) -> None:
        self.told.append("drain")

    def hurry(self) -> None:
        self.told.append("hurry")

    def reopen_log(self) -> None:
        self.told.append("reopen_log")

    def abort(self) -> None:
        self.told.append("abort")

    def kill(self) -> None:
        self.told.append("kill")


class FakeOwner:
    """Owns a fleet whose processes are fakes, and whose clock stands still."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.errors = 0  # so many processes cannot be started
        self.spare = SLOTS  # so many can, before that
        self.started: list[float] = []
        self.events: list[str] = []
        self.settlements: list[int] = []
        self.problems: list[str] = []
        self.unavailable: list[str] = []  # why a generation that is ready cannot serve
        self.fleet: Fleet[FakeChild] = Fleet(self._start, self, lambda: self.now)

    def _start(self, generation: Generation[FakeChild], number: int, slot: int) -> FakeChild:
        if self.errors and not self.spare:
            self.errors -= 1
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        self.spare -= self.errors > 0
        slots = [worker.slot for worker in self.fleet.workers]
        assert 0 <= slot < SLOTS
        assert slot not in slots
        assert number not in generation.workers
        self.started.append(self.now)
        return FakeChild(len(self.started))

    def open(self, generation: Generation[FakeChild]) -> Sequence[str]:
        return self.unavailable

    def settled(self, generation: Generation[FakeChild]) -> None:
        self.settlements.append(generation.number)

    def promoted(self, generation: Generation[FakeChild], before: Generation[FakeChild] | None) -> None:
        self.events.append(f"{generation.number} after {before.number if before else None}")

    def abandoned(self, generation: Generation[FakeChild], problems: Sequence[str]) -> None:
        self.events.append(f"{generation.number} abandoned")
        self.problems += problems

    # What tests do

    def begin(self, size: int = 1, grace: float = GRACE) -> Generation[FakeChild]:
        self.fleet.begin(Config(limits=Limits(grace_s=grace)), (), size)
        return self.fleet.workers[-1].generation

    def serve(self, size: int = 1, grace: float = GRACE, *, settled: bool = True) -> Generation[FakeChild]:
        """Begin, and have all of them be ready, and those before them take no more connections."""
        generation = self.begin(size, grace)
        for _ in range(size):
            self.fleet.reported(self.newest, READY)
            for worker in [*generation.workers.values()]:
                self.fleet.reported(worker, READY)
        assert self.fleet.current is generation
        if settled:
            for worker in [*self.fleet.workers]:
                if worker.generation is not generation:
                    self.fleet.reported(worker, Closed())
        return generation

    def pass_time(self, seconds: float, *, quiet: Sequence[Worker[FakeChild]] = ()) -> None:
        """Tick once in a second; all but ``quiet`` give their signs of life."""
        while seconds > 0:
            self.now += min(1.0, seconds)
            seconds -= 1.0
            for worker in self.fleet.workers:
                if worker not in quiet:
                    self.fleet.reported(worker, Alive())
            self.fleet.tick()

    def die(self, worker: Worker[FakeChild], status: int = -signal.SIGKILL) -> None:
        self.fleet.ended(worker, status)
        self.fleet.tick()

    @property
    def newest(self) -> Worker[FakeChild]:
        return self.fleet.workers[-1]

    @property
    def told(self) -> list[list[str]]:
        """To each of the living."""
        return [worker.child.told for worker in self.fleet.workers]
