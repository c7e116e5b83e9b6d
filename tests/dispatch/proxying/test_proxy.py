"""A capsule in front of others: what a visitor sees, and what is left when one side goes."""

import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from pad19.dispatch.forwarded import ForwardedListener, Forwarders
from pad19.dispatch.proxying.paths import ProxyPaths, parse_upstream
from pad19.dispatch.proxying.proxy import CONNECTIONS, Proxy
from pad19.dispatch.proxying.upstream import Pinned, Timeouts, Upstream
from pad19.protocol.client import Client
from pad19.protocol.failure import NotFound, ProxyError, ProxyRequestRefused, ServerUnavailable
from pad19.protocol.request import Request, parse_request
from pad19.protocol.response import BrokenBody, Redirect, Reply, Response, Stream
from pad19.protocol.status import Status
from pad19.service.sockets import listen_on
from pad19.tls.context import server_context
from pad19.tls.identity import identify
from pad19.tls.stream import TLSStream
from support.fake_server import Script, answers, running, stalls, truncates
from support.server import Answer, Server, ask, connect, listening, static_server
from support.tls import self_signed

TIMEOUTS = Timeouts(connect=10, header=20, stall=30)
SETTLED = 0.05  # seconds of real time in which nothing happens any more
FAILED = b"43 the server behind this page failed\r\n"
PAIRS = [self_signed(), self_signed("localhost"), self_signed("127.0.0.1")]  # of all servers in here
TRUST = Pinned([identify(pair.certificate).fingerprint for pair in PAIRS])


def proxy(
    port: int,
    *,
    connections: int = CONNECTIONS,
    trust_eof: bool = False,
    keep_host: bool = False,
    introduces: bool = False,
) -> Proxy:
    to = parse_upstream(f"gemini://127.0.0.1:{port}/")
    return Proxy(
        ProxyPaths("/astro/", to, keep_host=keep_host),
        Upstream(to, TRUST, TIMEOUTS),
        connections=connections,
        trust_eof=trust_eof,
        introduces=introduces,
    )


def request(uri: str = "gemini://localhost/astro/") -> Request:
    return parse_request(uri.encode(), Client("192.0.2.7", 50000))


Visit = Callable[[str], Awaitable[Answer]]


@asynccontextmanager
async def front_door(handler: Proxy) -> AsyncIterator[tuple[Visit, Server]]:
    server = Server({"localhost": handler})
    async with listening(server) as address:
        yield lambda path: ask(address, f"gemini://localhost{path}\r\n".encode()), server


# As a visitor sees it


async def test_a_capsule_behind_a_capsule(tmp_path: Path) -> None:
    """Both are ours."""
    page = bytes(range(256)) * 40_000  # 10 MB
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "index.gmi").write_text("# Log\n")
    (tmp_path / "large.bin").write_bytes(page)
    (tmp_path / "caf%é.gmi").write_text("# Café\n")
    behind = static_server(tmp_path, ["127.0.0.1"])
    async with listening(behind, port=None) as (_, port), front_door(proxy(port)) as (visit, front):
        assert (await visit("/astro/log/")).received == b"20 text/gemini\r\n# Log\n"
        assert (await visit("/astro/caf%25%c3%a9.gmi")).body == b"# Caf\xc3\xa9\n"
        assert (await visit("/astro/log?a%20b")).received == b"31 /astro/log/?a%20b\r\n"
        assert (await visit("/astro")).received == b"31 /astro/\r\n"
        assert (await visit("/astro/none")).received == b"51 not found\r\n"
        assert (await visit("/log/")).received == b"51 not found\r\n"
        large = await visit("/astro/large.bin")
    assert large.clean
    assert large.body == page
    assert front.records[-1].bytes_sent == len(page)
    assert [record.request for record in behind.records][:2] == [
        f"gemini://127.0.0.1:{port}/log/",
        f"gemini://127.0.0.1:{port}/caf%25%c3%a9.gmi",
    ]


PASSED_ON = [  # what the upstream sends, what the visitor gets
    (b"10 Your name?\r\n", b"10 Your name?\r\n"),
    (b"11 Password\r\n", b"11 Password\r\n"),
    (b"20 text/plain; charset=latin1\r\n\xe9\0", b"20 text/plain; charset=latin1\r\n\xe9\0"),
    (b"20 text/gemini\r\n", b"20 text/gemini\r\n"),
    (b"30 log/\r\n", b"30 /astro/log/\r\n"),
    (b"31 gemini://c.test/x\r\n", b"31 gemini://c.test/x\r\n"),
    (b"40\r\n", b"40 temporary failure\r\n"),
    (b"41 \r\n", b"41 server unavailable\r\n"),
    (b"43 further on\r\n", b"43 further on\r\n"),
    (b"44 60\r\n", b"44 60\r\n"),
    (b"51 " + b"x" * 1024 + b"\r\n", b"51 " + b"x" * 1024 + b"\r\n"),
    (b"60 Who are you?\r\n", b"60 Who are you?\r\n"),
    (b"62 expired\r\n", b"62 expired\r\n"),
]


@pytest.mark.parametrize(("sent", "received"), PASSED_ON)
async def test_passed_on(sent: bytes, received: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with running(answers(sent)) as server, front_door(proxy(server.port)) as (visit, _):
        answer = await visit("/astro/")
    assert answer == Answer(received, clean=True)
    assert caplog.messages == []


BROKEN: list[tuple[Script, str]] = [
    (answers(), "gave no valid answer: it closed without a header"),
    (answers(b"HTTP/1.1 200 OK\r\n"), "gave no valid answer: its header does not begin"),
    (answers(b"51 no\r\nmore"), "gave no valid answer: something follows"),
    (answers(b"25 odd\r\n"), "gave a header that cannot be sent: 25 is not a valid Status"),
    (answers(b"69 odd\r\n"), "gave a header that cannot be sent: 69 is not a valid Status"),
    (answers(b"20 gemtext\r\n# Hello\n"), "gave a header that cannot be sent: 'gemtext' is not a MIME type"),
    (answers("20 text/gemini; title=é\r\n".encode()), "gave a header that cannot be sent: 'text/gemini; ti"),
    (answers(b"30 a b\r\n"), "gave a header that cannot be sent: ' ' is not allowed in a URI"),
    (answers(b"31 " + b"x" * 1020 + b"\r\n"), "gave a header that cannot be sent: redirect target"),
    (answers(b"53 no proxy\r\n"), "does not serve 127.0.0.1, for which it is asked: 53 no proxy"),
]


@pytest.mark.parametrize(("script", "message"), BROKEN)
async def test_broken_upstreams(script: Script, message: str, caplog: pytest.LogCaptureFixture) -> None:
    async with running(script) as server, front_door(proxy(server.port, connections=1)) as (visit, front):
        for _ in range(2):  # the one connection is free again
            assert (await visit("/astro/")) == Answer(FAILED, clean=True)
    assert [record.status for record in front.records] == [43, 43]
    assert all(line.startswith(f"127.0.0.1:{server.port} {message}") for line in caplog.messages)
    assert len(caplog.records) == 2
    assert {(record.name, record.levelname) for record in caplog.records} == {("pad19.proxy", "ERROR")}


async def test_the_visitors_host() -> None:
    async with (
        running(answers(b"30 gemini://localhost/b\r\n")) as server,
        front_door(proxy(server.port, keep_host=True)) as (visit, _),
    ):
        assert (await visit("/astro/a?b")).received == b"30 /astro/b\r\n"
    assert server.requests == ["gemini://localhost/a?b"]
    assert server.server_names == ["localhost"]


async def test_the_visitor_is_introduced() -> None:
    """To a pad19 that believes us: it takes the address, and skips what else there is."""
    clients: list[Client] = []

    async def answer(request: Request) -> Response:
        clients.append(request.client)
        return Reply(Status.NOT_FOUND, "not here")

    behind = Server({"127.0.0.1": answer})
    visitor = Client("2001:db8::7", 50000, "localhost", "TLSv1.3", identify(self_signed("Ada").certificate))
    asked = parse_request(b"gemini://localhost/astro/", visitor)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        listen_on(sock)
        listener = ForwardedListener(
            sock,
            behind.connections,
            behind.connections,
            behind.admission,
            Forwarders([ip_network("127.0.0.0/8")]),
            behind.records.append,
            check_port=True,
            stall=30,
        )
        port = sock.getsockname()[1]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(behind.connections.keep_time)
            nursery.start_soon(listener.run, nursery)
            found = await proxy(port, introduces=True)(asked)
            with pytest.raises(ProxyError):  # it takes nobody who is not introduced
                await proxy(port)(asked)
            nursery.cancel_scope.cancel()
    assert found == Reply(Status.NOT_FOUND, "not here")
    assert [(client.address, client.port) for client in clients] == [("2001:db8::7", 50000)]


async def test_an_upstream_that_expects_no_introduction(caplog: pytest.LogCaptureFixture) -> None:
    async with running(answers(b"20 text/plain\r\n")) as server:
        with pytest.raises(ProxyError):
            await proxy(server.port, introduces=True)(request())
    [line] = caplog.messages
    assert re.match(rf"127.0.0.1:{server.port} (agreed on no TLS connection|does not speak TLS) \(", line)


async def test_a_circle_ends() -> None:
    handlers: list[Proxy] = []

    async def handle(request: Request) -> Response:
        return await handlers[0](request)

    front = Server({"localhost": handle})
    async with listening(front, port=None) as address:
        to = parse_upstream(f"gemini://localhost:{address[1]}/astro/")
        handlers.append(Proxy(ProxyPaths("/astro/", to), Upstream(to, TRUST, TIMEOUTS), connections=3))
        answer = await ask(address, b"gemini://localhost/astro/\r\n")
    assert answer.received == b"41 the server behind this page is busy\r\n"
    assert [record.status for record in front.records] == [41] * 4


# Bodies that break off

CUT: list[tuple[Script, bytes, str]] = [
    (truncates(b"20 text/plain\r\nhalf"), b"half", "closed without close_notify"),
    (truncates(b"20 text/plain\r\n"), b"", "closed without close_notify"),
]


@pytest.mark.parametrize(("script", "body", "message"), CUT)
async def test_truncated(script: Script, body: bytes, message: str, caplog: pytest.LogCaptureFixture) -> None:
    async with running(script) as server, front_door(proxy(server.port)) as (visit, front):
        assert (await visit("/astro/")) == Answer(b"20 text/plain\r\n" + body, clean=False)
    [line] = caplog.messages
    assert line == (f"'gemini://localhost/astro/': the body broke off: 127.0.0.1:{server.port} {message}")
    assert front.records[0].reason == f"body broke off: 127.0.0.1:{server.port} {message}"


@pytest.mark.parametrize("body", [b"", b"all"])
async def test_the_end_of_the_connection_can_do(body: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with (
        running(truncates(b"20 text/plain\r\n" + body)) as server,
        front_door(proxy(server.port, trust_eof=True)) as (visit, _),
    ):
        assert (await visit("/astro/")) == Answer(b"20 text/plain\r\n" + body, clean=True)
    assert caplog.messages == []


@pytest.mark.parametrize("trust_eof", [False, True])
async def test_a_reset_is_no_end(trust_eof: bool) -> None:
    read_half = trio.Event()

    async def serve(transport: trio.SocketStream) -> None:
        stream = TLSStream(transport, server_context(self_signed()))  # type: ignore[arg-type]  # a Pair has what is used
        await stream.do_handshake()
        await stream.receive_some()
        await stream.send_all(b"20 text/plain\r\nhalf")
        await read_half.wait()
        transport.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        transport.socket.close()

    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, [listener])
        port = listener.socket.getsockname()[1]
        response = await proxy(port, trust_eof=trust_eof)(request())
        assert isinstance(response.body, Stream)
        chunks = aiter(response.body)
        assert await anext(chunks) == b"half"
        read_half.set()
        with pytest.raises(BrokenBody, match=rf"127.0.0.1:{port} broke off the connection \(.*reset"):
            await anext(chunks)
        await response.body.aclose()
        nursery.cancel_scope.cancel()


async def test_a_body_that_stops(mock_clock: MockClock) -> None:
    """Each pause has the time anew."""
    more = trio.Event()

    async def script(stream: TLSStream, request: str) -> None:
        await stream.send_all(b"20 text/plain\r\n")
        await more.wait()
        await stalls(b"half")(stream, request)

    async with running(script) as server:
        response = await proxy(server.port)(request())
        assert isinstance(response.body, Stream)
        chunks = aiter(response.body)
        async with trio.open_nursery() as nursery:

            async def wait() -> None:
                assert await anext(chunks) == b"half"
                with pytest.raises(BrokenBody, match=rf"127.0.0.1:{server.port} sent nothing for 30 s"):
                    await anext(chunks)
                ended.set()

            ended = trio.Event()
            nursery.start_soon(wait)
            await wait_all_tasks_blocked(SETTLED)
            mock_clock.jump(TIMEOUTS.stall - 1)
            more.set()
            await wait_all_tasks_blocked(SETTLED)
            mock_clock.jump(TIMEOUTS.stall - 1)
            await wait_all_tasks_blocked(SETTLED)
            assert not ended.is_set()
            mock_clock.jump(1)
        await response.body.aclose()


async def test_too_slow_for_a_header(mock_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    async with running(stalls()) as server, trio.open_nursery() as nursery:

        async def wait() -> None:
            with pytest.raises(ProxyError, match="the server behind this page took too long"):
                await proxy(server.port)(request())

        nursery.start_soon(wait)
        while not server.requests:
            await wait_all_tasks_blocked(SETTLED)
        mock_clock.jump(TIMEOUTS.header)
    assert caplog.messages == [f"127.0.0.1:{server.port} sent no header within 20 s"]


# Who waits for whom


class Flood:
    """An endless body, and how much of it the upstream was rid of."""

    def __init__(self) -> None:
        self.sent = 0
        self.left = trio.Event()

    async def __call__(self, stream: TLSStream, request: str) -> None:
        await stream.send_all(b"20 text/plain\r\n")
        try:
            while True:
                await stream.send_all(b"x" * 65536)
                self.sent += 65536
        finally:
            self.left.set()


async def test_nothing_is_read_ahead() -> None:
    """An upstream is as fast as its visitor, and closes with it."""
    flood = Flood()
    async with running(flood) as server:
        response = await proxy(server.port)(request())
        assert isinstance(response.body, Stream)
        await wait_all_tasks_blocked(SETTLED)  # which would not come if anybody read on
        held = flood.sent
        chunks, taken = aiter(response.body), 0
        while flood.sent <= held + 1_000_000:
            taken += len(await anext(chunks))
        assert taken > 500_000  # the kernel's buffers have the rest
        await response.body.aclose()
        with trio.fail_after(5):
            await flood.left.wait()


async def test_the_visitor_leaves() -> None:
    flood = Flood()
    async with running(flood) as server:
        front = Server({"localhost": proxy(server.port, connections=1)})
        async with listening(front) as address:
            for _ in range(2):
                flood.left = trio.Event()
                stream = await connect(address)
                await stream.send_all(b"gemini://localhost/astro/\r\n")
                assert await stream.receive_some()
                await trio.aclose_forcefully(stream)
                with trio.fail_after(5):
                    await flood.left.wait()
                await wait_all_tasks_blocked(SETTLED)
    assert [record.status for record in front.records] == [20, 20]


async def test_busy() -> None:
    async with running(stalls(b"20 text/plain\r\nhalf")) as server:
        handler = proxy(server.port, connections=2)
        first, second = await handler(request()), await handler(request())
        with pytest.raises(ServerUnavailable, match="the server behind this page is busy"):
            await handler(request())
        assert isinstance(first.body, Stream)
        await first.body.aclose()
        await first.body.aclose()  # counts once
        third = await handler(request())
        with pytest.raises(ServerUnavailable):
            await handler(request())
        for response in (second, third):
            assert isinstance(response.body, Stream)
            await response.body.aclose()
    assert len(server.requests) == 3


async def test_cancelled_while_it_waits() -> None:
    """Neither a connection nor its place is left."""
    left = trio.Event()

    async def script(stream: TLSStream, request: str) -> None:
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
        left.set()

    async with running(script) as server:
        handler = proxy(server.port, connections=1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(handler, request())
            while not server.requests:
                await wait_all_tasks_blocked(SETTLED)
            nursery.cancel_scope.cancel()
        with trio.fail_after(5):
            await left.wait()
        server.script = answers(b"51 not here\r\n")
        assert await handler(request()) == Reply(Status.NOT_FOUND, "not here")


# What never reaches an upstream


async def test_without_asking() -> None:
    handler = proxy(1)
    with pytest.raises(NotFound):
        await handler(request("gemini://localhost/other"))
    with pytest.raises(ProxyRequestRefused, match="titan is not served here"):
        await handler(request("titan://localhost/astro/a;size=1"))
    assert await handler(request("gemini://localhost/astro")) == Redirect("/astro/", permanent=True)
