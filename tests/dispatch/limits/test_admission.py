import gc
import sys
from ipaddress import IPv4Address

import pytest

from pad19.dispatch.limits.admission import (
    DEFAULT_PER_ADDRESS,
    REFUSALS,
    REFUSALS_PER_ADDRESS,
    TOLD,
    Admission,
    NoRoom,
    Ticket,
)
from pad19.dispatch.limits.shared_counts import SharedCounts, clear, prepare, size
from pad19.protocol.rate import Rate
from support.clock import Clock


def admitted(admission: Admission, address: str) -> Ticket:
    ticket = admission.enter(address)
    assert ticket.refusal is None
    return ticket


def refused(admission: Admission, address: str, why: str) -> Ticket:
    ticket = admission.enter(address)
    assert why in str(ticket.refusal)
    return ticket


def test_the_total_is_limited() -> None:
    admission = Admission(connections=2, per_address=None)
    first = admitted(admission, "192.0.2.1")
    admitted(admission, "192.0.2.2")
    told = refused(admission, "192.0.2.3", "full")
    admission.leave(told)
    refused(admission, "192.0.2.3", "full")
    admission.leave(first)
    admitted(admission, "192.0.2.4")


def test_refusals_have_a_room_of_their_own_and_that_is_limited_too() -> None:
    admission = Admission(connections=1, per_address=None)
    admitted(admission, "192.0.2.1")
    told = [refused(admission, f"198.51.100.{i}", "full") for i in range(REFUSALS)]
    with pytest.raises(NoRoom):
        admission.enter("192.0.2.2")
    admission.leave(told[0])
    refused(admission, "192.0.2.2", "full")


def test_who_has_too_many_takes_no_place_from_others() -> None:
    admission = Admission(connections=10, per_address=2)
    for _ in range(2):
        admitted(admission, "192.0.2.1")
    for _ in range(REFUSALS_PER_ADDRESS):
        refused(admission, "192.0.2.1", "your address")
    for _ in range(100):
        with pytest.raises(NoRoom):
            admission.enter("192.0.2.1")
    for i in range(8):
        admitted(admission, f"198.51.100.{i}")


@pytest.mark.parametrize(
    ("per_address", "address", "other", "limit"),
    [
        (2, "192.0.2.1", "192.0.2.2", 2),
        (2, "2001:db8::1", "2001:db8:0:1::1", 2),
        (2, "127.0.0.1", "127.0.0.2", 2),  # a number that was given counts for loopback as well
        (None, "192.0.2.1", "192.0.2.2", DEFAULT_PER_ADDRESS),
    ],
)
def test_each_address_is_limited(per_address: int | None, address: str, other: str, limit: int) -> None:
    admission = Admission(1000, per_address)
    tickets = [admitted(admission, address) for _ in range(limit)]
    refused(admission, address, "your address")
    admitted(admission, other)
    admission.leave(tickets[0])
    admitted(admission, address)
    refused(admission, address, "your address")


def test_one_network_of_ipv6_is_one_address() -> None:
    admission = Admission(1000, 1)
    admitted(admission, "2001:db8::1")
    refused(admission, "2001:db8::2", "your address")


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", ""])
def test_by_default_loopback_is_not_limited(address: str) -> None:
    """Behind a forwarder or an onion service everybody comes from there."""
    admission = Admission(10_000, None)
    for _ in range(10 * DEFAULT_PER_ADDRESS):
        admitted(admission, address)


def test_a_forwarder_is_not_limited_but_by_the_total() -> None:
    admission = Admission(100, 1)
    for _ in range(100):
        assert admission.enter("192.0.2.1", trusted=True).refusal is None
    assert admission.enter("192.0.2.1", trusted=True).refusal is not None


def test_nothing_is_remembered_of_those_who_left() -> None:
    admission = Admission(10, 1)
    tickets = [admission.enter(f"192.0.2.{i}") for i in range(50)]
    assert admission.total == 50
    for ticket in tickets:
        admission.leave(ticket)
    assert admission.total == 0
    assert admission._admitted._by_group == admission._refused._by_group == {}


# Rates


def come_and_go(admission: Admission, address: str, *, trusted: bool = False) -> str | None:
    """One visit, and what it is told: None if it is served, "closed" if nothing at all."""
    try:
        ticket = admission.enter(address, trusted=trusted)
    except NoRoom:
        return "closed"
    admission.leave(ticket)
    return None if ticket.refusal is None else f"{ticket.refusal.status} {ticket.refusal}"


@pytest.mark.parametrize(
    ("address", "same", "other"),
    [
        ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"),
        ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"),
        ("127.0.0.1", "127.0.0.1", "127.0.0.2"),
        ("::1", "::1", "127.0.0.1"),
        ("", "", "::1"),
    ],
)
def test_a_rate_is_for_each_address(address: str, same: str, other: str) -> None:
    clock = Clock()
    admission = Admission(1000, None, rate=Rate(2, 10), clock=clock)
    assert [come_and_go(admission, who) for who in (address, same)] == [None, None]
    clock.advance(2.5)
    assert come_and_go(admission, same) == "44 8"
    assert come_and_go(admission, other) is None
    clock.advance(7.5)
    assert come_and_go(admission, address) is None


@pytest.mark.parametrize(
    ("count", "answers"),
    [
        (3, TOLD.count),  # a low rate is no reason to say nothing
        (100, 100),  # so often it would have been served
    ],
)
def test_a_flood_is_answered_for_a_while_and_closed_from_then_on(count: int, answers: int) -> None:
    clock = Clock()
    admission = Admission(1000, None, rate=Rate(count, 10), clock=clock)
    for _ in range(5):
        told = [come_and_go(admission, "192.0.2.1") for _ in range(1000)]
        assert told == [None] * count + ["44 10"] * answers + ["closed"] * (1000 - count - answers)
        assert come_and_go(admission, "198.51.100.1") is None
        clock.advance(10)  # and it recovers at once


def test_those_that_are_told_to_slow_down_have_a_limited_room() -> None:
    admission = Admission(1000, None, rate=Rate(10, 10), clock=Clock())
    for _ in range(10):
        come_and_go(admission, "192.0.2.1")
    told = [refused(admission, "192.0.2.1", "10") for _ in range(REFUSALS_PER_ADDRESS)]
    assert come_and_go(admission, "192.0.2.1") == "closed"
    admission.leave(told[0])
    assert come_and_go(admission, "192.0.2.1") == "44 10"


def test_who_is_refused_for_another_reason_has_not_come() -> None:
    admission = Admission(2, 1, rate=Rate(2, 10), clock=Clock())
    first = admitted(admission, "192.0.2.1")
    refused(admission, "192.0.2.1", "your address")
    other = admitted(admission, "192.0.2.2")
    refused(admission, "192.0.2.1", "full")
    admission.leave(first)
    admission.leave(other)
    assert [come_and_go(admission, "192.0.2.1") for _ in range(2)] == [None, "44 10"]


def test_a_forwarder_has_no_rate() -> None:
    admission = Admission(1000, None, rate=Rate(1, 10), clock=Clock())
    assert {come_and_go(admission, "192.0.2.1", trusted=True) for _ in range(100)} == {None}
    assert come_and_go(admission, "192.0.2.1") is None


def test_without_a_rate_anybody_may_come_as_often_as_they_like() -> None:
    admission = Admission(1000, None)
    assert {come_and_go(admission, "192.0.2.1") for _ in range(1000)} == {None}


def test_the_real_clock() -> None:
    admission = Admission(1000, None, rate=Rate(1, 86_400))
    assert [come_and_go(admission, "192.0.2.1") for _ in range(2)] == [None, "44 86400"]


# Several workers

COLUMNS = 4


def several(
    buffer: bytearray, count: int, connections: int, per_address: int | None, rate: Rate | None = None
) -> list[Admission]:
    shares = [SharedCounts(buffer, COLUMNS, own, worker=own, workers=count) for own in range(count)]
    clock = Clock()
    return [Admission(connections, per_address, rate=rate, shared=shared, clock=clock) for shared in shares]


@pytest.fixture
def area() -> bytearray:
    buffer = bytearray(size(COLUMNS))
    prepare(buffer)
    return buffer


@pytest.mark.parametrize("count", [1, 2, 4])
def test_workers_do_not_multiply_the_total(count: int, area: bytearray) -> None:
    workers = several(area, count, 8, None)
    tickets = [admitted(workers[number % count], f"192.0.2.{number}") for number in range(8)]
    for worker in workers:
        refused(worker, "192.0.2.100", "full")
        assert worker.total == 8 // count + 1, "each has its own, and the one that it refuses"
    workers[0].leave(tickets[0])
    admitted(workers[-1], "192.0.2.100")
    refused(workers[0], "192.0.2.101", "full")


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("others", [0, 50])
def test_workers_do_not_multiply_what_an_address_may_have(count: int, others: int, area: bytearray) -> None:
    workers = several(area, count, 1000, 4)
    for number in range(others):
        admitted(workers[number % count], f"198.51.100.{number}")
    tickets = [admitted(workers[number % count], f"2001:db8::{number}") for number in range(4)]
    for worker in workers:
        refused(worker, "2001:db8::ffff", "your address")
        admitted(worker, f"203.0.113.{workers.index(worker)}")
    workers[0].leave(tickets[0])
    admitted(workers[-1], "2001:db8::ffff")
    refused(workers[0], "2001:db8::ffff", "your address")


@pytest.mark.parametrize("count", [1, 2, 4])
def test_workers_do_not_multiply_a_rate(count: int, area: bytearray) -> None:
    workers = several(area, count, 1000, None, Rate(10, 60))
    told = [come_and_go(workers[number % count], "192.0.2.1") for number in range(14)]
    assert told == [None] * 10 + ["44 60"] * 4


def test_by_default_loopback_is_not_limited_by_other_workers_either(area: bytearray) -> None:
    for worker in several(area, 2, 1000, None):
        for _ in range(2 * DEFAULT_PER_ADDRESS):
            admitted(worker, "127.0.0.1")


def test_a_forwarder_is_not_limited_but_by_the_total_of_all_workers(area: bytearray) -> None:
    first, second = several(area, 2, 20, 1)
    for worker in (first, second):
        for _ in range(10):
            assert worker.enter("192.0.2.1", trusted=True).refusal is None
    assert "full" in str(first.enter("192.0.2.1", trusted=True).refusal)


def test_what_a_dead_worker_had_is_free_again(area: bytearray) -> None:
    first, second = several(area, 2, 3, 2)
    for _ in range(2):
        admitted(first, "192.0.2.1")
    refused(second, "192.0.2.1", "your address")
    clear(area, COLUMNS, 0)
    for _ in range(2):
        admitted(second, "192.0.2.1")
    first, _ = several(area, 2, 3, 2)
    refused(first, "192.0.2.1", "your address")
    admitted(first, "192.0.2.2")
    refused(first, "192.0.2.3", "full")


def test_a_flood_from_many_addresses_takes_no_memory(area: bytearray) -> None:
    [admission] = several(area, 1, 1000, None, Rate(2, 10))

    def flood(first: int, last: int) -> int:
        """How many blocks of memory are in use after it."""
        for number in range(first, last):
            assert come_and_go(admission, str(IPv4Address(0x0A000000 + number))) is None
        gc.collect()
        return sys.getallocatedblocks()

    before = flood(0, 10_000)  # caches are full now
    assert flood(10_000, 100_000) - before < 1_000
