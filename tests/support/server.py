"""Servers for tests, in memory and on real sockets, and clients that are not ours."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import trio
from trio.testing import memory_stream_pair

from pad19.content.static import StaticFiles
from pad19.dispatch.connection import Connections, Deadlines
from pad19.dispatch.limits.admission import Admission
from pad19.dispatch.listener import Listener
from pad19.dispatch.presence import Presence
from pad19.dispatch.record import Record
from pad19.dispatch.router import Handler, Router
from pad19.protocol.uri import normalize_host
from pad19.service.sockets import listen_on
from pad19.tls.context import Contexts, client_context
from pad19.tls.errors import Truncated
from pad19.tls.stream import TLSStream

from .tls import Pair, self_signed

URI_PORT = 1965


@dataclass
class Answer:
    """What a client received. ``header`` is None if the server closed without one."""

    received: bytes
    clean: bool  # ended with close_notify

    @property
    def header(self) -> bytes | None:
        return self.received.partition(b"\r\n")[0] if b"\r\n" in self.received else None

    @property
    def status(self) -> int | None:
        return int(self.received[:2]) if self.header is not None else None

    @property
    def meta(self) -> str | None:
        return self.header[3:].decode() if self.header is not None else None

    @property
    def body(self) -> bytes:
        return self.received.partition(b"\r\n")[2]


@dataclass
class Server:
    """Everything that answers, without a socket."""

    handlers: dict[str, Handler]
    connections_limit: int = 4096
    per_address: int | None = None
    deadlines: Deadlines = field(default_factory=Deadlines)
    records: list[Record] = field(default_factory=list)
    presence: Presence = field(default_factory=Presence)
    uploads: bool = False  # the handlers take Titan requests

    def __post_init__(self) -> None:
        hosts = {normalize_host(host) if "*" not in host else host: host for host in self.handlers}
        self.admission = Admission(self.connections_limit, self.per_address)
        self.contexts = Contexts({host: self_signed(host) for host in hosts})  # type: ignore[misc]  # a Pair has what is used of Credentials
        self.connections = Connections(
            self.contexts,
            Router(
                {normal: self.handlers[given] for normal, given in hosts.items()},
                hosts if self.uploads else (),
            ),
            self.admission,
            self.deadlines,
            self.records.append,
            self.presence,
        )


def static_server(root: Path, hosts: Sequence[str] = ("localhost",), **options: object) -> Server:
    files = StaticFiles(root)
    return Server(dict.fromkeys(hosts, files), **options)  # type: ignore[arg-type]  # the dataclass's own fields


@contextlib.asynccontextmanager
async def keeping_time(server: Server) -> AsyncIterator[None]:
    """The server looks at the clock meanwhile."""
    async with trio.open_nursery() as background:
        background.start_soon(server.connections.keep_time)
        yield
        background.cancel_scope.cancel()


# In memory


async def ask_in_memory(
    server: Server,
    chunks: Sequence[bytes],
    *,
    server_name: str | None = "localhost",
    certificate: Pair | None = None,
    closes: bool = False,
    address: str = "127.0.0.1",
) -> Answer:
    """One connection: send the chunks one by one, then read to the end."""
    ours, theirs = memory_stream_pair()
    received = bytearray()
    clean = False
    async with keeping_time(server), trio.open_nursery() as nursery:
        nursery.start_soon(server.connections.serve, theirs, address, 50000, URI_PORT)
        client = TLSStream(
            ours,
            client_context(certificate),  # type: ignore[arg-type]  # as above
            server_side=False,
            server_name=server_name or "",
        )
        await client.do_handshake()
        with contextlib.suppress(trio.BrokenResourceError):
            for chunk in chunks:
                await client.send_all(chunk)
                await trio.testing.wait_all_tasks_blocked()
        if closes:
            await ours.send_eof()
        try:
            while data := await client.receive_some():
                received += data
            clean = True
        except Truncated:
            clean = False
        await ours.aclose()
    return Answer(bytes(received), clean)


# On real sockets


@contextlib.asynccontextmanager
async def listening(
    server: Server, *, stall: float = 30, port: int | None = URI_PORT
) -> AsyncIterator[tuple[str, int]]:
    """Accept on an ephemeral port of 127.0.0.1, answering for ``port`` in URIs."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    listen_on(sock)
    listener = Listener(sock, server.connections, server.admission, port=port, stall=stall)
    try:
        async with trio.open_nursery() as running:
            running.start_soon(server.connections.keep_time)
            running.start_soon(listener.run, running)
            yield sock.getsockname()
            running.cancel_scope.cancel()
    finally:
        sock.close()


def stdlib_context(version: ssl.TLSVersion | None = None, certificate: Path | None = None) -> ssl.SSLContext:
    """The standard library's TLS, which is not the OpenSSL that the server uses."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    # Some builds of Python take a truncated answer for a whole one.
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    if version:
        context.minimum_version = context.maximum_version = version
    if certificate:
        context.load_cert_chain(certificate)
    return context


async def connect(
    address: tuple[str, int], context: ssl.SSLContext | None = None, server_name: str | None = "localhost"
) -> trio.SSLStream[trio.SocketStream]:
    """A TLS connection by trio and the standard library, hands shaken."""
    transport = await trio.open_tcp_stream(*address)
    stream = trio.SSLStream(transport, context or stdlib_context(), server_hostname=server_name)
    try:
        await stream.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(transport)
        raise
    return stream


async def read_all(stream: trio.abc.ReceiveStream) -> Answer:
    """Read to the end; `trio.SSLStream` tells whether that was announced by close_notify."""
    received = bytearray()
    try:
        while data := await stream.receive_some(65536):
            received += data
    except trio.BrokenResourceError:
        return Answer(bytes(received), clean=False)
    return Answer(bytes(received), clean=True)


async def ask(
    address: tuple[str, int],
    request: bytes,
    *,
    context: ssl.SSLContext | None = None,
    server_name: str | None = "localhost",
    closes: bool = False,
) -> Answer:
    """One request over a real connection."""
    stream = await connect(address, context, server_name)
    with contextlib.suppress(trio.BrokenResourceError):
        await stream.send_all(request)
        if closes:
            await stream.transport_stream.send_eof()
    answer = await read_all(stream)
    await trio.aclose_forcefully(stream)
    return answer
