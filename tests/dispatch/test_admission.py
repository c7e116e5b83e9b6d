import pytest

from pad19.dispatch.admission import (
    DEFAULT_PER_ADDRESS,
    REFUSALS,
    REFUSALS_PER_ADDRESS,
    Admission,
    NoRoom,
    Ticket,
    group_of,
)


@pytest.mark.parametrize(
    ("address", "group", "loopback"),
    [
        ("192.0.2.1", "192.0.2.1", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.8.8.8", "127.8.8.8", True),
        ("::1", "::1", True),
        ("", "", True),  # a UNIX socket
        ("2001:db8:1:2:3:4:5:6", "2001:0db8:0001:0002::/64", False),
        ("2001:db8:1:2::1", "2001:0db8:0001:0002::/64", False),
        ("fe80::1%eth0", "fe80:0000:0000:0000::/64", False),
        ("::ffff:192.0.2.1", "192.0.2.1", False),
    ],
)
def test_groups(address: str, group: str, loopback: bool) -> None:
    assert group_of(address) == (group, loopback)


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


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", ""])
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
