"""Upstreams on real sockets, most of them broken, and time that passes when it is told to."""

import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from pad19.dispatch.proxying.paths import parse_upstream
from pad19.dispatch.proxying.upstream import (
    LINGER,
    Pinned,
    Remembered,
    Timeouts,
    TookTooLong,
    Trust,
    Upstream,
    UpstreamFailed,
)
from pad19.protocol.response_reader import Header
from pad19.protocol.uri import URI, parse
from pad19.tls.client import Connection
from pad19.tls.identity import identify
from pad19.tls.known_hosts import KnownHosts
from pad19.tls.stream import TLSStream
from support.fake_server import FakeServer, Script, answers, floods, running, stalls, truncates
from support.tls import self_signed

TIMEOUTS = Timeouts(connect=10, header=20, stall=30)
SETTLED = 0.05  # seconds of real time in which nothing happens any more
NOBODY = f"sha256:{'0' * 64}"


def place(port: int) -> URI:
    return parse_upstream(f"gemini://127.0.0.1:{port}/")


def trusting() -> Pinned:
    return Pinned([identify(self_signed().certificate).key_fingerprint])


def upstream(server: FakeServer, trust: Trust | None = None) -> Upstream:
    return Upstream(place(server.port), trust or trusting(), TIMEOUTS)


async def ask(server: FakeServer, trust: Trust | None = None) -> tuple[Connection, Header]:
    return await upstream(server, trust).ask(place(server.port))


async def fails(server: FakeServer, trust: Trust | None = None) -> str:
    with pytest.raises(UpstreamFailed) as failure:
        await ask(server, trust)
    name = f"127.0.0.1:{server.port} "
    assert str(failure.value).startswith(name)
    return str(failure.value).removeprefix(name)


# What it answers

HEADERS = [  # what is sent, the header, the body
    ([b"20 text/gemini\r\n", b"# Hello\n"], Header(20, "text/gemini"), b"# Hello\n"),
    ([b"20 te", b"xt/gemini\r", b"\n", b"a", b"b"], Header(20, "text/gemini"), b"ab"),
    ([b"20 text/plain\r\n"], Header(20, "text/plain"), b""),
    ([b"51 not here\r\n"], Header(51, "not here"), b""),
    ([b"40\r\n"], Header(40, ""), b""),
    ([b"25 odd\r\nbody"], Header(25, "odd"), b"body"),
]


@pytest.mark.parametrize(("pieces", "header", "body"), HEADERS)
async def test_answers(pieces: list[bytes], header: Header, body: bytes) -> None:
    async with running(answers(*pieces)) as server:
        connection, received = await ask(server)
        async with connection:
            assert received == header
            assert b"".join([data async for data in _chunks(connection)]) == body


async def _chunks(connection: Connection) -> AsyncIterator[bytes]:
    while data := await connection.read():
        yield data


async def test_a_header_is_enough() -> None:
    """Where no body follows, nothing is missing without close_notify."""
    async with running(truncates(b"51 not here\r\n")) as server:
        connection, header = await ask(server)
        await connection.aclose()
    assert header == Header(51, "not here")


BROKEN: list[tuple[Script, str]] = [
    (answers(), "gave no valid answer: it closed without a header"),
    (truncates(b""), "gave no valid answer: it closed without a header"),
    (answers(b"20 text"), "gave no valid answer: it closed within the header"),
    (truncates(b"20 text"), "gave no valid answer: it closed within the header"),
    (answers(b"20 text/gemini\n# Hello\n"), "gave no valid answer: its header ends in LF without CR"),
    (answers(b"HTTP/1.1 200 OK\r\n"), "gave no valid answer: its header does not begin with a two-digit"),
    (answers(b"00 nothing\r\n"), "gave no valid answer: its status 00 is not one of 10 to 69"),
    (answers(b"70 nothing\r\n"), "gave no valid answer: its status 70 is not one of 10 to 69"),
    (answers(b"20\r\n"), "gave no valid answer: its header has nothing behind the status 20"),
    (answers(b"20 \xff\r\n"), "gave no valid answer: its header is not UTF-8"),
    (answers(b"51 a\x1b[2Jb\r\n"), "gave no valid answer: its header holds U+001B"),
    (answers(b"51 " + b"x" * 1025 + b"\r\n"), "gave no valid answer: its header is longer than 1029 bytes"),
    (floods(b"5" * 1000), "gave no valid answer: its header is longer than 1029 bytes"),
    (answers(b"51 no\r\nmore"), "gave no valid answer: something follows a header without a body"),
    (answers(b"51 no\r\n", b"more"), "gave no valid answer: something follows a header without a body"),
    (floods(b"10 Your name?\r\n"), "gave no valid answer: something follows a header without a body"),
]


@pytest.mark.parametrize(("script", "message"), BROKEN)
async def test_broken_answers(script: Script, message: str) -> None:
    async with running(script) as server:
        assert (await fails(server)).startswith(message)


async def test_reset() -> None:
    async def resets(transport: trio.SocketStream) -> None:
        transport.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        transport.socket.close()

    await _without_tls(resets, r"(agreed on no TLS connection|cannot be reached) \(.*reset")


async def test_no_tls() -> None:
    async def speaks_plainly(transport: trio.SocketStream) -> None:
        await transport.send_all(b"20 text/gemini\r\n")
        await trio.sleep_forever()

    await _without_tls(speaks_plainly, "does not speak TLS")


async def _without_tls(serve: Callable[[trio.SocketStream], Awaitable[object]], message: str) -> None:
    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, [listener])
        to = place(listener.socket.getsockname()[1])
        with pytest.raises(UpstreamFailed, match=message):
            await Upstream(to, trusting(), TIMEOUTS).ask(to)
        nursery.cancel_scope.cancel()


async def test_nobody_listens() -> None:
    with trio.socket.socket() as unused:
        await unused.bind(("127.0.0.1", 0))
        to = place(unused.getsockname()[1])
        with pytest.raises(UpstreamFailed) as failure:
            await Upstream(to, trusting(), TIMEOUTS).ask(to)
    assert str(failure.value) == (
        f"127.0.0.1:{to.port} cannot be reached (Connection refused): is the server running?"
    )


# What it is told


async def test_the_request() -> None:
    pair = self_signed("Front door")
    async with running(answers(b"20 text/plain\r\n")) as server:
        to = place(server.port)
        door = Upstream(to, trusting(), TIMEOUTS, credentials=pair)  # type: ignore[arg-type]  # a Pair has what is used
        for uri in (to, parse("gemini://a.test/b?c%20d"), parse("gemini://a.test.:1970/")):
            connection, _ = await door.ask(uri)
            await connection.aclose()
    assert server.requests == [str(to), "gemini://a.test/b?c%20d", "gemini://a.test.:1970/"]
    assert server.server_names == [None, "a.test", "a.test"]
    assert server.fingerprints == [identify(pair.certificate).fingerprint] * 3


# Deadlines


async def too_slow(
    start: Callable[[], Awaitable[object]], clock: MockClock, seconds: float, ready: trio.Event | None = None
) -> str:
    """What is said after so many seconds, and nothing before."""
    said = ""

    async def wait() -> None:
        nonlocal said
        with pytest.raises(TookTooLong) as failure:
            await start()
        said = str(failure.value)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        if ready is not None:
            await ready.wait()
        await wait_all_tasks_blocked(SETTLED)
        clock.jump(seconds - 1)
        await wait_all_tasks_blocked(SETTLED)
        assert not said
        clock.jump(1)
    return said


async def test_no_handshake(mock_clock: MockClock) -> None:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        to = place(listener.socket.getsockname()[1])
        door = Upstream(to, trusting(), TIMEOUTS)
        said = await too_slow(lambda: door.ask(to), mock_clock, TIMEOUTS.connect)
    assert said == f"127.0.0.1:{to.port} did not accept a TLS connection within 10 s"


@pytest.mark.parametrize("begun", [b"", b"20 text/gem"])
async def test_no_header(begun: bytes, mock_clock: MockClock) -> None:
    asked = trio.Event()

    async def script(stream: TLSStream, request: str) -> None:
        asked.set()
        await stalls(begun)(stream, request)

    async with running(script) as server:
        said = await too_slow(lambda: ask(server), mock_clock, TIMEOUTS.header, asked)
    assert said == f"127.0.0.1:{server.port} sent no header within 20 s"


async def test_an_upstream_that_does_not_close(mock_clock: MockClock) -> None:
    """It has said all; it is only waited for a moment."""
    answered: list[Header] = []
    async with running(stalls(b"51 not here\r\n")) as server, trio.open_nursery() as nursery:

        async def wait() -> None:
            connection, header = await ask(server)
            await connection.aclose()
            answered.append(header)

        nursery.start_soon(wait)
        while not server.requests:
            await wait_all_tasks_blocked(SETTLED)
        await wait_all_tasks_blocked(SETTLED)
        assert not answered
        mock_clock.jump(LINGER)
        await wait_all_tasks_blocked(SETTLED)
        assert answered == [Header(51, "not here")]


async def test_cancelled() -> None:
    """The upstream learns of it at once."""
    asked, left = trio.Event(), trio.Event()

    async def script(stream: TLSStream, request: str) -> None:
        asked.set()
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
        left.set()

    async with running(script) as server:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, server)
            await asked.wait()
            nursery.cancel_scope.cancel()
        with trio.fail_after(5):
            await left.wait()


# Who it is


@pytest.mark.parametrize("attribute", ["fingerprint", "key_fingerprint"])
async def test_pinned(attribute: str) -> None:
    expected = getattr(identify(self_signed().certificate), attribute)
    async with running(answers(b"20 text/plain\r\n")) as server:
        connection, _ = await ask(server, Pinned([NOBODY, expected]))
        await connection.aclose()


async def test_pinned_to_another() -> None:
    """Nothing is asked of a stranger."""
    other, found = identify(self_signed("other").certificate), identify(self_signed().certificate)
    async with running(answers(b"20 text/plain\r\n")) as server:
        said = await fails(server, Pinned([other.key_fingerprint, NOBODY]))
    assert said == (
        f"has the certificate {found.fingerprint} with the public key {found.key_fingerprint}, but "
        f"{' or '.join(sorted([NOBODY, other.key_fingerprint]))} is expected: this may be another server"
    )
    assert server.requests == []


async def test_remembered(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "pad19.proxy")
    path = tmp_path / "state" / "known_hosts"
    old, new = identify(self_signed().certificate), identify(self_signed("other").certificate)
    server = FakeServer(answers(b"20 text/plain\r\n"))
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        trust = Remembered(KnownHosts(path))
        for _ in range(2):
            connection, _header = await ask(server, trust)
            await connection.aclose()
        name = f"127.0.0.1:{server.port}"
        assert caplog.messages == [f"First visit to {name}: its public key is {old.key_fingerprint}"]
        server.pair = self_signed("other")
        for judge in (trust, Remembered(KnownHosts(path))):  # also after a restart
            said = await fails(server, judge)
            assert said.startswith(f"has the public key {new.key_fingerprint}, but {path} expects")
            assert f"expects {old.key_fingerprint} until 9999-12-31" in said
        server.pair = self_signed()
        connection, _header = await ask(server, trust)
        await connection.aclose()
        nursery.cancel_scope.cancel()
    assert len(server.requests) == 3
    assert len(caplog.messages) == 1


async def test_not_to_be_remembered(tmp_path: Path) -> None:
    """Taking any key each time would be no trust at all."""
    (tmp_path / "state").symlink_to("/proc/self/fdinfo")  # even root writes nothing here
    async with running(answers(b"20 text/plain\r\n")) as server:
        with pytest.raises(
            UpstreamFailed, match=re.escape(f"{tmp_path}/state/known_hosts cannot be written")
        ):
            await ask(server, Remembered(KnownHosts(tmp_path / "state" / "known_hosts")))
    assert server.requests == []
