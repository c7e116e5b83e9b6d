"""What clients do besides sending a line and reading the answer, and how the server takes it.

The capsule is that of `support.cases`. The clients speak the standard library's TLS over any transport,
so that each row runs in memory and over sockets.
"""

from __future__ import annotations

import socket
import ssl
import struct
import tempfile
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pad19.dispatch.record import Record
from pad19.dispatch.zones.guard import Zones
from pad19.dispatch.zones.lists import Fingerprints
from pad19.dispatch.zones.zone import Grant, Zone
from pad19.tls.identity import identify
from support.cases import CAFE, DOCS, INDEX, LARGE
from support.server import Answer, read_all, stdlib_context
from support.tls import Pair, expired, self_signed

ASK = b"gemini://localhost/\r\n"
ASK_LARGE = b"gemini://localhost/large.bin\r\n"
ASK_MEMBERS = b"gemini://localhost/docs/\r\n"  # see ZONES
PATIENCE = 10.0  # seconds until something that must happen counts as missing
ALERT = 0x15  # the content type of a TLS record (RFC 8446, section 5.1)
EARLY_DATA = 42  # the type of a TLS extension (RFC 8446, section 4.2.10)


class Log(list[Record]):
    """Records for which somebody can wait."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting = trio.lowlevel.ParkingLot()

    def append(self, record: Record) -> None:
        super().append(record)
        self._waiting.unpark_all()

    async def has(self, count: int) -> None:
        """Wait until there are so many."""
        with trio.fail_after(PATIENCE):
            while len(self) < count:
                await self._waiting.park()


@dataclass(frozen=True, slots=True)
class There:
    """A server from outside."""

    connect: Callable[[], Awaitable[trio.abc.HalfCloseableStream]]
    log: Log

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[trio.abc.HalfCloseableStream]:
        transport = await self.connect()
        try:
            yield transport
        finally:
            await trio.aclose_forcefully(transport)


Client = Callable[["Visit", There], Awaitable[Answer | None]]  # None: it heard no answer


async def ask(visit: Visit, there: There) -> Answer:
    return await _ask(visit, there, visit.context())


async def _ask(
    visit: Visit, there: There, context: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> Answer:
    async with there.connected() as transport:
        stream = trio.SSLStream(transport, context, server_hostname=visit.server_name)
        if session:
            stream.session = session
        await stream.do_handshake()
        assert stream.session_reused == bool(session)
        for piece in visit.pieces:
            await stream.send_all(piece)
        return await read_all(stream)


async def fail_to_agree(visit: Visit, there: There) -> None:
    with pytest.raises(trio.BrokenResourceError) as failed:
        await ask(visit, there)
    assert isinstance(failed.value.__cause__, ssl.SSLError)


async def say_nothing(visit: Visit, there: There) -> None:
    async with there.connected() as transport:
        assert await transport.receive_some() == b""


async def speak_no_tls(visit: Visit, there: There) -> None:
    async with there.connected() as transport:
        for piece in visit.pieces:
            await transport.send_all(piece)
        received = b"".join([data async for data in transport])
    assert received[:1] in {b"", bytes([ALERT])}
    assert len(received) <= 7  # bytes of an alert; nothing that a person could read


async def leave(visit: Visit, there: There) -> None:
    async with _left_after_asking(visit, there):
        pass


async def reset(visit: Visit, there: There) -> None:
    async with _left_after_asking(visit, there) as transport:
        assert isinstance(transport, trio.SocketStream)
        transport.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def read_nothing(visit: Visit, there: There) -> None:
    async with _left_after_asking(visit, there):
        await there.log.has(1)
    assert there.log[0].bytes_sent < len(LARGE)


@asynccontextmanager
async def _left_after_asking(visit: Visit, there: There) -> AsyncIterator[trio.abc.Stream]:
    async with there.connected() as transport:
        stream = trio.SSLStream(transport, visit.context(), server_hostname=visit.server_name)
        for piece in visit.pieces:
            await stream.send_all(piece)
        yield transport


async def come_back(visit: Visit, there: There) -> Answer:
    """Ask again in the session of a first visit."""
    context = visit.context()
    async with there.connected() as transport:
        stream = trio.SSLStream(transport, context, server_hostname=visit.server_name)
        await stream.send_all(ASK)
        assert (await read_all(stream)).clean
        session = stream.session
    assert session
    return await _ask(visit, there, context, session)


async def look_at_tickets(visit: Visit, there: There) -> Answer:
    """Early data may be sent only with a ticket that says so (RFC 8446, section 4.2.10)."""
    tickets: list[bytes] = []

    def look(conn: object, direction: str, version: int, content: int, kind: object, data: bytes) -> None:
        if getattr(kind, "name", "") == "NEWSESSION_TICKET":
            tickets.append(data)

    context = visit.context()
    # Nothing public tells what is in a ticket. Should this be gone, there are none, and that is seen.
    context._msg_callback = look  # type: ignore[attr-defined]  # typeshed leaves private names out
    answer = await _ask(visit, there, context)
    assert tickets
    for ticket in tickets:
        assert EARLY_DATA not in _extensions(ticket)
    return answer


def _extensions(ticket: bytes) -> set[int]:
    """The types of the extensions of a NewSessionTicket (RFC 8446, section 4.6.1)."""
    rest = ticket[4 + 4 + 4 :]  # message header, lifetime, age
    rest = rest[1 + rest[0] :]  # nonce
    rest = rest[2 + int.from_bytes(rest[:2], "big") :]  # the ticket itself
    size, rest = int.from_bytes(rest[:2], "big"), rest[2:]
    assert size == len(rest)
    found = set()
    while rest:
        found.add(int.from_bytes(rest[:2], "big"))
        rest = rest[4 + int.from_bytes(rest[2:4], "big") :]
    return found


@dataclass(frozen=True, slots=True)
class Visit:
    """What a client does, and what it gets."""

    number: int
    name: str
    client: Client
    status: int | None = 20  # None: no header is sent
    meta: str | None = None  # a pattern; None: any
    body: bytes = b""
    reason: str = ""  # a pattern, in the record
    pieces: Sequence[bytes] = (ASK,)
    server_name: str | None = "localhost"  # SNI
    version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
    certificate: Pair | None = None
    handshake: float = PATIENCE  # seconds, the server's deadline
    stall: float = PATIENCE  # seconds, the server's deadline for a client that reads nothing
    not_in_memory: str = ""  # why

    def __str__(self) -> str:
        return f"{self.number} {self.name}"

    @property
    def agreed(self) -> str:
        """The version in the record."""
        return "" if self.client in {say_nothing, speak_no_tls, fail_to_agree} else _name(self.version)

    def context(self) -> ssl.SSLContext:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of old versions
            context = stdlib_context(self.version)
        if self.version < ssl.TLSVersion.TLSv1_2 or self.certificate:
            context.set_ciphers("ALL:@SECLEVEL=0")  # or our own side would refuse to be so weak
        if self.certificate:
            with tempfile.NamedTemporaryFile() as file:
                file.write(self.certificate.key_pem + self.certificate.certificate_pem)
                file.flush()
                context.load_cert_chain(file.name)
        return context


def _name(version: ssl.TLSVersion) -> str:
    return version.name.replace("_", ".")


def _tampered() -> Pair:
    """A certificate with one bit of its signature changed."""
    pair = self_signed("Mallory")
    der = bytearray(pair.certificate.public_bytes(Encoding.DER))
    der[-1] ^= 1
    return Pair(x509.load_der_x509_certificate(bytes(der)), pair.private_key)


_TOMORROW = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
_DATE = r"\d{4}-\d\d-\d\d"
_ADA = self_signed("Ada")
_EVE = self_signed("Eve")
_FINGERPRINT = identify(_EVE.certificate).fingerprint

ZONES = Zones([Zone(("docs",), Grant(lists=(Fingerprints([identify(_ADA.certificate).fingerprint]),)))])

VISITS = [
    Visit(10, "no handshake", say_nothing, None, reason="handshake timeout", handshake=0.5),
    Visit(11, "no TLS", speak_no_tls, None, reason="handshake failed: .*"),
    Visit(11, "HTTP", speak_no_tls, None, reason="handshake failed: .*", pieces=(b"GET / HTTP/1.1\r\n\r\n",)),
    Visit(16, "1-byte writes", ask, body=INDEX, pieces=[bytes([byte]) for byte in ASK]),
    Visit(17, "CR and LF in records of their own", ask, body=INDEX, pieces=(ASK[:-2], b"\r", b"\n")),
    *(
        Visit(
            66, _name(version), fail_to_agree, None, version=version,
            reason="handshake failed: unsupported protocol",
        )
        for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)
    ),
    Visit(67, "TLS 1.2", ask, body=INDEX, version=ssl.TLSVersion.TLSv1_2),
    Visit(68, "TLS 1.3", ask, body=INDEX),
    # The specification demands SNI of clients; nothing is gained by sending those away that have none.
    Visit(69, "no server name", ask, body=INDEX, server_name=None),
    Visit(70, "server name of another capsule", ask, 53, server_name=CAFE),
    Visit(70, "unknown server name", ask, 53, server_name="unknown.example"),
    *(
        Visit(71, f"server name {name}", ask, body=INDEX, server_name=name)
        for name in ("LOCALHOST", "LocalHost", "localhost.", "LOCALHOST.")
    ),
    # Whether the answer still found somebody is a matter of luck.
    Visit(72, "closes after the request", leave, reason="(client left: .*)?"),
    Visit(
        72, "resets after the request", reset, reason="(client left: .*)?",
        not_in_memory="a reset is the kernel's",
    ),
    Visit(
        73, "reads nothing", read_nothing, reason=r"client left: client read nothing for 0\.3 s",
        pieces=(ASK_LARGE,), stall=0.3, not_in_memory="memory takes everything: it is sockets that stall",
    ),
    Visit(74, "certificate on a public page", ask, body=INDEX, certificate=_ADA),
    Visit(74, "certificate in TLS 1.2", ask, body=INDEX, certificate=_ADA, version=ssl.TLSVersion.TLSv1_2),
    Visit(75, "protected path, no certificate", ask, 60, ".* client certificate: .*", pieces=(ASK_MEMBERS,)),
    Visit(
        76, "protected path, unlisted certificate", ask, 61, f".* {_FINGERPRINT}", certificate=_EVE,
        pieces=(ASK_MEMBERS,),
    ),
    *(
        Visit(
            76, f"protected path, listed certificate, {_name(version)}", ask, body=DOCS, certificate=_ADA,
            pieces=(ASK_MEMBERS,), version=version,
        )
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
    ),
    Visit(
        77, "expired, on a protected path", ask, 62, f".* expired on {_DATE}", certificate=expired(),
        pieces=(ASK_MEMBERS,),
    ),
    Visit(77, "expired", ask, 62, f".* expired on {_DATE}", certificate=expired()),
    Visit(
        77, "not yet valid", ask, 62, f".* not valid before {_DATE}",
        certificate=self_signed("later", not_before=_TOMORROW),
    ),
    Visit(78, "no CN, valid to 9999", ask, body=INDEX, certificate=self_signed(None)),
    Visit(78, "RSA-2048", ask, body=INDEX, certificate=self_signed("rsa", rsa_bits=2048)),
    Visit(78, "RSA-1024", ask, 62, ".* too weak: 1024 bits,.*", certificate=self_signed("x", rsa_bits=1024)),
    Visit(78, "wrong signature", ask, 62, ".* signature is wrong", certificate=_tampered()),
    *(
        Visit(79, f"resumed {_name(version)}", come_back, body=INDEX, certificate=_ADA, version=version)
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
    ),
    Visit(79, "no early data", look_at_tickets, body=INDEX),
    Visit(80, "large file", ask, body=LARGE, pieces=(ASK_LARGE,)),
]  # fmt: skip
