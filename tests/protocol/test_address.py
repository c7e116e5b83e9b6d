from ipaddress import ip_address

import pytest

from pad19.protocol.address import group_of, is_address, parse_address


@pytest.mark.parametrize(
    ("address", "group"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("127.8.8.8", "127.8.8.8"),
        ("::1", "::1"),
        ("", ""),  # a UNIX socket
        ("2001:db8:1:2:3:4:5:6", "2001:0db8:0001:0002::/64"),
        ("2001:db8:1:2::1", "2001:0db8:0001:0002::/64"),
        ("fe80::1%eth0", "fe80:0000:0000:0000::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
    ],
)
def test_groups(address: str, group: str) -> None:
    assert group_of(address) == group


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::ffff:c000:201", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("2001:DB8::1", "2001:db8::1"),
    ],
)
def test_one_client_has_one_address(text: str, address: str) -> None:
    assert parse_address(text) == ip_address(address)


@pytest.mark.parametrize("text", ["localhost", "192.0.2", "[::1]", "192.0.2.1:80"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        parse_address(text)
    with pytest.raises(ValueError, match="does not appear to be"):
        group_of(text)


ADDRESSES = [("192.0.2.1", True), ("[2001:db8::1]", True), ("a.org", False), ("*.a.org", False)]


@pytest.mark.parametrize(("host", "expected"), ADDRESSES)
def test_addresses_are_no_names(host: str, expected: bool) -> None:
    assert is_address(host) == expected
