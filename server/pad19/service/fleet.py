"""Which workers there should be: generations that start, serve and drain.

Decides only; processes, clocks and sockets are its owner's. A generation serves one configuration.
Its first worker, the pilot, starts alone: what it cannot load or make, nobody can, and the
certificates that it makes are there for the others. When all are ready the generation before it
drains. When one cannot be made ready, it ends as if it had never been; so it does when another one is
wanted in its place.

A worker that dies is replaced at once, unless too many have died of late; one that gives no sign of
life is killed, and then it has died.
"""

import logging
import math
from collections.abc import Callable, Sequence
from typing import Generic, Protocol

from .config.model import Config
from .generation import C, Generation, State, Worker
from .handover import Alive, Closed, Failed, Ready, Report, Shown
from .sockets import Bound

LOGGER = logging.getLogger("pad19.service")

SLOTS = 256  # workers alive at once; after many reloads most of them are draining
START_TIMEOUT = 60.0  # seconds until a worker must be ready
SILENCE = 10.0  # seconds without a sign of life; they come every second
STOP_MARGIN = 5.0  # seconds that a stop takes beyond the grace period, at most: the last lines of the log
LEAVE_TIMEOUT = 2.0  # seconds for the workers of an old generation to stop taking connections
FAIR_START = 2.0  # seconds that a generation has to become ready, though another one is wanted already
ABORT_MARGIN = 1.0  # seconds for the last words of a worker that is told to abort


class Owner(Protocol[C]):
    """Whom a fleet tells what has become of a generation."""

    def open(self, generation: Generation[C]) -> Sequence[str]:
        """All of it is ready: let clients in. One sentence for each reason why that cannot be."""

    def promoted(self, generation: Generation[C], before: Generation[C] | None) -> None:
        """It serves, and the one before it does not."""

    def settled(self, generation: Generation[C]) -> None:
        """Nobody but its workers takes connections any more."""

    def abandoned(self, generation: Generation[C], problems: Sequence[str]) -> None:
        """It will not serve. One sentence each; none if another one is wanted in its place."""


Start = Callable[[Generation[C], int, int], C]  # generation, number, slot; may raise OSError


class Fleet(Generic[C]):
    """All workers. Each method is told of one event; `tick` of the time that has passed."""

    def __init__(self, start: Start[C], owner: Owner[C], clock: Callable[[], float]) -> None:
        self._start = start
        self._owner = owner
        self._clock = clock
        self._count = 0
        self._ticked = clock()
        self.workers: list[Worker[C]] = []  # all that live
        self.current: Generation[C] | None = None
        self.coming: Generation[C] | None = None
        self._leaving: set[Worker[C]] = set()  # of the one before, and still taking connections
        self._settled_by = math.inf
        self._dropped: set[Worker[C]] = set()  # of one that will not serve: they may have its sockets still
        self._fair_start = FAIR_START
        self.replaced = 0  # workers that died while they should have served
        self.stopping = False

    @property
    def is_done(self) -> bool:
        """Whether there is nothing left to wait for."""
        return self.stopping and not self.workers

    @property
    def is_changing(self) -> bool:
        """Whether one generation takes over from another, or has failed to and is not gone yet."""
        return self.coming is not None or bool(self._leaving) or bool(self._dropped)

    def has_room(self, size: int) -> bool:
        """Whether a generation of so many workers can begin, and each of the living be replaced."""
        return not self.is_changing and len(self.workers) + 2 * size <= SLOTS

    def begin(self, config: Config, sockets: tuple[Bound, ...], size: int) -> None:
        """Start a generation; `Owner` is told what becomes of it."""
        self._count += 1
        self.coming = Generation(self._count, config, sockets, size, self._clock())
        self._launch(self.coming, 0)

    def reported(self, worker: Worker[C], report: Report) -> None:
        """A worker has said something."""
        worker.heard = self._clock()
        match report:
            case Alive():
                return
            case Closed():
                self._left(worker)
            case Failed(problems, files):
                worker.problems = problems
                worker.generation.has_read(files)
                worker.generation.is_to_blame = True
            case Ready(certificates, files, problems):
                worker.lacks = problems
                worker.generation.has_read(files)
                _tell(worker.generation.news(problems))
                self._ready(worker, certificates)

    def ended(self, worker: Worker[C], status: int) -> None:
        """A worker is no more. ``status``: as `subprocess` has it."""
        self.workers.remove(worker)
        generation = worker.generation
        self._left(worker)
        if worker.state is State.DRAINING:
            return
        del generation.workers[worker.number]
        problems = worker.problems or (f"a worker (process {worker.child.pid}) {_how(status)}",)
        if generation is self.coming:
            self._abandon(problems)
        elif not self.stopping:
            # The next one will not be ready for the same reason.
            _tell(generation.news(problems) if worker.state is State.STARTING else problems)
            self._replace(generation, worker.number)

    def make_way(self) -> None:
        """Another generation is wanted. The one that is coming ends, if it has had its time.

        That is twice as long for each in a row, so that in a storm of wishes one of them comes to serve.
        """
        if not self.coming or not self.current or self._clock() < self.coming.began + self._fair_start:
            return
        self._fair_start *= 2
        self._end_coming(())

    def tick(self) -> None:
        """Do what is due by now. To be called at least every second."""
        now = self._clock()
        late = now - self._ticked
        self._ticked = now
        if late > SILENCE / 2:  # the machine slept, or we were stopped: nobody's silence counts
            for worker in self.workers:
                worker.heard = min(worker.heard + late, now)
        for worker in [*self.workers]:
            self._look_after(worker, now)
        if self._leaving and now >= self._settled_by:
            self._settle()
        if self.current and not self.stopping:
            for number in self.current.restarts.take_due(now):
                self._launch(self.current, number)

    def stop(self) -> None:
        """Let everything come to its end."""
        self.stopping = True
        if self.coming:
            self._abandon(("pad19 is stopping",))
        for worker in self.workers:
            self._drain(worker)

    def hurry(self) -> None:
        """Let it come to its end at once."""
        for worker in self.workers:
            worker.deadline = min(worker.deadline, self._clock() + STOP_MARGIN)
            worker.child.hurry()

    def reopen_logs(self) -> None:
        """Have the logs go on in new files. Who is only starting opens the new ones anyway."""
        for worker in self.workers:
            if worker.state is not State.STARTING:
                worker.child.reopen_log()

    def _launch(self, generation: Generation[C], number: int) -> None:
        slot = min({*range(SLOTS)} - {worker.slot for worker in self.workers})
        try:
            child = self._start(generation, number, slot)
        except OSError as error:
            problem = f"a worker cannot be started ({error.strerror})"
            if generation is self.coming:
                self._abandon((problem,))
            else:
                LOGGER.error("%s", problem)  # noqa: TRY400 - the operator's business, not a bug
                self._replace(generation, number)
            return
        now = self._clock()
        worker = Worker(child, generation, number, slot, started=now, heard=now)
        generation.workers[number] = worker
        self.workers.append(worker)

    def _ready(self, worker: Worker[C], certificates: tuple[Shown, ...]) -> None:
        if worker.state is State.DRAINING:  # it did not know yet, and may have connections
            worker.deadline = self._clock() + worker.generation.config.limits.grace_s + STOP_MARGIN
        if worker.state is not State.STARTING:
            return
        worker.state = State.READY
        generation = worker.generation
        if worker.number == 0:  # who makes what is missing; all others show the same
            generation.certificates = certificates
        if generation is not self.coming:
            return
        for number in range(1, generation.size) if worker.number == 0 else ():
            if self.coming is generation:  # else one of them could not be started
                self._launch(generation, number)
        states = [each.state for each in generation.workers.values()]
        if self.coming is generation and states == [State.READY] * generation.size:
            if problems := self._owner.open(generation):
                self._abandon(problems)
            else:
                self._promote(generation)

    def _promote(self, generation: Generation[C]) -> None:
        before, self.current, self.coming = self.current, generation, None
        self._fair_start = FAIR_START
        if before:
            before.restarts.cancel()
            self._leaving = {worker for worker in before.workers.values() if worker.state is State.READY}
            self._settled_by = self._clock() + LEAVE_TIMEOUT
            for worker in before.workers.values():
                self._drain(worker)
        self._owner.promoted(generation, before)
        if not self._leaving:
            self._settle()

    def _left(self, worker: Worker[C]) -> None:
        self._dropped.discard(worker)
        if worker in self._leaving:
            self._leaving.remove(worker)
            if not self._leaving:
                self._settle()

    def _settle(self) -> None:
        self._leaving.clear()
        if self.current:
            self._owner.settled(self.current)

    def _abandon(self, problems: Sequence[str]) -> None:
        self._fair_start = FAIR_START
        self._end_coming(problems)

    def _end_coming(self, problems: Sequence[str]) -> None:
        generation, self.coming = self.coming, None
        if generation:
            self._dropped |= {*generation.workers.values()}
            for worker in generation.workers.values():
                self._drain(worker)
            self._owner.abandoned(generation, problems)

    def _drain(self, worker: Worker[C]) -> None:
        if worker.state is State.DRAINING:
            return
        now = self._clock()
        # One that was only starting has no connections to finish, and owed us no sign of life.
        grace = worker.generation.config.limits.grace_s + STOP_MARGIN
        worker.deadline = min(
            worker.deadline, now + (STOP_MARGIN if worker.state is State.STARTING else grace)
        )
        worker.state = State.DRAINING
        worker.heard = now
        worker.child.drain()

    def _look_after(self, worker: Worker[C], now: float) -> None:
        if worker.deadline <= now:
            worker.child.kill()
        if worker.deadline <= now + ABORT_MARGIN:
            return
        limit = START_TIMEOUT if worker.state is State.STARTING else SILENCE
        if now - worker.heard < limit:
            return
        fault = "is not ready after" if worker.state is State.STARTING else "gave no sign of life for"
        worker.problems = (f"a worker (process {worker.child.pid}) {fault} {limit:g} s, so it was killed",)
        if worker.state is State.DRAINING:  # nobody waits for it any more, but for its connections
            LOGGER.error("%s", *worker.problems)
        worker.child.abort()
        worker.deadline = now + ABORT_MARGIN

    def _replace(self, generation: Generation[C], number: int) -> None:
        """Start another one, now or, after too many deaths, later."""
        self.replaced += 1
        if delay := generation.restarts.plan(number, self._clock()):
            LOGGER.error("the next worker starts in %g s, since too many have ended", delay)


def _tell(problems: Sequence[str]) -> None:
    for problem in problems:
        LOGGER.error("%s", problem)


def _how(status: int) -> str:
    if status < 0:
        import signal  # only this message needs the names

        try:
            return f"was ended by {signal.Signals(-status).name}"
        except ValueError:
            return f"was ended by signal {-status}"
    return f"ended with status {status}"
