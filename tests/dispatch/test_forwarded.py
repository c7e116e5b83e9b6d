"""Connections with a PROXY header in front: whom they are counted for, and which of them are refused."""

import contextlib
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable
from ipaddress import ip_network
from pathlib import Path
from types import SimpleNamespace

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from pad19.dispatch.forwarded import ForwardedListener, Forwarders
from pad19.protocol.client import Client
from pad19.protocol.request import Request
from pad19.protocol.response import Response, Success
from pad19.service.sockets import listen_on
from pad19.tls.socket_stream import RewindableStream
from support.server import Answer, Server, read_all, stdlib_context

PAGE = b"20 text/gemini\r\n"
V1 = b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 1965\r\n"
V2 = b"\r\n\r\n\0\r\nQUIT\n"
V2_6 = (
    V2
    + b"\x21\x21\0\x24"
    + socket.inet_pton(socket.AF_INET6, "2001:db8::1")
    + socket.inet_pton(socket.AF_INET6, "2001:db8::2")
    + struct.pack(">HH", 56324, 1965)
)
LOCAL = V2 + b"\x20\0\0\0"
UNKNOWN = b"PROXY UNKNOWN\r\n"
LOOPBACK = "127.0.0.0/8"


class Forwarded:
    """A listener for forwarders, and what its requests and log have had."""

    def __init__(self, per_address: int | None = None) -> None:
        self.clients: list[Client] = []
        self.server = Server({"localhost": self._answer}, per_address=per_address)
        self.checked = Server({"localhost": self._answer})
        self.place: tuple[str, int] | str = ""

    async def _answer(self, request: Request) -> Response:
        self.clients.append(request.client)
        return Success(b"")

    @property
    def lines(self) -> list[tuple[str, str, int | None]]:
        return [(record.address, record.reason, record.status) for record in self.server.records]

    async def line(self) -> tuple[str, str, int | None]:
        """The only line of the log, when it is there."""
        with trio.fail_after(5):
            while not self.server.records:
                await wait_all_tasks_blocked(0.01)
        [line] = self.lines
        return line

    async def connect(self) -> trio.SocketStream:
        sock = trio.socket.socket(socket.AF_UNIX if isinstance(self.place, str) else socket.AF_INET)
        await sock.connect(self.place)
        return trio.SocketStream(sock)

    async def ask(self, header: bytes, port: int = 1965) -> Answer:
        async with await self.connect() as transport:
            stream = trio.SSLStream(
                HeaderFirst(transport, header), stdlib_context(), server_hostname="localhost"
            )
            await stream.send_all(f"gemini://localhost:{port}/\r\n".encode())
            return await read_all(stream)

    async def refused(self, data: bytes) -> None:
        """Send the data and find the connection closed without an answer."""
        async with await self.connect() as transport:
            with contextlib.suppress(trio.BrokenResourceError), trio.fail_after(5):
                await transport.send_all(data)
                assert await transport.receive_some() == b""


class HeaderFirst(trio.abc.Stream):
    """Puts a header in front of the first bytes, in one segment with them."""

    def __init__(self, transport: trio.SocketStream, header: bytes) -> None:
        self._transport = transport
        self._header = header

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        data, self._header = self._header + bytes(data), b""
        await self._transport.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._transport.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return await self._transport.receive_some(max_bytes)

    async def aclose(self) -> None:
        await self._transport.aclose()


@contextlib.asynccontextmanager
async def forwarding(
    *networks: str,
    path: Path | None = None,
    check_port: bool = True,
    header: float = 10,
    per_address: int | None = None,
    both_families: bool = False,
) -> AsyncIterator[Forwarded]:
    there = Forwarded(per_address)
    if both_families:
        sock = socket.socket(socket.AF_INET6)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(("::ffff:127.0.0.1", 0))
    else:
        sock = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        sock.bind(str(path) if path else ("127.0.0.1", 0))
    listen_on(sock)
    there.place = ("127.0.0.1", sock.getsockname()[1]) if both_families else sock.getsockname()
    listener = ForwardedListener(
        sock,
        there.server.connections,
        there.checked.connections,
        there.server.admission,
        Forwarders(None if path else [ip_network(network) for network in networks], header),
        there.server.records.append,
        check_port=check_port,
        stall=5,
    )
    try:
        async with trio.open_nursery() as running:
            running.start_soon(listener.run, running)
            yield there
            with trio.fail_after(5):
                while there.server.admission.total:
                    await wait_all_tasks_blocked(0.01)
            running.cancel_scope.cancel()
    finally:
        sock.close()


# Who is the client


@pytest.mark.parametrize(("header", "address"), [(V1, "192.0.2.1"), (V2_6, "2001:db8::1")])
async def test_the_client_is_whom_the_header_names(header: bytes, address: str) -> None:
    async with forwarding(LOOPBACK) as there:
        assert (await there.ask(header)).received == PAGE
    [client] = there.clients
    assert (client.address, client.port, client.server_name) == (address, 56324, "localhost")
    assert there.lines == [(address, "", 20)]


async def test_a_header_that_names_nobody() -> None:
    async with forwarding(LOOPBACK) as there:
        assert (await there.ask(UNKNOWN)).received == PAGE
    [client] = there.clients
    assert client.address == "127.0.0.1"
    assert client.port
    assert there.lines == [("127.0.0.1", "", 20)]


async def test_a_header_that_comes_byte_by_byte() -> None:
    async with forwarding(LOOPBACK) as there, await there.connect() as transport:
        for at in range(len(V2_6)):
            await transport.send_all(V2_6[at : at + 1])
            await wait_all_tasks_blocked()
        stream = trio.SSLStream(transport, stdlib_context(), server_hostname="localhost")
        await stream.send_all(b"gemini://localhost/\r\n")
        assert (await read_all(stream)).received == PAGE
    assert there.lines == [("2001:db8::1", "", 20)]


async def test_a_unix_socket_knows_its_forwarders_by_its_modes(tmp_path: Path) -> None:
    async with forwarding(path=tmp_path / "s") as there:
        assert (await there.ask(V1)).received == PAGE
        assert (await there.ask(UNKNOWN)).received == PAGE
    assert there.lines == [("192.0.2.1", "", 20), ("", "", 20)]


async def test_limits_count_clients_and_not_forwarders() -> None:
    other = V1.replace(b"192.0.2.1", b"192.0.2.2")
    async with (
        forwarding(LOOPBACK, per_address=1) as there,
        await there.connect() as first,
        await there.connect() as waiting,
    ):
        await first.send_all(V1 + b"\x16")
        await waiting.send_all(V1[:-1])  # nobody's yet
        await wait_all_tasks_blocked(0.01)
        assert there.server.admission.total == 2
        assert (await there.ask(V1)).status == 41
        assert (await there.ask(other)).status == 20
    assert sorted((address, status or 0) for address, _, status in there.lines) == [
        ("127.0.0.1", 0),
        ("192.0.2.1", 0),
        ("192.0.2.1", 41),
        ("192.0.2.2", 20),
    ]


@pytest.mark.parametrize(
    ("header", "check_port", "port", "status"),
    [
        (V1, True, 1965, 20),
        (V1, True, 1966, 53),
        (V2_6, True, 1966, 53),
        (V1, False, 1966, 20),
        (UNKNOWN, True, 1966, 20),
        (LOCAL, True, 1966, 20),
    ],
)
async def test_the_port_is_the_one_that_the_header_names(
    header: bytes, check_port: bool, port: int, status: int
) -> None:
    async with forwarding(LOOPBACK, check_port=check_port) as there:
        assert (await there.ask(header, port)).status == status


# Who is refused


async def test_a_stranger_is_closed_at_once() -> None:
    async with forwarding("127.0.0.2", "::/0", "10.0.0.0/8") as there:
        await there.refused(V1)
    assert there.lines == [("127.0.0.1", "not a forwarder", None)]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x16\x03\x01", "bad PROXY header: TLS came without one"),
        (b"gemini://localhost/\r\n", "bad PROXY header: something else came instead"),
        (
            V1.replace(b"TCP4", b"TCP6"),
            "bad PROXY header: not PROXY, TCP4 or TCP6, two addresses and two ports",
        ),
        (V2 + b"\x21\x11\xff\xff", "bad PROXY header: longer than 4096 bytes"),
    ],
)
async def test_a_bad_header_is_closed_and_logged(data: bytes, reason: str) -> None:
    async with forwarding(LOOPBACK) as there:
        await there.refused(data)
    assert there.lines == [("127.0.0.1", reason, None)]


async def test_a_header_that_is_cut_short() -> None:
    async with forwarding(LOOPBACK) as there:
        async with await there.connect() as transport:
            await transport.send_all(V1[:20])
        assert await there.line() == ("127.0.0.1", "bad PROXY header: cut short", None)


@pytest.mark.parametrize("sent", [V1[:20], UNKNOWN])
async def test_a_header_has_its_deadline(
    sent: bytes, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    autojump_clock.autojump_threshold = 0.02  # seconds of silence: packets may be on their way
    clocks = SimpleNamespace(time=time.time, perf_counter=trio.current_time)
    monkeypatch.setattr("pad19.dispatch.forwarded.time", clocks)
    async with forwarding(LOOPBACK, header=3) as there:
        start = trio.current_time()
        await there.refused(sent)
        assert trio.current_time() - start == 3
    assert there.lines == [("127.0.0.1", "PROXY header timeout", None)]
    assert there.server.records[0].duration == 3


async def test_a_stop_while_a_header_is_awaited() -> None:
    with trio.CancelScope() as scope:
        async with forwarding(LOOPBACK) as there:
            transport = await there.connect()
            await transport.send_all(V1[:20])
            await wait_all_tasks_blocked(0.01)
            scope.cancel()
            await trio.lowlevel.checkpoint()
    assert there.lines == [("127.0.0.1", "server stopped", None)]
    assert there.server.admission.total == 0
    assert await transport.receive_some() == b""
    await transport.aclose()


async def test_what_nobody_thought_of_ends_one_connection(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with forwarding(LOOPBACK) as there:
        with monkeypatch.context() as patch:
            patch.setattr("pad19.dispatch.forwarded.ProxyHeaderReader", None)
            await there.refused(V1)
        assert (await there.ask(V1)).status == 20
    assert there.lines == [("127.0.0.1", "internal error", None), ("192.0.2.1", "", 20)]
    assert [entry.getMessage() for entry in caplog.records] == ["a PROXY header failed"]


# Health checks


def reset(transport: trio.SocketStream) -> None:
    transport.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def politely(_: trio.SocketStream) -> None:
    return


@pytest.mark.parametrize("end", [politely, reset])
@pytest.mark.parametrize("said", [b"", LOCAL, UNKNOWN, LOCAL + b"\x16\x03\x01"])
async def test_a_health_check_leaves_no_line(said: bytes, end: Callable[[trio.SocketStream], None]) -> None:
    async with forwarding(LOOPBACK) as there:
        async with await there.connect() as transport:
            await transport.send_all(said)
            await wait_all_tasks_blocked(0.01)
            end(transport)
        assert (await there.ask(V1)).status == 20  # the connection before it was taken before it
    assert there.lines == [("192.0.2.1", "", 20)]
    assert there.checked.admission.total == 0


async def test_a_health_check_may_ask_for_a_page() -> None:
    async with forwarding(LOOPBACK) as there:
        assert (await there.ask(LOCAL)).received == PAGE
    assert there.lines == []
    assert [client.address for client in there.clients] == ["127.0.0.1"]


@pytest.mark.parametrize("both_families", [False, True])
@pytest.mark.parametrize(("shift", "status", "lines"), [(0, 20, 0), (1, 53, 1)])
async def test_a_health_check_of_version_1_names_its_own_two_ends(
    shift: int, status: int, lines: int, both_families: bool
) -> None:
    async with forwarding(LOOPBACK, both_families=both_families) as there, await there.connect() as transport:
        host, port = transport.socket.getsockname()
        header = f"PROXY TCP4 {host} {host} {port - shift} {there.place[1]}\r\n".encode()
        stream = trio.SSLStream(HeaderFirst(transport, header), stdlib_context(), server_hostname="localhost")
        await stream.send_all(b"gemini://localhost/\r\n")
        assert (await read_all(stream)).status == status
    assert len(there.lines) == lines


# Reading too far


async def test_what_is_pushed_back_comes_first() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with theirs:
        stream = RewindableStream(ours)
        theirs.sendall(b"world")
        stream.push_back(b", ")
        stream.push_back(b"hello")
        assert await stream.receive_some(3) == b"hel"
        assert await stream.receive_some() == b"lo, "
        assert await stream.receive_some() == b"world"
        stream.close()


@pytest.mark.parametrize(
    ("networks", "address", "known"),
    [
        (["10.0.0.0/8", "192.0.2.1"], "10.255.0.1", True),
        (["10.0.0.0/8", "192.0.2.1"], "192.0.2.1", True),
        (["10.0.0.0/8", "192.0.2.1"], "192.0.2.2", False),
        (["10.0.0.0/8"], "::ffff:10.0.0.1", True),
        (["10.0.0.0/8"], "2001:db8::1", False),
        (["fe80::/64"], "fe80::1%eth0", True),
        (["::/0"], "10.0.0.1", False),
        ([], "127.0.0.1", False),
        (None, "", True),
    ],
)
def test_whom_to_believe(networks: list[str] | None, address: str, known: bool) -> None:
    forwarders = Forwarders(None if networks is None else [ip_network(network) for network in networks])
    assert forwarders.trusts(address) is known
