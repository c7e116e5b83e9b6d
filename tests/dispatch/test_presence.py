import os
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from pad19.dispatch.presence import Attended, ClientLeft, Presence
from pad19.protocol.client import Client
from pad19.protocol.request import Request
from pad19.protocol.response import Response, Success
from support.server import Server, connect, listening, read_all

ASK = b"gemini://localhost/\r\n"


class Waiting:
    """A handler, or a body, that waits until it is cancelled."""

    def __init__(self) -> None:
        self.started = trio.Event()
        self.cancelled = trio.Event()

    async def wait(self) -> None:
        self.started.set()
        try:
            await trio.sleep_forever()
        finally:
            self.cancelled.set()

    async def handler(self, _: Request) -> Response:
        await self.wait()
        raise AssertionError

    async def lines(self) -> AsyncIterator[bytes]:
        yield b"first\n"
        await self.wait()


def attended(presence: Presence, waiting: Waiting) -> Server:
    return Server({"localhost": Attended(waiting.handler, presence)}, presence=presence)


async def left(stream: trio.SSLStream[trio.SocketStream], how: str) -> None:
    if how == "reset":
        stream.transport_stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if how == "says goodbye":
        await stream.aclose()
    await trio.aclose_forcefully(stream)


@pytest.mark.parametrize("how", ["close", "reset", "says goodbye"])
async def test_a_handler_ends_when_its_client_leaves(how: str) -> None:
    presence, waiting = Presence(), Waiting()
    server = attended(presence, waiting)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(presence.run)
        async with listening(server) as address:
            stream = await connect(address)
            await stream.send_all(ASK)
            await waiting.started.wait()
            await left(stream, how)
            with trio.fail_after(5):
                await waiting.cancelled.wait()
                while not server.records:
                    await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert [(record.status, record.reason) for record in server.records] == [
        (None, "client left: it closed the connection")
    ]
    assert server.admission.total == 0


async def test_a_body_ends_when_its_client_leaves() -> None:
    presence, waiting = Presence(), Waiting()

    async def handler(_: Request) -> Response:
        return Success(waiting.lines())  # type: ignore[arg-type]  # an async generator has all that a Stream has

    server = Server({"localhost": handler}, presence=presence)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(presence.run)
        async with listening(server) as address:
            stream = await connect(address)
            await stream.send_all(ASK)
            await waiting.started.wait()
            await trio.aclose_forcefully(stream)
            with trio.fail_after(5):
                await waiting.cancelled.wait()
                while not server.records:
                    await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    [record] = server.records
    assert (record.status, record.reason) == (20, "client left: it closed the connection")


async def test_who_stays_is_answered() -> None:
    presence = Presence()

    async def handler(_request: Request) -> Response:
        for _ in range(10):
            await trio.lowlevel.checkpoint()
        return Success(b"hello")

    server = Server({"localhost": Attended(handler, presence)}, presence=presence)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(presence.run)
        async with listening(server) as address:
            for _ in range(3):
                stream = await connect(address)
                await stream.send_all(ASK)
                assert (await read_all(stream)).body == b"hello"
                await trio.aclose_forcefully(stream)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def watching() -> AsyncIterator[Presence]:
    presence = Presence()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(presence.run)
        await trio.testing.wait_all_tasks_blocked()
        yield presence
        nursery.cancel_scope.cancel()


async def test_without_a_socket_nobody_is_watched() -> None:
    client, seen = Client(), []
    async with watching() as presence:
        presence.arrived(client, None)
        with presence.attend(client):
            seen.append(client)
        presence.gone(client)
    assert seen == [client]


async def test_who_could_not_be_watched_leaves_nothing_behind() -> None:
    """The next one whose socket has the same number is watched."""
    client = Client()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        number = os.dup(ours.fileno())
        async with watching() as presence:
            presence.arrived(client, number)
            os.close(number)
            with pytest.raises(OSError, match="Bad file descriptor"), presence.attend(client):
                raise AssertionError
            os.dup2(ours.fileno(), number)
            theirs.close()
            with trio.fail_after(5), pytest.raises(ClientLeft), presence.attend(client):
                await trio.sleep_forever()
        os.close(number)


async def test_it_says_who_left_only_once() -> None:
    """Within one another, the outer one is enough."""
    ours, theirs = socket.socketpair()
    client = Client()
    with ours, theirs:
        async with watching() as presence:
            presence.arrived(client, ours.fileno())
            theirs.close()
            with pytest.raises(ClientLeft), presence.attend(client), presence.attend(client):
                await trio.sleep_forever()
            presence.gone(client)
