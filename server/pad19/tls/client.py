"""The client's side of one exchange: connect, look at the server's certificate, ask, read.

Nobody is trusted or refused here. Whoever calls compares `Connection.server` with what is known of
the host (TOFU) before asking, since a request can be a secret. Deadlines are the caller's, too.
"""

import errno
import os
import socket
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing

import trio
from cryptography import x509
from OpenSSL import SSL

from pad19.protocol.address import is_address
from pad19.protocol.client import Identity
from pad19.protocol.response_reader import BadHeader, Header, ResponseReader
from pad19.protocol.uri import wildcard_of

from .certificate import alternative_names
from .errors import HandshakeFailed, Truncated
from .stream import RECORD, TLSStream

# What OpenSSL says when the first bytes from the other side are no TLS record.
_NO_TLS = {"wrong version number", "packet length too long", "unexpected message", "record layer failure"}


class ConnectFailed(Exception):
    """The server could not be reached, or speaks no TLS that we speak. The message is a sentence."""


class Connection(trio.abc.AsyncResource):
    """A server that was reached and not asked yet. One request, one response.

    Closing says close_notify; a server that writes on after that sees the connection break.
    """

    def __init__(self, stream: TLSStream, server: Identity, names: tuple[str, ...]) -> None:
        self.stream = stream
        self.server = server  # what its certificate says
        self.names = names  # the hosts of the certificate, in lower case; IPv6 addresses in brackets
        self.address = ""  # that answered
        self.connect_seconds = self.handshake_seconds = 0.0
        self._rest = b""

    @property
    def cipher(self) -> str:
        """OpenSSL's name of the cipher suite."""
        return self.stream.cipher

    def covers(self, host: str) -> bool:
        """Whether the server's certificate is for a normalised host."""
        host = host.removesuffix(".")
        return host in self.names or wildcard_of(host) in self.names

    async def ask(self, uri: str) -> Header:
        """Send the request and receive the header. ``uri``: ASCII, at most MAX_URI bytes.

        Raises:
            BadHeader: The answer has no valid header.
            trio.BrokenResourceError: The connection broke.
        """
        await self.stream.write(f"{uri}\r\n".encode("ascii"))
        return await self._receive_header()

    async def upload(self, uri: str, body: AsyncGenerator[bytes, None]) -> Header:
        """The same with a body behind the line (Titan), which is closed in the end.

        A server may answer before it has all of it; the rest is not sent then.

        Raises:
            BadHeader: The answer has no valid header.
            trio.BrokenResourceError: The connection broke.
            Exception: What ``body`` raises.
        """
        failure: Exception | None = None
        header: Header | None = None

        async def send() -> None:
            nonlocal failure
            try:
                async with aclosing(body):
                    await self.stream.write(f"{uri}\r\n".encode("ascii"))
                    async for chunk in body:
                        await self.stream.write(chunk)
            except trio.BrokenResourceError:
                return  # it has answered and closed, maybe
            except Exception as error:
                failure = error
                nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            try:
                header = await self._receive_header()
            except (BadHeader, trio.BrokenResourceError) as error:
                failure = error
            nursery.cancel_scope.cancel()
        if failure or not header:
            raise failure or trio.BrokenResourceError("the upload was cut off")
        return header

    async def _receive_header(self) -> Header:
        reader = ResponseReader()
        while True:
            try:
                data = await self.stream.read()
            except Truncated:
                data = b""
            if header := reader.receive(data):
                self._rest = reader.rest
                return header

    async def read(self, max_bytes: int = RECORD) -> bytes:
        """The next bytes of the body; ``b""`` at its end.

        Raises:
            Truncated: The server closed without close_notify: some of it may be missing.
            trio.BrokenResourceError: The connection broke.
        """
        if self._rest:
            data, self._rest = self._rest[:max_bytes], self._rest[max_bytes:]
            return data
        return await self.stream.read(max_bytes)

    async def aclose(self) -> None:
        """Close, politely if that needs no waiting."""
        await self.stream.aclose()


async def connect(
    host: str,
    port: int,
    context: SSL.Context,
    *,
    via: tuple[str, int] | None = None,
    preface: bytes = b"",
) -> Connection:
    """Connect to a normalised host and shake hands.

    ``via``: the host and port to connect to in its place; the server is still asked for ``host``.
    ``preface``: what goes in front of TLS, such as a PROXY header.

    Raises:
        ConnectFailed: It has no address, no address answers, or there is no TLS to agree on.
    """
    begin = trio.current_time()
    where, where_port = via or (host, port)
    name = f"{where}:{where_port}"
    transport = await _reach(where, where_port)
    connected = trio.current_time()
    stream = TLSStream(transport, context, server_side=False, server_name=_server_name(host))
    try:
        if preface:
            await transport.send_all(preface)
        connection = await _shake_hands(stream, name)
        connection.address = transport.socket.getpeername()[0]
    except BaseException as error:
        await stream.abort()
        if isinstance(error, (trio.BrokenResourceError, OSError)):
            raise ConnectFailed(_explain(name, error)) from error
        raise
    connection.connect_seconds = connected - begin
    connection.handshake_seconds = trio.current_time() - connected
    return connection


async def _reach(host: str, port: int) -> trio.SocketStream:
    try:
        return await trio.open_tcp_stream(host.strip("[]"), port)
    except socket.gaierror as error:
        raise ConnectFailed(f"{host} has no address that could be found ({error.strerror})") from error
    except OSError as error:
        numbers = _numbers(error)
        reasons = ", ".join(map(os.strerror, numbers)) or str(error)
        hint = ": is the server running?" if errno.ECONNREFUSED in numbers else ""
        raise ConnectFailed(f"{host}:{port} cannot be reached ({reasons}){hint}") from error


async def _shake_hands(stream: TLSStream, name: str) -> Connection:
    await stream.do_handshake()
    try:
        certificate, server = stream.peer_certificate, stream.identity
    except ValueError as error:  # cryptography's, for what OpenSSL let through
        raise ConnectFailed(f"{name} has a malformed certificate") from error
    if certificate is None or server is None:  # no cipher suite of ours goes without
        raise ConnectFailed(f"{name} has no certificate")
    return Connection(stream, server, _names(certificate, server))


def _server_name(host: str) -> str:
    """What goes into the SNI: a name without its trailing dot, and no address (RFC 6066, section 3)."""
    return "" if is_address(host) else host.removesuffix(".")


def _numbers(error: OSError) -> Collection[int]:
    """Why each of the addresses failed: usually one errno for all of them."""
    errors = error.__cause__.exceptions if isinstance(error.__cause__, ExceptionGroup) else (error,)
    return dict.fromkeys(each.errno for each in errors if isinstance(each, OSError) and each.errno)


def _explain(name: str, error: trio.BrokenResourceError | OSError) -> str:
    why = reason(error)
    if isinstance(error, HandshakeFailed) and why in _NO_TLS:
        return f"{name} does not speak TLS ({why})"
    return f"{name} agreed on no TLS connection ({why})"


def reason(error: trio.BrokenResourceError | OSError) -> str:
    """Why a connection broke, in the few words of the system or of OpenSSL."""
    cause = error if isinstance(error, OSError) else error.__cause__
    return os.strerror(cause.errno) if isinstance(cause, OSError) and cause.errno else str(error)


def _names(certificate: x509.Certificate, server: Identity) -> tuple[str, ...]:
    """The hosts of the subjectAltName; where there is none, the CN, as clients took it before."""
    try:
        hosts = alternative_names(certificate)
    except ValueError:
        return ()
    if hosts is None:
        return (server.common_name.lower(),) if server.common_name else ()
    # A stranger's text; a host name that is not printable covers nobody anyway.
    return tuple(host for host in hosts if host.isprintable())
