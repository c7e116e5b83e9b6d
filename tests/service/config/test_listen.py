from pathlib import Path

import pytest

from pad19.service.config.listen import Listen

READ = [  # text, value, canonical form
    ("[::]:1965", Listen(host="::", port=1965), "[::]:1965"),
    ("[2001:DB8:0::1]:1", Listen(host="2001:db8::1", port=1), "[2001:db8::1]:1"),
    ("0.0.0.0:1965", Listen(host="0.0.0.0", port=1965), "0.0.0.0:1965"),
    ("LocalHost:0", Listen(host="localhost", port=0), "localhost:0"),
    (":65535", Listen(host="", port=65535), ":65535"),
    ("unix:/run/p.sock", Listen(path=Path("/run/p.sock")), "unix:/run/p.sock"),
    ("unix:p.sock", Listen(path=Path("/base/p.sock")), "unix:/base/p.sock"),
]


@pytest.mark.parametrize(("text", "value", "canonical"), READ)
def test_reads_and_writes(text: str, value: Listen, canonical: str) -> None:
    listen = Listen.parse(text, Path("/base"))
    assert listen == value
    assert str(listen) == canonical
    assert Listen.parse(canonical) == listen


REFUSED = [  # text, a part of the message
    ("", "colon and a port"),
    ("0.0.0.0", "colon and a port"),
    ("0.0.0.0:", "colon and a port"),
    ("0.0.0.0:-1", "colon and a port"),
    ("0.0.0.0:٣", "colon and a port"),
    ("0.0.0.0: 1", "colon and a port"),
    ("0.0.0.0:65536", "0 to 65535"),
    ("0.0.0.0:" + "9" * 5000, "0 to 65535"),
    ("::1:1965", "brackets"),
    ("[::1", "brackets"),
    ("[]:1", "brackets"),
    ("[1.2.3.4]:1", "brackets"),
    ("[fe80::1%eth0]:1", "brackets"),
    ("1.2.3:1", "brackets"),
    ("01.2.3.4:1", "brackets"),
    ("example.org:1965", "brackets"),
    ("gemini://localhost:1965", "brackets"),
    ("unix:", "path after"),
    ("unix:a\0b", "path after"),
    ("unix:/" + "ä" * 60, "107 bytes"),
]


@pytest.mark.parametrize(("text", "part"), REFUSED)
def test_refuses(text: str, part: str) -> None:
    with pytest.raises(ValueError, match=r"^must ") as refusal:
        Listen.parse(text)
    assert part in str(refusal.value)


ADDRESSES = [
    ("[::1]:1", ("::1",)),
    (":1", ("::", "0.0.0.0")),
    ("localhost:1", ("::1", "127.0.0.1")),
    ("unix:/a", ()),
]


@pytest.mark.parametrize(("text", "addresses"), ADDRESSES)
def test_addresses_to_bind(text: str, addresses: tuple[str, ...]) -> None:
    assert Listen.parse(text).addresses == addresses


CLASHES = [
    ("127.0.0.1:1", "127.0.0.1:1", True),
    ("127.0.0.1:1", "127.0.0.1:2", False),
    ("127.0.0.1:1", "127.0.0.2:1", False),
    ("127.0.0.1:1", "0.0.0.0:1", True),
    ("0.0.0.0:1", "[::]:1", False),
    ("127.0.0.1:1", "[::]:1", False),  # sockets for IPv6 are for nothing else
    ("localhost:1", "[::1]:1", True),
    ("localhost:1", ":1", True),
    ("localhost:0", "localhost:0", False),
    ("unix:/a", "unix:/a", True),
    ("unix:/a", "unix:/b", False),
    ("unix:/a", ":1", False),
]


@pytest.mark.parametrize(("one", "another", "expected"), CLASHES)
def test_clashes(one: str, another: str, expected: bool) -> None:
    first, second = Listen.parse(one), Listen.parse(another)
    assert (first.clashes(second), second.clashes(first)) == (expected, expected)
