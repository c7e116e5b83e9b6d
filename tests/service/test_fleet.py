"""Which workers there are, without a process and without a second passing."""

import errno
import logging
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from pad19.service.config.model import Config, Limits
from pad19.service.fleet import (
    ABORT_MARGIN,
    BACK_OFF,
    DEATHS_WITHIN,
    FAIR_START,
    FREE_DEATHS,
    LEAVE_TIMEOUT,
    SILENCE,
    SLOTS,
    START_TIMEOUT,
    STOP_MARGIN,
    Fleet,
    Generation,
    Worker,
)
from pad19.service.handover import Alive, Closed, Failed, Ready, Shown

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


class Harbour:
    """A fleet with its owner, and a clock that stands still."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.errors = 0  # so many processes cannot be started
        self.spare = SLOTS  # so many can, before that
        self.started: list[float] = []
        self.events: list[str] = []
        self.settlements: list[int] = []
        self.problems: list[str] = []
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


@pytest.fixture
def harbour() -> Harbour:
    return Harbour()


@pytest.fixture
def fleet(harbour: Harbour) -> Fleet[FakeChild]:
    return harbour.fleet


@pytest.fixture(autouse=True)
def level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "pad19.service")


# Generations


def test_the_pilot_goes_first(harbour: Harbour, fleet: Fleet[FakeChild]) -> None:
    generation = harbour.begin(3)
    assert [worker.number for worker in fleet.workers] == [0]
    fleet.reported(fleet.workers[0], READY)
    assert [worker.number for worker in fleet.workers] == [0, 1, 2]
    fleet.reported(fleet.workers[2], READY)
    assert harbour.events == []
    fleet.reported(fleet.workers[1], READY)
    assert (fleet.current, fleet.coming) == (generation, None)
    assert harbour.events == ["1 after None"]
    assert (generation.certificates, generation.files) == (SHOWN, READY.files)
    assert harbour.told == [[], [], []]


@pytest.mark.parametrize(("before", "after"), [(1, 1), (1, 3), (3, 1), (2, 2)])
def test_the_next_one_takes_over(harbour: Harbour, fleet: Fleet[FakeChild], before: int, after: int) -> None:
    harbour.serve(before)
    harbour.serve(after)
    assert harbour.events == ["1 after None", "2 after 1"]
    assert harbour.told == [["drain"]] * before + [[]] * after
    for worker in fleet.workers[:before]:
        fleet.reported(worker, Alive())
        fleet.ended(worker, 0)
    fleet.tick()
    assert len(fleet.workers) == after
    assert fleet.replaced == 0


def test_it_is_settled_when_nobody_else_takes_connections(harbour: Harbour, fleet: Fleet[FakeChild]) -> None:
    first = harbour.serve(3)
    assert harbour.settlements == [1]
    old = [*first.workers.values()]
    harbour.serve(settled=False)
    assert fleet.is_changing
    assert not fleet.has_room(1)
    fleet.reported(old[0], Closed())
    fleet.reported(old[0], Closed())
    harbour.die(old[1])
    assert harbour.settlements == [1]
    fleet.reported(old[2], Closed())
    assert harbour.settlements == [1, 2]
    assert not fleet.is_changing
    fleet.reported(old[2], Closed())
    harbour.die(old[0], 0)
    assert harbour.settlements == [1, 2]


def test_nobody_waits_long_for_one_that_does_not_say(harbour: Harbour, fleet: Fleet[FakeChild]) -> None:
    harbour.serve()
    harbour.serve(settled=False)
    harbour.pass_time(LEAVE_TIMEOUT - 1)
    assert harbour.settlements == [1]
    harbour.pass_time(1)
    assert harbour.settlements == [1, 2]
    assert not fleet.is_changing


def test_being_ready_twice_changes_nothing(harbour: Harbour, fleet: Fleet[FakeChild]) -> None:
    harbour.begin(2)
    for _ in range(3):
        fleet.reported(fleet.workers[0], READY)
    assert len(fleet.workers) == 2
    fleet.reported(fleet.workers[1], READY)
    fleet.reported(fleet.workers[1], READY)
    assert harbour.events == ["1 after None"]


def test_a_pilot_that_fails_is_alone(harbour: Harbour, fleet: Fleet[FakeChild]) -> None:
    harbour.serve()
    generation = harbour.begin(4)
    fleet.reported(harbour.newest, Failed(("a.key is broken", "so is b.key"), {"a.key": None}))
    fleet.ended(harbour.newest, 1)
    assert harbour.events == ["1 after None", "2 abandoned"]
    assert harbour.problems == ["a.key is broken", "so is b.key"]
    assert generation.files == {"a.key": None}
    assert harbour.told == [[]]
    assert fleet.has_room(4)


@pytest.mark.parametrize("was_ready", [False, True])
def test_a_second_worker_that_fails_takes_the_first_one_with_it(
    harbour: Harbour, fleet: Fleet[FakeChild], was_ready: bool
) -> None:
    harbour.serve()
    harbour.begin(3)
    fleet.reported(harbour.newest, READY)
    _, pilot, second, third = fleet.workers
    if was_ready:
        fleet.reported(second, READY)
    fleet.ended(second, -signal.SIGSEGV)
    assert harbour.problems == [f"a worker (process {second.child.pid}) was ended by SIGSEGV"]
    assert harbour.told == [[], ["drain"], ["drain"]]
    fleet.reported(third, READY)  # too late
    fleet.ended(third, -signal.SIGTERM)
    fleet.ended(pilot, 0)
    assert harbour.events == ["1 after None", "2 abandoned"]
    assert fleet.current
    assert fleet.current.number == 1


def test_a_pilot_that_dies_while_others_start_takes_them_with_it(
    harbour: Harbour, fleet: Fleet[FakeChild]
) -> None:
    harbour.begin(2)
    fleet.reported(harbour.newest, READY)
    fleet.ended(fleet.workers[0], 3)
    assert harbour.problems == ["a worker (process 1) ended with status 3"]
    assert harbour.told == [["drain"]]


def test_who_is_not_ready_in_time_is_killed(harbour: Harbour, fleet: Fleet[FakeChild]) -> None:
    harbour.begin()
    worker = harbour.newest
    harbour.pass_time(START_TIMEOUT - 1, quiet=[worker])
    assert worker.child.told == []
    harbour.pass_time(1, quiet=[worker])
    assert worker.child.told == ["abort"]
    harbour.pass_time(ABORT_MARGIN, quiet=[worker])
    assert worker.child.told == ["abort", "kill"]
    harbour.die(worker)
    assert harbour.events == ["1 abandoned"]
    assert harbour.problems == ["a worker (process 1) is not ready after 60 s, so it was killed"]


STATUSES = [  # exit status, what is said of it
    (0, "ended with status 0"),
    (1, "ended with status 1"),
    (-signal.SIGKILL, "was ended by SIGKILL"),
    (-63, "was ended by signal 63"),  # real-time signals have no names
]


@pytest.mark.parametrize(("status", "said"), STATUSES)
def test_what_is_said_of_an_end(
    harbour: Harbour,
    fleet: Fleet[FakeChild],
    caplog: pytest.LogCaptureFixture,
    status: int,
    said: str,
) -> None:
    harbour.serve()
    fleet.ended(harbour.newest, status)
    assert caplog.messages == [f"a worker (process 1) {said}"]


# When the system has nothing left


def test_no_pilot_to_be_had(harbour: Harbour, fleet: Fleet[FakeChild]) -> None:
    harbour.errors, harbour.spare = 1, 0
    fleet.begin(Config(), (), 2)
    assert harbour.events == ["1 abandoned"]
    assert harbour.problems == ["a worker cannot be started (Resource temporarily unavailable)"]
    assert fleet.workers == []


def test_no_second_worker_to_be_had(harbour: Harbour, fleet: Fleet[FakeChild]) -> None:
    harbour.errors, harbour.spare = 1, 2
    harbour.begin(4)
    fleet.reported(harbour.newest, READY)
    assert harbour.events == ["1 abandoned"]
    assert len(fleet.workers) == 2  # the third could not be, so the fourth was not tried
    assert harbour.told == [["drain"], ["drain"]]


def test_no_replacement_to_be_had_is_tried_again(
    harbour: Harbour, fleet: Fleet[FakeChild], caplog: pytest.LogCaptureFixture
) -> None:
    harbour.serve()
    harbour.errors, harbour.spare = 2, 0
    harbour.die(harbour.newest)
    assert fleet.workers == []
    fleet.tick()
    assert fleet.workers == []
    fleet.tick()
    assert [worker.number for worker in fleet.workers] == [0]
    assert caplog.messages == [
        "a worker (process 1) was ended by SIGKILL",
        *["a worker cannot be started (Resource temporarily unavailable)"] * 2,
    ]


# Deaths


def test_who_dies_is_replaced_at_once(harbour: Harbour, fleet: Fleet[FakeChild]) -> None:
    generation = harbour.serve(3)
    victim = fleet.workers[1]
    harbour.die(victim)
    assert sorted(generation.workers) == [0, 1, 2]
    assert harbour.newest.number == victim.number
    assert harbour.newest.slot == victim.slot
    assert fleet.replaced == 1
    fleet.reported(harbour.newest, READY)
    assert harbour.events == ["1 after None"]  # which is news of generations only


def test_all_may_die_at_once(harbour: Harbour, fleet: Fleet[FakeChild]) -> None:
    generation = harbour.serve(4)
    for worker in [*fleet.workers]:
        fleet.ended(worker, -signal.SIGKILL)
    assert fleet.workers == []
    fleet.tick()
    assert sorted(generation.workers) == [0, 1, 2, 3]
    assert len(fleet.workers) == 4


def test_a_replacement_that_fails_says_why(
    harbour: Harbour, fleet: Fleet[FakeChild], caplog: pytest.LogCaptureFixture
) -> None:
    harbour.serve()
    harbour.die(harbour.newest)
    caplog.clear()
    fleet.reported(harbour.newest, Failed(("a.key is broken",), {}))
    harbour.die(harbour.newest, 1)
    assert caplog.messages == ["a.key is broken"]
    assert len(fleet.workers) == 1
    assert harbour.events == ["1 after None"]


@pytest.mark.parametrize("size", [1, 3])
def test_who_dies_again_and_again_waits(
    harbour: Harbour, fleet: Fleet[FakeChild], caplog: pytest.LogCaptureFixture, size: int
) -> None:
    harbour.serve(size)
    for _ in range(FREE_DEATHS * size):
        harbour.die(harbour.newest)
        assert len(fleet.workers) == size
    for delay in (0.1, 0.2, 0.4, 0.8, 1.6):
        caplog.clear()
        harbour.die(harbour.newest)
        assert len(fleet.workers) == size - 1
        assert f"the next worker starts in {delay:g} s, since too many have ended" in caplog.messages
        harbour.now += delay - 0.01
        fleet.tick()
        assert len(fleet.workers) == size - 1
        harbour.now += 0.01
        fleet.tick()
        assert len(fleet.workers) == size


def test_nobody_waits_longer_than_that(
    harbour: Harbour, fleet: Fleet[FakeChild], caplog: pytest.LogCaptureFixture
) -> None:
    harbour.serve(64)
    for _ in range(FREE_DEATHS * 64 + 40):
        victim = harbour.newest
        fleet.ended(victim, 1)
        for number in [*victim.generation.restarts]:
            victim.generation.restarts[number] = harbour.now  # somebody comes back before his time
        fleet.tick()
    assert caplog.messages[-1] == f"the next worker starts in {BACK_OFF[1]:g} s, since too many have ended"


def test_old_deaths_are_forgotten(harbour: Harbour, fleet: Fleet[FakeChild]) -> None:
    harbour.serve()
    for _ in range(10):
        for _ in range(FREE_DEATHS):
            harbour.die(harbour.newest)
            assert len(fleet.workers) == 1
        fleet.reported(harbour.newest, READY)
        harbour.pass_time(DEATHS_WITHIN + 1)


def test_a_new_generation_begins_without_them(harbour: Harbour, fleet: Fleet[FakeChild]) -> None:
    harbour.serve()
    for _ in range(FREE_DEATHS + 1):
        harbour.die(harbour.newest)
    assert fleet.workers == []
    harbour.serve()
    harbour.pass_time(2 * DEATHS_WITHIN)
    assert len(fleet.workers) == 1  # nobody comes back for the old one
    harbour.die(harbour.newest)
    assert len(fleet.workers) == 1


def test_the_old_generation_is_looked_after_until_the_new_one_is_ready(
    harbour: Harbour, fleet: Fleet[FakeChild]
) -> None:
    harbour.serve(2)
    harbour.begin()
    pilot = harbour.newest
    harbour.die(fleet.workers[0])
    assert [worker.generation.number for worker in fleet.workers] == [1, 2, 1]
    fleet.reported(pilot, READY)
    assert harbour.told == [["drain"], [], ["drain"]]  # also the one that was only starting
    fleet.ended(fleet.workers[2], -signal.SIGTERM)
    fleet.tick()
    assert len(fleet.workers) == 2
    assert fleet.replaced == 1


# Silence


def test_who_gives_no_sign_of_life_is_replaced(
    harbour: Harbour, fleet: Fleet[FakeChild], caplog: pytest.LogCaptureFixture
) -> None:
    harbour.serve(2)
    hung = fleet.workers[0]
    harbour.pass_time(SILENCE - 1, quiet=[hung])
    assert harbour.told == [[], []]
    harbour.pass_time(1, quiet=[hung])
    assert harbour.told == [["abort"], []]
    harbour.pass_time(ABORT_MARGIN, quiet=[hung])
    assert harbour.told == [["abort", "kill"], []]
    harbour.die(hung)
    assert caplog.messages == ["a worker (process 1) gave no sign of life for 10 s, so it was killed"]
    assert [worker.number for worker in fleet.workers] == [1, 0]


def test_signs_of_life_come_in_time(harbour: Harbour, fleet: Fleet[FakeChild]) -> None:
    harbour.serve(2)
    for _ in range(10):
        harbour.pass_time(SILENCE - 1, quiet=fleet.workers)
        harbour.pass_time(1)
    assert harbour.told == [[], []]


@pytest.mark.parametrize("slept", [SILENCE, 3600.0, 1e6])
@pytest.mark.parametrize("heard", [False, True])
def test_a_laptop_that_slept_kills_nobody(
    harbour: Harbour, fleet: Fleet[FakeChild], slept: float, heard: bool
) -> None:
    harbour.serve()
    worker = harbour.newest
    harbour.pass_time(SILENCE - 2, quiet=[worker])
    harbour.now += slept
    if heard:  # what it said before the sleep is read after it
        fleet.reported(worker, Alive())
    fleet.tick()
    assert worker.child.told == []
    # It counts again from here on, no more and no less than before.
    harbour.pass_time(1, quiet=[worker])
    assert worker.child.told == []
    harbour.pass_time(SILENCE, quiet=[worker])
    assert worker.child.told[0] == "abort"


# Draining and stopping


def test_who_drains_has_the_grace_period_and_a_moment(harbour: Harbour, fleet: Fleet[FakeChild]) -> None:
    harbour.serve(grace=7.0)
    old = harbour.newest
    harbour.serve(grace=1.0)
    harbour.pass_time(7.0 + STOP_MARGIN - 1)
    assert old.child.told == ["drain"]
    harbour.pass_time(1)
    assert old.child.told == ["drain", "kill"]
    harbour.die(old)
    assert len(fleet.workers) == 1
    assert fleet.replaced == 0


def test_who_hangs_while_it_drains_has_no_grace(
    harbour: Harbour, fleet: Fleet[FakeChild], caplog: pytest.LogCaptureFixture
) -> None:
    harbour.serve(grace=3600.0)
    hung = harbour.newest
    harbour.serve()
    harbour.pass_time(SILENCE, quiet=[hung])
    assert hung.child.told == ["drain", "abort"]
    harbour.pass_time(ABORT_MARGIN, quiet=[hung])
    assert hung.child.told == ["drain", "abort", "kill"]
    harbour.die(hung)
    assert caplog.messages == ["a worker (process 1) gave no sign of life for 10 s, so it was killed"]
    assert fleet.replaced == 0


def test_a_stop_waits_for_all(harbour: Harbour, fleet: Fleet[FakeChild]) -> None:
    harbour.serve(2)
    harbour.serve(1)
    harbour.begin(1)
    assert not fleet.is_done
    fleet.stop()
    fleet.stop()  # nobody is told twice
    assert harbour.told == [["drain"]] * 4
    assert harbour.events[-1] == "3 abandoned"
    while fleet.workers:
        assert not fleet.is_done
        harbour.die(harbour.newest, 0)
    assert fleet.is_done
    assert fleet.replaced == 0


def test_a_stop_ends_the_waiting_for_the_next_worker(harbour: Harbour, fleet: Fleet[FakeChild]) -> None:
    harbour.serve()
    for _ in range(FREE_DEATHS + 1):
        harbour.die(harbour.newest)
    fleet.stop()
    assert fleet.is_done
    harbour.pass_time(60)
    assert fleet.workers == []


def test_a_stop_in_a_hurry_waits_for_nobody(harbour: Harbour, fleet: Fleet[FakeChild]) -> None:
    harbour.serve(2, grace=3600.0)
    hung = fleet.workers[0]
    fleet.stop()
    fleet.hurry()
    assert harbour.told == [["drain", "hurry"]] * 2
    harbour.die(fleet.workers[1], 0)
    harbour.pass_time(STOP_MARGIN, quiet=[hung])
    assert hung.child.told[-1] == "kill"


def test_a_hung_worker_is_not_given_more_time_by_a_stop(harbour: Harbour, fleet: Fleet[FakeChild]) -> None:
    harbour.serve(grace=3600.0)
    hung = harbour.newest
    harbour.pass_time(SILENCE, quiet=[hung])
    assert hung.child.told == ["abort"]
    fleet.stop()
    harbour.pass_time(ABORT_MARGIN, quiet=[hung])
    assert hung.child.told[-1] == "kill"
    harbour.die(hung)
    assert fleet.is_done


# Room


def test_room_for_a_reload(harbour: Harbour, fleet: Fleet[FakeChild]) -> None:
    assert fleet.has_room(64)
    generation = harbour.begin(64)
    assert not fleet.has_room(1)  # one at a time
    for _ in range(2):
        for worker in [*generation.workers.values()]:
            fleet.reported(worker, READY)
    for _ in range(2):
        assert fleet.has_room(64)
        harbour.serve(64)
    assert len(fleet.workers) == 192
    assert not fleet.has_room(64)  # else some that die could not be replaced
    assert fleet.has_room(32)
    for worker in fleet.workers[:64]:
        fleet.ended(worker, 0)
    assert fleet.has_room(64)


def test_slots_are_used_again(harbour: Harbour, fleet: Fleet[FakeChild]) -> None:
    for _ in range(3 * SLOTS):
        harbour.serve(2)
        for worker in fleet.workers[:-2]:
            fleet.ended(worker, 0)
    assert {worker.slot for worker in fleet.workers} <= {0, 1, 2, 3}


# Logs


def test_logs_are_reopened_by_whoever_has_one(harbour: Harbour, fleet: Fleet[FakeChild]) -> None:
    harbour.serve()
    harbour.serve()
    harbour.begin()
    fleet.reopen_logs()
    assert harbour.told == [["drain", "reopen_log"], ["reopen_log"], []]


# When another generation is wanted in the place of the one that is coming


def test_one_that_has_had_its_time_makes_way(harbour: Harbour, fleet: Fleet[FakeChild]) -> None:
    harbour.serve()
    harbour.begin(2)
    fleet.reported(harbour.newest, READY)
    ready, hung = fleet.workers[1:]
    fleet.make_way()
    harbour.pass_time(FAIR_START - 1, quiet=[hung])
    fleet.make_way()
    assert harbour.events == ["1 after None"]
    harbour.pass_time(1, quiet=[hung])
    fleet.make_way()
    assert (harbour.events, harbour.problems) == (["1 after None", "2 abandoned"], [])
    assert harbour.told == [[], ["drain"], ["drain"]]
    assert not fleet.has_room(1)  # both may have its sockets still
    fleet.reported(ready, Closed())
    assert not fleet.has_room(1)
    harbour.pass_time(STOP_MARGIN, quiet=[hung])
    assert harbour.told == [[], ["drain"], ["drain", "kill"]]
    harbour.die(hung)
    assert fleet.has_room(1)
    assert fleet.replaced == 0
    harbour.serve()
    assert harbour.events[2:] == ["3 after 1"]


def test_the_first_one_makes_way_for_nobody(harbour: Harbour, fleet: Fleet[FakeChild]) -> None:
    harbour.begin()
    harbour.pass_time(START_TIMEOUT - 1)
    fleet.make_way()
    assert harbour.events == []
    assert harbour.told == [[]]


def test_in_a_storm_of_wishes_a_slow_one_comes_to_serve(harbour: Harbour, fleet: Fleet[FakeChild]) -> None:
    takes = 10 * FAIR_START
    harbour.serve()
    for _ in range(2):
        served = fleet.current
        times = []
        while fleet.current is served:
            generation = harbour.begin()
            worker = harbour.newest
            begun = harbour.now
            while fleet.coming is generation:
                harbour.pass_time(0.5)
                fleet.make_way()
                if harbour.now == begun + takes:
                    fleet.reported(worker, READY)
            times.append(harbour.now - begun)
            for drained in [each for each in fleet.workers if each.child.told]:
                harbour.die(drained)
        assert times == [FAIR_START, 2 * FAIR_START, 4 * FAIR_START, 8 * FAIR_START, takes]


def test_one_that_became_ready_just_before_has_its_connections(
    harbour: Harbour, fleet: Fleet[FakeChild]
) -> None:
    harbour.serve()
    harbour.begin()
    worker = harbour.newest
    harbour.pass_time(FAIR_START)
    fleet.make_way()
    fleet.reported(worker, READY)
    harbour.pass_time(GRACE)
    assert worker.child.told == ["drain"]
    harbour.pass_time(STOP_MARGIN)
    assert "kill" in worker.child.told


def test_a_failed_one_is_waited_for_as_well(harbour: Harbour, fleet: Fleet[FakeChild]) -> None:
    """Before the next one binds the same address."""
    harbour.serve()
    harbour.begin(3)
    fleet.reported(harbour.newest, READY)
    _, pilot, second, third = fleet.workers
    fleet.ended(second, 1)
    assert not fleet.has_room(3)
    fleet.reported(pilot, Closed())
    fleet.ended(third, -signal.SIGTERM)
    assert fleet.has_room(3)


@pytest.mark.parametrize("tells", [False, True])
def test_whose_fault_it_is(harbour: Harbour, fleet: Fleet[FakeChild], tells: bool) -> None:
    generation = harbour.begin()
    if tells:
        fleet.reported(harbour.newest, Failed(("a.key is broken",), {}))
    fleet.ended(harbour.newest, 1)
    assert generation.is_to_blame is tells
