import pytest

from pad19.dispatch.admission import DEFAULT_PER_ADDRESS, REFUSALS, Admission, group_of


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


def test_the_total_is_limited() -> None:
    admission = Admission(connections=2, per_address=None)
    assert admission.enter("192.0.2.1") is None
    assert admission.enter("192.0.2.2") is None
    assert "full" in str(admission.enter("192.0.2.3"))
    admission.leave("192.0.2.3")
    admission.leave("192.0.2.1")
    assert admission.enter("192.0.2.4") is None


def test_refusals_are_limited_too() -> None:
    admission = Admission(connections=1, per_address=None)
    for _ in range(1 + REFUSALS):
        assert admission.has_room()
        admission.enter("192.0.2.1")
    assert not admission.has_room()


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
    for _ in range(limit):
        assert admission.enter(address) is None
    assert "your address" in str(admission.enter(address))
    assert admission.enter(other) is None
    admission.leave(address)
    admission.leave(address)
    assert admission.enter(address) is None


def test_one_network_of_ipv6_is_one_address() -> None:
    admission = Admission(1000, 1)
    assert admission.enter("2001:db8::1") is None
    assert admission.enter("2001:db8::2") is not None


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", ""])
def test_by_default_loopback_is_not_limited(address: str) -> None:
    """Behind a forwarder or an onion service everybody comes from there."""
    admission = Admission(10_000, None)
    assert all(admission.enter(address) is None for _ in range(10 * DEFAULT_PER_ADDRESS))


def test_nothing_is_remembered_of_those_who_left() -> None:
    admission = Admission(10, 1)
    for i in range(100):
        admission.enter(f"192.0.2.{i}")
    for i in range(100):
        admission.leave(f"192.0.2.{i}")
    assert admission.total == 0
    assert admission._by_group == {}
