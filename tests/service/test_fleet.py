"""Which generation serves, and which one does not."""

import signal

import pytest
from msgspec.structs import replace

from pad19.service.config.model import Config
from pad19.service.fleet import (
    ABORT_MARGIN,
    FAIR_START,
    LEAVE_TIMEOUT,
    SLOTS,
    START_TIMEOUT,
    STOP_MARGIN,
    Fleet,
)
from pad19.service.handover import Alive, Closed, Failed, Ready
from pad19.service.signature import Signatures
from support.fleet import GRACE, READY, SHOWN, FakeChild, FakeOwner

# Generations


def test_the_pilot_goes_first(owner: FakeOwner, fleet: Fleet[FakeChild]) -> None:
    generation = owner.begin(3)
    assert [worker.number for worker in fleet.workers] == [0]
    fleet.reported(fleet.workers[0], READY)
    assert [worker.number for worker in fleet.workers] == [0, 1, 2]
    fleet.reported(fleet.workers[2], READY)
    assert owner.events == []
    fleet.reported(fleet.workers[1], READY)
    assert (fleet.current, fleet.coming) == (generation, None)
    assert owner.events == ["1 after None"]
    assert (generation.certificates, generation.files) == (SHOWN, READY.files)
    assert owner.told == [[], [], []]


def test_of_a_file_that_changes_meanwhile_the_state_that_the_first_one_has_read_counts(
    owner: FakeOwner, fleet: Fleet[FakeChild]
) -> None:
    generation = owner.begin(2)
    fleet.reported(fleet.workers[0], READY)
    newer: Signatures = dict.fromkeys(READY.files, (1, 2, 4, 4, 5, 6, 7))
    fleet.reported(fleet.workers[1], Ready(SHOWN, newer | {"added.py": None}))
    assert generation.files == {**READY.files, "added.py": None}  # so the newer one is a change
    assert generation.known == set(READY.files)


def test_who_has_made_certificates_is_believed(owner: FakeOwner, fleet: Fleet[FakeChild]) -> None:
    generation = owner.begin(3)
    made = tuple(replace(shown, is_new=True) for shown in SHOWN)
    fleet.reported(fleet.workers[0], Ready(made, READY.files))
    for worker in fleet.workers[1:]:  # which find them there
        fleet.reported(worker, READY)
    assert generation is fleet.current
    assert generation.certificates == made


@pytest.mark.parametrize(("before", "after"), [(1, 1), (1, 3), (3, 1), (2, 2)])
def test_the_next_one_takes_over(owner: FakeOwner, fleet: Fleet[FakeChild], before: int, after: int) -> None:
    owner.serve(before)
    owner.serve(after)
    assert owner.events == ["1 after None", "2 after 1"]
    assert owner.told == [["drain"]] * before + [[]] * after
    for worker in fleet.workers[:before]:
        fleet.reported(worker, Alive())
        fleet.ended(worker, 0)
    fleet.tick()
    assert len(fleet.workers) == after
    assert fleet.replaced == 0


def test_one_that_nobody_can_be_let_in_to_goes(owner: FakeOwner, fleet: Fleet[FakeChild]) -> None:
    first = owner.serve()
    owner.unavailable = ["another program has the port"]
    owner.begin(2)
    fleet.reported(owner.newest, READY)
    assert owner.events == ["1 after None"]  # it is not asked for before all are ready
    fleet.reported(owner.newest, READY)
    assert owner.events == ["1 after None", "2 abandoned"]
    assert owner.problems == ["another program has the port"]
    assert (fleet.current, fleet.coming) == (first, None)
    assert owner.told == [[], ["drain"], ["drain"]]


def test_it_is_settled_when_nobody_else_takes_connections(owner: FakeOwner, fleet: Fleet[FakeChild]) -> None:
    first = owner.serve(3)
    assert owner.settlements == [1]
    old = [*first.workers.values()]
    owner.serve(settled=False)
    assert fleet.is_changing
    assert not fleet.has_room(1)
    fleet.reported(old[0], Closed())
    fleet.reported(old[0], Closed())
    owner.die(old[1])
    assert owner.settlements == [1]
    fleet.reported(old[2], Closed())
    assert owner.settlements == [1, 2]
    assert not fleet.is_changing
    fleet.reported(old[2], Closed())
    owner.die(old[0], 0)
    assert owner.settlements == [1, 2]


def test_nobody_waits_long_for_one_that_does_not_say(owner: FakeOwner, fleet: Fleet[FakeChild]) -> None:
    owner.serve()
    owner.serve(settled=False)
    owner.pass_time(LEAVE_TIMEOUT - 1)
    assert owner.settlements == [1]
    owner.pass_time(1)
    assert owner.settlements == [1, 2]
    assert not fleet.is_changing


def test_being_ready_twice_changes_nothing(owner: FakeOwner, fleet: Fleet[FakeChild]) -> None:
    owner.begin(2)
    for _ in range(3):
        fleet.reported(fleet.workers[0], READY)
    assert len(fleet.workers) == 2
    fleet.reported(fleet.workers[1], READY)
    fleet.reported(fleet.workers[1], READY)
    assert owner.events == ["1 after None"]


def test_a_pilot_that_fails_is_alone(owner: FakeOwner, fleet: Fleet[FakeChild]) -> None:
    owner.serve()
    generation = owner.begin(4)
    fleet.reported(owner.newest, Failed(("a.key is broken", "so is b.key"), {"a.key": None}))
    fleet.ended(owner.newest, 1)
    assert owner.events == ["1 after None", "2 abandoned"]
    assert owner.problems == ["a.key is broken", "so is b.key"]
    assert generation.files == {"a.key": None}
    assert owner.told == [[]]
    assert fleet.has_room(4)


@pytest.mark.parametrize("was_ready", [False, True])
def test_a_second_worker_that_fails_takes_the_first_one_with_it(
    owner: FakeOwner, fleet: Fleet[FakeChild], was_ready: bool
) -> None:
    owner.serve()
    owner.begin(3)
    fleet.reported(owner.newest, READY)
    _, pilot, second, third = fleet.workers
    if was_ready:
        fleet.reported(second, READY)
    fleet.ended(second, -signal.SIGSEGV)
    assert owner.problems == [f"a worker (process {second.child.pid}) was ended by SIGSEGV"]
    assert owner.told == [[], ["drain"], ["drain"]]
    fleet.reported(third, READY)  # too late
    fleet.ended(third, -signal.SIGTERM)
    fleet.ended(pilot, 0)
    assert owner.events == ["1 after None", "2 abandoned"]
    assert fleet.current
    assert fleet.current.number == 1


def test_a_pilot_that_dies_while_others_start_takes_them_with_it(
    owner: FakeOwner, fleet: Fleet[FakeChild]
) -> None:
    owner.begin(2)
    fleet.reported(owner.newest, READY)
    fleet.ended(fleet.workers[0], 3)
    assert owner.problems == ["a worker (process 1) ended with status 3"]
    assert owner.told == [["drain"]]


def test_who_is_not_ready_in_time_is_killed(owner: FakeOwner, fleet: Fleet[FakeChild]) -> None:
    owner.begin()
    worker = owner.newest
    owner.pass_time(START_TIMEOUT - 1, quiet=[worker])
    assert worker.child.told == []
    owner.pass_time(1, quiet=[worker])
    assert worker.child.told == ["abort"]
    owner.pass_time(ABORT_MARGIN, quiet=[worker])
    assert worker.child.told == ["abort", "kill"]
    owner.die(worker)
    assert owner.events == ["1 abandoned"]
    assert owner.problems == ["a worker (process 1) is not ready after 60 s, so it was killed"]


STATUSES = [  # exit status, what is said of it
    (0, "ended with status 0"),
    (1, "ended with status 1"),
    (-signal.SIGKILL, "was ended by SIGKILL"),
    (-63, "was ended by signal 63"),  # real-time signals have no names
]


@pytest.mark.parametrize(("status", "said"), STATUSES)
def test_what_is_said_of_an_end(
    owner: FakeOwner,
    fleet: Fleet[FakeChild],
    caplog: pytest.LogCaptureFixture,
    status: int,
    said: str,
) -> None:
    owner.serve()
    fleet.ended(owner.newest, status)
    assert caplog.messages == [f"a worker (process 1) {said}"]


# When the system has nothing left


def test_no_pilot_to_be_had(owner: FakeOwner, fleet: Fleet[FakeChild]) -> None:
    owner.errors, owner.spare = 1, 0
    fleet.begin(Config(), (), 2)
    assert owner.events == ["1 abandoned"]
    assert owner.problems == ["a worker cannot be started (Resource temporarily unavailable)"]
    assert fleet.workers == []


def test_no_second_worker_to_be_had(owner: FakeOwner, fleet: Fleet[FakeChild]) -> None:
    owner.errors, owner.spare = 1, 2
    owner.begin(4)
    fleet.reported(owner.newest, READY)
    assert owner.events == ["1 abandoned"]
    assert len(fleet.workers) == 2  # the third could not be, so the fourth was not tried
    assert owner.told == [["drain"], ["drain"]]


def test_no_replacement_to_be_had_is_tried_again(
    owner: FakeOwner, fleet: Fleet[FakeChild], caplog: pytest.LogCaptureFixture
) -> None:
    owner.serve()
    owner.errors, owner.spare = 2, 0
    owner.die(owner.newest)
    assert fleet.workers == []
    fleet.tick()
    assert fleet.workers == []
    fleet.tick()
    assert [worker.number for worker in fleet.workers] == [0]
    assert caplog.messages == [
        "a worker (process 1) was ended by SIGKILL",
        *["a worker cannot be started (Resource temporarily unavailable)"] * 2,
    ]


# Room


def test_room_for_a_reload(owner: FakeOwner, fleet: Fleet[FakeChild]) -> None:
    assert fleet.has_room(64)
    generation = owner.begin(64)
    assert not fleet.has_room(1)  # one at a time
    for _ in range(2):
        for worker in [*generation.workers.values()]:
            fleet.reported(worker, READY)
    for _ in range(2):
        assert fleet.has_room(64)
        owner.serve(64)
    assert len(fleet.workers) == 192
    assert not fleet.has_room(64)  # else some that die could not be replaced
    assert fleet.has_room(32)
    for worker in fleet.workers[:64]:
        fleet.ended(worker, 0)
    assert fleet.has_room(64)


def test_slots_are_used_again(owner: FakeOwner, fleet: Fleet[FakeChild]) -> None:
    for _ in range(3 * SLOTS):
        owner.serve(2)
        for worker in fleet.workers[:-2]:
            fleet.ended(worker, 0)
    assert {worker.slot for worker in fleet.workers} <= {0, 1, 2, 3}


# Logs


def test_logs_are_reopened_by_whoever_has_one(owner: FakeOwner, fleet: Fleet[FakeChild]) -> None:
    owner.serve()
    owner.serve()
    owner.begin()
    fleet.reopen_logs()
    assert owner.told == [["drain", "reopen_log"], ["reopen_log"], []]


# When another generation is wanted in the place of the one that is coming


def test_one_that_has_had_its_time_makes_way(owner: FakeOwner, fleet: Fleet[FakeChild]) -> None:
    owner.serve()
    owner.begin(2)
    fleet.reported(owner.newest, READY)
    ready, hung = fleet.workers[1:]
    fleet.make_way()
    owner.pass_time(FAIR_START - 1, quiet=[hung])
    fleet.make_way()
    assert owner.events == ["1 after None"]
    owner.pass_time(1, quiet=[hung])
    fleet.make_way()
    assert (owner.events, owner.problems) == (["1 after None", "2 abandoned"], [])
    assert owner.told == [[], ["drain"], ["drain"]]
    assert not fleet.has_room(1)  # both may have its sockets still
    fleet.reported(ready, Closed())
    assert not fleet.has_room(1)
    owner.pass_time(STOP_MARGIN, quiet=[hung])
    assert owner.told == [[], ["drain"], ["drain", "kill"]]
    owner.die(hung)
    assert fleet.has_room(1)
    assert fleet.replaced == 0
    owner.serve()
    assert owner.events[2:] == ["3 after 1"]


def test_the_first_one_makes_way_for_nobody(owner: FakeOwner, fleet: Fleet[FakeChild]) -> None:
    owner.begin()
    owner.pass_time(START_TIMEOUT - 1)
    fleet.make_way()
    assert owner.events == []
    assert owner.told == [[]]


def test_in_a_storm_of_wishes_a_slow_one_comes_to_serve(owner: FakeOwner, fleet: Fleet[FakeChild]) -> None:
    takes = 10 * FAIR_START
    owner.serve()
    for _ in range(2):
        served = fleet.current
        times = []
        while fleet.current is served:
            generation = owner.begin()
            worker = owner.newest
            begun = owner.now
            while fleet.coming is generation:
                owner.pass_time(0.5)
                fleet.make_way()
                if owner.now == begun + takes:
                    fleet.reported(worker, READY)
            times.append(owner.now - begun)
            for drained in [each for each in fleet.workers if each.child.told]:
                owner.die(drained)
        assert times == [FAIR_START, 2 * FAIR_START, 4 * FAIR_START, 8 * FAIR_START, takes]


def test_one_that_became_ready_just_before_has_its_connections(
    owner: FakeOwner, fleet: Fleet[FakeChild]
) -> None:
    owner.serve()
    owner.begin()
    worker = owner.newest
    owner.pass_time(FAIR_START)
    fleet.make_way()
    fleet.reported(worker, READY)
    owner.pass_time(GRACE)
    assert worker.child.told == ["drain"]
    owner.pass_time(STOP_MARGIN)
    assert "kill" in worker.child.told


def test_a_failed_one_is_waited_for_as_well(owner: FakeOwner, fleet: Fleet[FakeChild]) -> None:
    """Before the next one binds the same address."""
    owner.serve()
    owner.begin(3)
    fleet.reported(owner.newest, READY)
    _, pilot, second, third = fleet.workers
    fleet.ended(second, 1)
    assert not fleet.has_room(3)
    fleet.reported(pilot, Closed())
    fleet.ended(third, -signal.SIGTERM)
    assert fleet.has_room(3)


@pytest.mark.parametrize("tells", [False, True])
def test_whose_fault_it_is(owner: FakeOwner, fleet: Fleet[FakeChild], tells: bool) -> None:
    generation = owner.begin()
    if tells:
        fleet.reported(owner.newest, Failed(("a.key is broken",), {}))
    fleet.ended(owner.newest, 1)
    assert generation.is_to_blame is tells
