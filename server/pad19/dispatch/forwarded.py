"""Connections that a forwarder such as HAProxy brings, each with a PROXY header in front of its TLS.

The header is believed, so only from peers that are known, and it is never guessed whether there is
one. Everything after it (limits, log, `Client.address`) has the address that it names.

A forwarder asks all the time whether we live. A health check gets no line in the log: one that says
LOCAL (or in version 1, its own two ends), whatever it asks for, and one that says nothing and leaves.
"""

import logging
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

import trio

from pad19.protocol.address import parse_address
from pad19.protocol.proxy_header import InvalidProxyHeader, ProxyHeader, ProxyHeaderReader
from pad19.tls.socket_stream import RewindableStream

from .connection import Connections
from .limits.admission import Admission, NoRoom
from .listener import Listener
from .record import Record

LOGGER = logging.getLogger("pad19.dispatch")

HEADER = 512  # bytes; nearly all headers, and as much of the TLS behind it as is handed on


@dataclass(frozen=True, slots=True)
class Forwarders:
    """Whom a listener believes, and how long it waits.

    ``networks`` None: everybody who gets through, which is right for a UNIX socket with its modes.
    ``header``: seconds that a header may take. The protocol advises at least 3, which is one lost packet.
    """

    networks: Sequence[IPv4Network | IPv6Network] | None
    header: float = 10.0

    def trusts(self, address: str) -> bool:
        """Is this the address of a forwarder?"""
        if self.networks is None:
            return True
        ip = parse_address(address)
        return any(ip in network for network in self.networks)


class ForwardedListener(Listener):
    """A `Listener` whose connections begin with a PROXY header.

    ``checks`` serves health checks, without a log. ``check_port``: URIs must name the port that the
    client connected to, if the header tells it.
    """

    def __init__(
        self,
        sock: socket.socket,
        connections: Connections,
        checks: Connections,
        admission: Admission,
        forwarders: Forwarders,
        log: Callable[[Record], None],
        *,
        check_port: bool,
        stall: float,
    ) -> None:
        super().__init__(sock, connections, admission, port=None, stall=stall)
        self._checks = checks
        self._forwarders = forwarders
        self._log = log
        self._check_port = check_port

    def _serve(self, sock: socket.socket, host: str, port: int, nursery: trio.Nursery) -> None:
        if not self._forwarders.trusts(host):
            sock.close()
            self._log(Record(address=host, started=time.time(), reason="not a forwarder"))
            return
        transport = RewindableStream(sock, self._stall)
        own = _own_header(host, port, sock.getsockname())
        nursery.start_soon(self._serve_forwarded, transport, host, port, own, name="connection")

    async def _serve_forwarded(
        self, transport: RewindableStream, host: str, port: int, own: ProxyHeader | None
    ) -> None:
        header = await self._introduce(transport, host)
        if header is None:
            transport.close()
            return
        if header == own:  # version 1 has no LOCAL: a health check names the two ends of itself
            header = ProxyHeader(local=True)
        address, client_port = header.source or (host, port)
        port_in_uri = header.destination[1] if header.destination and self._check_port else None
        connections = self._checks if header.local else self._connections
        await connections.serve(transport, address, client_port, port_in_uri)

    async def _introduce(self, transport: RewindableStream, host: str) -> ProxyHeader | None:
        """The header; None if there is nothing to serve, which has its line in the log then."""
        record = Record(address=host, started=time.time())
        begin = time.perf_counter()
        # Until we know better, the connection is the forwarder's own, and counts as that.
        ticket = None
        try:
            ticket = self._admission.enter(host, trusted=True)
            with trio.move_on_after(self._forwarders.header):
                return await self._read_header(transport)
            record.reason = "PROXY header timeout"
        except NoRoom:
            record.reason = "no room"
        except InvalidProxyHeader as error:
            record.reason = f"bad PROXY header: {error}"
        except trio.Cancelled:
            record.reason = "server stopped"
            transport.close()
            raise
        except Exception:
            LOGGER.exception("a PROXY header failed")
            record.reason = "internal error"
        finally:
            if ticket is not None:
                self._admission.leave(ticket)
            if record.reason:
                record.duration = time.perf_counter() - begin
                self._log(record)
        return None

    async def _read_header(self, transport: RewindableStream) -> ProxyHeader | None:
        """The header; None for a health check that leaves without a word.

        Raises:
            InvalidProxyHeader: There is none, or only a part of one.
        """
        reader = ProxyHeaderReader()
        data = await _receive(transport)
        if not data:
            return None
        while (header := reader.receive(data)) is None:
            data = await _receive(transport)
        rest = reader.rest
        if header.source is None and not header.local and not rest:
            # Health checks of version 1 by way of a UNIX socket say UNKNOWN, and then nothing.
            rest = await _receive(transport)
            if not rest:
                return None
        transport.push_back(rest)
        return header


def _own_header(host: str, port: int, here: object) -> ProxyHeader | None:
    """What a forwarder says that names the two ends of its connection; None for a UNIX socket."""
    if not isinstance(here, tuple):
        return None
    # A socket for both families says ::ffff:192.0.2.1, and the forwarder 192.0.2.1.
    return ProxyHeader((host, port), (here[0].removeprefix("::ffff:"), here[1]))


async def _receive(transport: RewindableStream) -> bytes:
    try:
        return await transport.receive_some(HEADER)
    except trio.BrokenResourceError:
        return b""  # health checks end in a reset
