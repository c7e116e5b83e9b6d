"""Workers that die, hang or drain, and who comes in their place."""

import signal

import pytest

from pad19.service.fleet import (
    ABORT_MARGIN,
    SILENCE,
    STOP_MARGIN,
    Fleet,
)
from pad19.service.handover import Alive, Failed, Ready
from pad19.service.restarts import DEATHS_WITHIN, FREE_DEATHS
from support.fleet import READY, SHOWN, FakeChild, FakeOwner

# Deaths


def test_who_dies_is_replaced_at_once(owner: FakeOwner, fleet: Fleet[FakeChild]) -> None:
    generation = owner.serve(3)
    victim = fleet.workers[1]
    owner.die(victim)
    assert sorted(generation.workers) == [0, 1, 2]
    assert owner.newest.number == victim.number
    assert owner.newest.slot == victim.slot
    assert fleet.replaced == 1
    fleet.reported(owner.newest, READY)
    assert owner.events == ["1 after None"]  # which is news of generations only


def test_all_may_die_at_once(owner: FakeOwner, fleet: Fleet[FakeChild]) -> None:
    generation = owner.serve(4)
    for worker in [*fleet.workers]:
        fleet.ended(worker, -signal.SIGKILL)
    assert fleet.workers == []
    fleet.tick()
    assert sorted(generation.workers) == [0, 1, 2, 3]
    assert len(fleet.workers) == 4


def test_a_replacement_that_fails_says_why(
    owner: FakeOwner, fleet: Fleet[FakeChild], caplog: pytest.LogCaptureFixture
) -> None:
    owner.serve()
    owner.die(owner.newest)
    caplog.clear()
    fleet.reported(owner.newest, Failed(("a.key is broken",), {}))
    owner.die(owner.newest, 1)
    assert caplog.messages == ["a.key is broken"]
    assert len(fleet.workers) == 1
    assert owner.events == ["1 after None"]


def test_it_says_so_once(owner: FakeOwner, fleet: Fleet[FakeChild], caplog: pytest.LogCaptureFixture) -> None:
    owner.serve()
    owner.die(owner.newest)
    caplog.clear()
    for _ in range(3):
        fleet.reported(owner.newest, Failed(("a.key is broken",), {}))
        owner.die(owner.newest, 1)
    assert caplog.messages == ["a.key is broken"]
    fleet.reported(owner.newest, READY)
    for _ in range(2):  # of what serves, each end is worth a word
        owner.pass_time(60)
        fleet.reported(owner.newest, READY)
        fleet.reported(owner.newest, Failed(("a lifespan failed",), {}))
        owner.die(owner.newest, 1)
    assert caplog.messages[1:] == ["a lifespan failed"] * 2


def test_what_a_replacement_does_without_is_told_once(
    owner: FakeOwner, fleet: Fleet[FakeChild], caplog: pytest.LogCaptureFixture
) -> None:
    owner.serve()
    for _ in range(2):
        owner.die(owner.newest)
        fleet.reported(owner.newest, Ready(SHOWN, {}, ("a.py is broken",)))
        assert owner.newest.lacks == ("a.py is broken",)
    assert caplog.messages.count("a.py is broken") == 1
    assert sum("was ended by SIGKILL" in message for message in caplog.messages) == 2


@pytest.mark.parametrize("size", [1, 3])
def test_who_dies_again_and_again_waits(
    owner: FakeOwner, fleet: Fleet[FakeChild], caplog: pytest.LogCaptureFixture, size: int
) -> None:
    owner.serve(size)
    for _ in range(FREE_DEATHS * size):
        owner.die(owner.newest)
        assert len(fleet.workers) == size
    for delay in (0.1, 0.2, 0.4, 0.8, 1.6):
        caplog.clear()
        owner.die(owner.newest)
        assert len(fleet.workers) == size - 1
        assert f"the next worker starts in {delay:g} s, since too many have ended" in caplog.messages
        owner.now += delay - 0.01
        fleet.tick()
        assert len(fleet.workers) == size - 1
        owner.now += 0.01
        fleet.tick()
        assert len(fleet.workers) == size


def test_old_deaths_are_forgotten(owner: FakeOwner, fleet: Fleet[FakeChild]) -> None:
    owner.serve()
    for _ in range(10):
        for _ in range(FREE_DEATHS):
            owner.die(owner.newest)
            assert len(fleet.workers) == 1
        fleet.reported(owner.newest, READY)
        owner.pass_time(DEATHS_WITHIN + 1)


def test_a_new_generation_begins_without_them(owner: FakeOwner, fleet: Fleet[FakeChild]) -> None:
    owner.serve()
    for _ in range(FREE_DEATHS + 1):
        owner.die(owner.newest)
    assert fleet.workers == []
    owner.serve()
    owner.pass_time(2 * DEATHS_WITHIN)
    assert len(fleet.workers) == 1  # nobody comes back for the old one
    owner.die(owner.newest)
    assert len(fleet.workers) == 1


def test_the_old_generation_is_looked_after_until_the_new_one_is_ready(
    owner: FakeOwner, fleet: Fleet[FakeChild]
) -> None:
    owner.serve(2)
    owner.begin()
    pilot = owner.newest
    owner.die(fleet.workers[0])
    assert [worker.generation.number for worker in fleet.workers] == [1, 2, 1]
    fleet.reported(pilot, READY)
    assert owner.told == [["drain"], [], ["drain"]]  # also the one that was only starting
    fleet.ended(fleet.workers[2], -signal.SIGTERM)
    fleet.tick()
    assert len(fleet.workers) == 2
    assert fleet.replaced == 1


# Silence


def test_who_gives_no_sign_of_life_is_replaced(
    owner: FakeOwner, fleet: Fleet[FakeChild], caplog: pytest.LogCaptureFixture
) -> None:
    owner.serve(2)
    hung = fleet.workers[0]
    owner.pass_time(SILENCE - 1, quiet=[hung])
    assert owner.told == [[], []]
    owner.pass_time(1, quiet=[hung])
    assert owner.told == [["abort"], []]
    owner.pass_time(ABORT_MARGIN, quiet=[hung])
    assert owner.told == [["abort", "kill"], []]
    owner.die(hung)
    assert caplog.messages == ["a worker (process 1) gave no sign of life for 10 s, so it was killed"]
    assert [worker.number for worker in fleet.workers] == [1, 0]


def test_signs_of_life_come_in_time(owner: FakeOwner, fleet: Fleet[FakeChild]) -> None:
    owner.serve(2)
    for _ in range(10):
        owner.pass_time(SILENCE - 1, quiet=fleet.workers)
        owner.pass_time(1)
    assert owner.told == [[], []]


@pytest.mark.parametrize("slept", [SILENCE, 3600.0, 1e6])
@pytest.mark.parametrize("heard", [False, True])
def test_a_laptop_that_slept_kills_nobody(
    owner: FakeOwner, fleet: Fleet[FakeChild], slept: float, heard: bool
) -> None:
    owner.serve()
    worker = owner.newest
    owner.pass_time(SILENCE - 2, quiet=[worker])
    owner.now += slept
    if heard:  # what it said before the sleep is read after it
        fleet.reported(worker, Alive())
    fleet.tick()
    assert worker.child.told == []
    # It counts again from here on, no more and no less than before.
    owner.pass_time(1, quiet=[worker])
    assert worker.child.told == []
    owner.pass_time(SILENCE, quiet=[worker])
    assert worker.child.told[0] == "abort"


# Draining and stopping


def test_who_drains_has_the_grace_period_and_a_moment(owner: FakeOwner, fleet: Fleet[FakeChild]) -> None:
    owner.serve(grace=7.0)
    old = owner.newest
    owner.serve(grace=1.0)
    owner.pass_time(7.0 + STOP_MARGIN - 1)
    assert old.child.told == ["drain"]
    owner.pass_time(1)
    assert old.child.told == ["drain", "kill"]
    owner.die(old)
    assert len(fleet.workers) == 1
    assert fleet.replaced == 0


def test_who_hangs_while_it_drains_has_no_grace(
    owner: FakeOwner, fleet: Fleet[FakeChild], caplog: pytest.LogCaptureFixture
) -> None:
    owner.serve(grace=3600.0)
    hung = owner.newest
    owner.serve()
    owner.pass_time(SILENCE, quiet=[hung])
    assert hung.child.told == ["drain", "abort"]
    owner.pass_time(ABORT_MARGIN, quiet=[hung])
    assert hung.child.told == ["drain", "abort", "kill"]
    owner.die(hung)
    assert caplog.messages == ["a worker (process 1) gave no sign of life for 10 s, so it was killed"]
    assert fleet.replaced == 0


def test_a_stop_waits_for_all(owner: FakeOwner, fleet: Fleet[FakeChild]) -> None:
    owner.serve(2)
    owner.serve(1)
    owner.begin(1)
    assert not fleet.is_done
    fleet.stop()
    fleet.stop()  # nobody is told twice
    assert owner.told == [["drain"]] * 4
    assert owner.events[-1] == "3 abandoned"
    while fleet.workers:
        assert not fleet.is_done
        owner.die(owner.newest, 0)
    assert fleet.is_done
    assert fleet.replaced == 0


def test_a_stop_ends_the_waiting_for_the_next_worker(owner: FakeOwner, fleet: Fleet[FakeChild]) -> None:
    owner.serve()
    for _ in range(FREE_DEATHS + 1):
        owner.die(owner.newest)
    fleet.stop()
    assert fleet.is_done
    owner.pass_time(60)
    assert fleet.workers == []


def test_a_stop_in_a_hurry_waits_for_nobody(owner: FakeOwner, fleet: Fleet[FakeChild]) -> None:
    owner.serve(2, grace=3600.0)
    hung = fleet.workers[0]
    fleet.stop()
    fleet.hurry()
    assert owner.told == [["drain", "hurry"]] * 2
    owner.die(fleet.workers[1], 0)
    owner.pass_time(STOP_MARGIN, quiet=[hung])
    assert hung.child.told[-1] == "kill"


def test_a_hung_worker_is_not_given_more_time_by_a_stop(owner: FakeOwner, fleet: Fleet[FakeChild]) -> None:
    owner.serve(grace=3600.0)
    hung = owner.newest
    owner.pass_time(SILENCE, quiet=[hung])
    assert hung.child.told == ["abort"]
    fleet.stop()
    owner.pass_time(ABORT_MARGIN, quiet=[hung])
    assert hung.child.told[-1] == "kill"
    owner.die(hung)
    assert fleet.is_done
