"""A TLS server of which every answer, good or bad, is written in the test."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from queue import SimpleQueue

import trio

from pad19.tls.context import server_context
from pad19.tls.errors import HandshakeFailed
from pad19.tls.stream import TLSStream

from .tls import Pair, self_signed

Script = Callable[[TLSStream, str], Awaitable[None]]  # what is done with a connection and its request line


@dataclass
class FakeServer:
    """Answers one connection after another by its script, and remembers what it was asked."""

    script: Script
    pair: Pair = field(default_factory=self_signed)
    port: int = 0
    requests: list[str] = field(default_factory=list)
    server_names: list[str | None] = field(default_factory=list)
    fingerprints: list[str | None] = field(default_factory=list)  # of the clients

    @property
    def uri(self) -> str:
        return f"gemini://localhost:{self.port}"

    @property
    def name(self) -> str:
        return f"localhost:{self.port}"

    async def run(
        self, host: str = "127.0.0.1", task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        listeners = await trio.open_tcp_listeners(0, host=host)
        self.port = listeners[0].socket.getsockname()[1]
        task_status.started()  # the socket listens already
        await trio.serve_listeners(self._serve, listeners)

    async def _serve(self, transport: trio.abc.Stream) -> None:
        stream = TLSStream(transport, server_context(self.pair))  # type: ignore[arg-type]  # a Pair has what is used
        try:
            await stream.do_handshake()
            self.server_names.append(stream.server_name)
            self.fingerprints.append(stream.identity.fingerprint if stream.identity else None)
            line = b""
            while not line.endswith(b"\r\n"):
                data = await stream.receive_some()
                if not data:
                    return
                line += data
            self.requests.append(line[:-2].decode("ascii"))
            await self.script(stream, self.requests[-1])
        except (HandshakeFailed, trio.BrokenResourceError):
            return
        finally:
            await trio.aclose_forcefully(transport)


@asynccontextmanager
async def running(
    script: Script, pair: Pair | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[FakeServer]:
    server = FakeServer(script, pair or self_signed())
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run, host)
        yield server
        nursery.cancel_scope.cancel()


@contextmanager
def serving(script: Script, *, pair: Pair | None = None, host: str = "127.0.0.1") -> Iterator[FakeServer]:
    """The server in a thread of its own, for programs that are not async."""
    server = FakeServer(script, pair or self_signed())
    started: SimpleQueue[tuple[trio.lowlevel.TrioToken, trio.CancelScope]] = SimpleQueue()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(server.run, host)
            started.put((trio.lowlevel.current_trio_token(), nursery.cancel_scope))

    thread = threading.Thread(target=trio.run, args=(main,))
    thread.start()
    token, scope = started.get(timeout=10)
    try:
        yield server
    finally:
        token.run_sync_soon(scope.cancel)
        thread.join(timeout=10)


def answers(*pieces: bytes) -> Script:
    """The same for every request, piece by piece, with a proper end."""

    async def script(stream: TLSStream, request: str) -> None:
        for piece in pieces:
            await stream.send_all(piece)
        await stream.finish()

    return script


def truncates(data: bytes) -> Script:
    """Ends without close_notify."""

    async def script(stream: TLSStream, request: str) -> None:
        await stream.send_all(data)
        await stream.abort()

    return script


def stalls(data: bytes = b"") -> Script:
    """Sends this and then nothing, for ever."""

    async def script(stream: TLSStream, request: str) -> None:
        if data:
            await stream.send_all(data)
        await trio.sleep_forever()

    return script


def floods(piece: bytes) -> Script:
    """Sends the same for ever."""

    async def script(stream: TLSStream, request: str) -> None:
        while True:
            await stream.send_all(piece)

    return script
