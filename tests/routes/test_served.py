"""Routes behind TLS and sockets: what streams do when the client is slow, or leaves."""

from collections.abc import AsyncIterator

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from pad19 import NotFound, Request, Routes
from pad19.routes.mounting import Mounted
from support.server import Server, ask_in_memory, connect, listening

CHUNK = b"x" * 65536


class Radio:
    def __init__(self) -> None:
        self.sent = 0
        self.closed = trio.Event()
        routes = Routes()
        routes.gemini("/endless")(self.endless)
        routes.gemini("/lines")(self.lines)
        routes.gemini("/breaks-off")(self.breaks_off)
        routes.gemini("/lost")(self.lost)
        self.server = Server({"localhost": Mounted(routes)})

    async def endless(self, request: Request) -> AsyncIterator[bytes]:
        try:
            while True:
                yield CHUNK
                self.sent += 1
        finally:
            self.closed.set()

    async def lines(self, request: Request) -> AsyncIterator[str]:
        for line in ("# Café\n", "", "* ☕\n"):
            yield line
        self.closed.set()

    async def breaks_off(self, request: Request) -> AsyncIterator[str]:
        yield "first\n"
        raise ZeroDivisionError

    async def lost(self, request: Request) -> AsyncIterator[str]:
        raise NotFound("no such station")
        yield ""


@pytest.fixture
def radio() -> Radio:
    return Radio()


async def test_a_stream_arrives(radio: Radio) -> None:
    answer = await ask_in_memory(radio.server, [b"gemini://localhost/lines\r\n"])
    assert answer.received == "20 text/gemini\r\n# Café\n* ☕\n".encode()
    assert answer.clean
    assert radio.closed.is_set()


async def test_a_failure_before_the_first_chunk_arrives(radio: Radio) -> None:
    answer = await ask_in_memory(radio.server, [b"gemini://localhost/lost\r\n"])
    assert answer.received == b"51 no such station\r\n"


async def test_a_stream_that_breaks_off_looks_like_it(radio: Radio) -> None:
    answer = await ask_in_memory(radio.server, [b"gemini://localhost/breaks-off\r\n"])
    assert answer.received == b"20 text/gemini\r\nfirst\n"
    assert not answer.clean


async def test_a_client_that_does_not_read_holds_the_stream_back(radio: Radio) -> None:
    async with listening(radio.server) as address:
        stream = await connect(address)
        await stream.send_all(b"gemini://localhost/endless\r\n")
        with trio.fail_after(10):
            while not radio.sent:
                await wait_all_tasks_blocked(0.01)
            sent = 0
            while sent != radio.sent:
                sent = radio.sent
                await wait_all_tasks_blocked(0.1)
        assert sent * len(CHUNK) < 32 * 1024 * 1024  # what the buffers of two sockets take
        assert not radio.closed.is_set()
        for _ in range(64):
            await stream.receive_some(len(CHUNK))
        await trio.aclose_forcefully(stream)
        with trio.fail_after(10):
            await radio.closed.wait()


async def test_a_client_that_leaves_ends_the_stream(radio: Radio) -> None:
    async with listening(radio.server) as address:
        stream = await connect(address)
        await stream.send_all(b"gemini://localhost/endless\r\n")
        assert (await stream.receive_some(100)).startswith(b"20 text/gemini\r\n")
        await trio.aclose_forcefully(stream)
        with trio.fail_after(10):
            await radio.closed.wait()
