"""Bodies on their way: streamed, breaking off, and not taken to their end."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from dispatch.answering import ASK, recorded, server
from pad19.protocol.request import Request
from pad19.protocol.response import BrokenBody, Response, Success
from pad19.tls.context import client_context
from pad19.tls.socket_stream import SocketStream
from pad19.tls.stream import TLSStream
from support.server import Server, ask_in_memory, connect, listening, read_all


class Chunks:
    """A body of given chunks; an exception among them is raised."""

    def __init__(self, *chunks: bytes | BaseException) -> None:
        self.chunks = list(chunks)
        self.closed = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        await trio.lowlevel.checkpoint()
        if not self.chunks:
            raise StopAsyncIteration
        chunk = self.chunks.pop(0)
        if isinstance(chunk, BaseException):
            raise chunk
        return chunk

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()
        self.closed += 1


async def test_a_streamed_body() -> None:
    body = Chunks(b"one ", b"", b"two")
    there = server(lambda _: Success(body, "text/plain"))
    answer = await ask_in_memory(there, [ASK])
    assert answer.received == b"20 text/plain\r\none two"
    assert answer.clean
    assert body.closed == 1
    assert [(record.status, record.bytes_sent, record.reason) for record in there.records] == [(20, 7, "")]


@pytest.mark.parametrize(
    ("error", "reason", "level"),
    [
        (BrokenBody("5 bytes are missing"), "body broke off: 5 bytes are missing", logging.WARNING),
        (ValueError("secret"), "body broke off: ValueError", logging.ERROR),
        (SystemExit(1), "body broke off: SystemExit", logging.ERROR),
        (asyncio.CancelledError(), "body broke off: CancelledError", logging.ERROR),
        (GeneratorExit(), "body broke off: GeneratorExit", logging.ERROR),
    ],
)
async def test_a_body_that_breaks_off_is_a_truncation(
    error: BaseException, reason: str, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    body = Chunks(b"half of ", error)
    there = server(lambda _: Success(body))
    answer = await ask_in_memory(there, [ASK])
    assert answer.received == b"20 text/gemini\r\nhalf of "
    assert not answer.clean
    assert body.closed == 1
    assert [record.reason for record in there.records] == [reason]
    assert [entry.levelno for entry in caplog.records] == [level]


@pytest.mark.parametrize("error", [ValueError("secret"), SystemExit(1)])
async def test_a_body_that_cannot_be_closed(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    class Stuck(Chunks):
        async def aclose(self) -> None:
            raise error

    there = server(lambda _: Success(Stuck(b"all")))
    answer = await ask_in_memory(there, [ASK])
    assert answer.received == b"20 text/gemini\r\nall"
    assert [record.reason for record in there.records] == ["internal error"]
    assert [entry.getMessage() for entry in caplog.records] == ["a connection failed"]


async def test_a_body_that_breaks_off_when_the_server_stops(caplog: pytest.LogCaptureFixture) -> None:
    class Nursery(Chunks):
        async def __anext__(self) -> bytes:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever)
                stop.cancel()
                try:
                    await trio.sleep_forever()
                finally:
                    raise SystemExit(1)

    there = server(lambda _: Success(Nursery()))
    with trio.CancelScope() as stop:
        await ask_in_memory(there, [ASK])
    assert stop.cancelled_caught
    assert [record.reason for record in there.records] == ["internal error"]
    assert [entry.getMessage() for entry in caplog.records] == ["a connection failed"]


async def test_a_body_with_a_wrong_type_is_closed_too() -> None:
    body = Chunks(b"x")
    answer = await ask_in_memory(server(lambda _: Success(body, "no type")), [ASK])
    assert answer.received == b"40 internal error\r\n"
    assert body.closed == 1


async def test_a_body_is_closed_when_the_client_leaves() -> None:
    class Endless(Chunks):
        async def __anext__(self) -> bytes:
            await trio.lowlevel.checkpoint()
            return bytes(1 << 16)

    body = Endless()
    there = server(lambda _: Success(body))
    async with listening(there) as address:
        stream = await connect(address)
        await stream.send_all(ASK)
        assert await stream.receive_some(100)
        await trio.aclose_forcefully(stream)
        await recorded(there)
    assert body.closed == 1
    assert there.records[0].reason.startswith("client left")


# What is recorded when a client does not take the whole answer


def small() -> Response:
    return Success(b"# Hello\n")


def large() -> Response:
    return Success(bytes(50_000_000))


def streamed() -> Response:
    return Success(Chunks(bytes(50_000_000)))


@asynccontextmanager
async def visiting(there: Server) -> AsyncIterator[tuple[TLSStream, trio.CancelScope]]:
    """A client over sockets that has sent its request, and what ends the server."""
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.setblocking(False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(there.connections.serve, SocketStream(theirs, 30), "192.0.2.1", 1, 1965)
        client = TLSStream(SocketStream(ours), client_context(), server_side=False, server_name="localhost")
        await client.do_handshake()
        await client.send_all(ASK)
        yield client, nursery.cancel_scope
    await client.abort()


@pytest.mark.parametrize("answer", [small, large, streamed])
async def test_who_leaves_before_the_answer_gets_no_header(answer: Callable[[], Response]) -> None:
    asked, left = trio.Event(), trio.Event()

    async def handler(_: Request) -> Response:
        asked.set()
        await left.wait()
        return answer()

    there = Server({"localhost": handler})
    async with visiting(there) as (client, _):
        await asked.wait()
        await client.abort()
        left.set()
    [record] = there.records
    assert (record.status, record.reason) == (None, "client left: Broken pipe")


@pytest.mark.parametrize("answer", [large, streamed])
@pytest.mark.parametrize(
    ("is_stopped", "reason"), [(False, "client left: client read nothing for 30 s"), (True, "server stopped")]
)
async def test_who_does_not_read_to_the_end_has_had_the_header(
    answer: Callable[[], Response], is_stopped: bool, reason: str, autojump_clock: MockClock
) -> None:
    there = server(lambda _: answer())
    async with visiting(there) as (_, scope):
        if is_stopped:
            await trio.sleep(1)
            scope.cancel()
    [record] = there.records
    assert (record.status, record.reason) == (20, reason)


async def test_a_body_that_waits_for_nothing_keeps_nobody_waiting() -> None:
    """A route's loop over what it has in memory, for a client that is as fast."""
    made = seen = 0
    longest = 0

    class Ready(Chunks):
        async def __anext__(self) -> bytes:
            nonlocal made, longest
            if made == 1000:  # with their records they fit into the kernel's buffer
                raise StopAsyncIteration
            made += 1
            longest = max(longest, made - seen)
            return b"x"

    async def watch() -> None:
        nonlocal seen
        while made < 1000:
            seen = made
            await trio.lowlevel.checkpoint()

    there = server(lambda _: Success(Ready()))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        async with visiting(there) as (client, _):
            assert (await read_all(client)).body == b"x" * 1000
    assert longest <= 64
