"""Sockets that listen already, in place of those that are configured."""

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from pad19.service.config.listen import Listen
from pad19.service.config.model import Config, Forwarder, Server
from pad19.service.sockets import Bound, bind


def listening(stack: ExitStack, address: str | Path | bytes) -> socket.socket:
    kind = socket.AF_INET6 if address == "::1" else socket.AF_INET
    if not isinstance(address, str):
        kind = socket.AF_UNIX
    sock = stack.enter_context(socket.socket(kind, socket.SOCK_STREAM))
    if isinstance(address, str):
        sock.bind((address, 0))
    else:
        sock.bind(address if isinstance(address, bytes) else str(address))
    sock.listen(7)
    return sock


def bound(stack: ExitStack, config: Config, *given: socket.socket) -> tuple[Bound, ...]:
    found = bind(config, given)
    for entry in found:
        stack.callback(entry.close)
    return found


def test_they_replace_server_listen(stack: ExitStack, tmp_path: Path) -> None:
    path = tmp_path / "given"
    given = [listening(stack, place) for place in ("127.0.0.1", "::1", path, b"\0pad19-test-given")]
    config = Config(server=Server(listen=(Listen(path=tmp_path / "configured"),)))
    found = bound(stack, config, *given)
    assert [entry.socket for entry in found] == given
    ports = [sock.getsockname()[1] for sock in given[:2]]
    assert [str(entry.listen) for entry in found] == [
        f"127.0.0.1:{ports[0]}",
        f"[::1]:{ports[1]}",
        f"unix:{path}",
        "unix:@pad19-test-given",
    ]
    assert not (tmp_path / "configured").exists()
    for entry in found:
        assert entry.inherited
        assert not entry.socket.getblocking()
        if entry.listen.path is None:
            assert entry.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    for entry in found:
        entry.close()
    assert path.exists()


def test_one_is_a_forwarders_if_it_has_its_address(stack: ExitStack, tmp_path: Path) -> None:
    path = tmp_path / "forwarder"
    given = [listening(stack, place) for place in ("127.0.0.1", "127.0.0.1", path)]
    ports = [sock.getsockname()[1] for sock in given[:2]]
    by_port, by_path, absent = (
        Forwarder(listen=Listen.parse(f"localhost:{ports[1]}")),  # this address is one of two
        Forwarder(listen=Listen(path=path)),
        Forwarder(listen=Listen.parse("127.0.0.1:0")),
    )
    found = bound(stack, Config(forwarders=(by_port, by_path, absent)), *given)
    assert [entry.forwarder for entry in found] == [None, by_port, by_path, absent]
    assert [entry.inherited for entry in found] == [True, True, True, False]


HAS = [
    ("127.0.0.1:1", "127.0.0.1:1", True),
    ("127.0.0.1:1", "127.0.0.1:2", False),
    ("127.0.0.1:1", "127.0.0.2:1", False),
    (":1", "127.0.0.1:1", False),  # a socket for one address is not one for all
    (":1", "0.0.0.0:1", True),
    (":1", "[::]:1", True),
    ("localhost:1", "[::1]:1", True),
    ("unix:/a", "unix:/a", True),
    ("unix:/a", "unix:/b", False),
    ("unix:/a", "127.0.0.1:0", False),
    ("127.0.0.1:0", "unix:/a", False),
]


@pytest.mark.parametrize(("listen", "place", "expected"), HAS)
def test_whether_an_address_is_among_others(listen: str, place: str, expected: bool) -> None:
    assert Listen.parse(listen).has(Listen.parse(place)) == expected
