"""Certificates for tests, TLS over memory, and sockets without a network."""

from __future__ import annotations

import math
import socket
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

import trio
import trio.testing
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from pad19.tls.context import Contexts, client_context
from pad19.tls.socket_stream import SocketStream
from pad19.tls.stream import TLSStream

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Pair:
    """What a context is made of."""

    certificate: x509.Certificate
    private_key: Key
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def fingerprint(self) -> str:
        """As clients tell certificates apart."""
        return f"sha256:{self.certificate.fingerprint(hashes.SHA256()).hex()}"


@cache
def self_signed(
    name: str | None = "localhost",
    *,
    not_before: datetime = datetime(2020, 1, 1, tzinfo=UTC),
    not_after: datetime = datetime(9999, 12, 31, tzinfo=UTC),
    rsa_bits: int = 0,
    padding: int = 0,  # bytes by which an extension makes it larger
) -> Pair:
    key: Key = (
        rsa.generate_private_key(65537, rsa_bits) if rsa_bits else ec.generate_private_key(ec.SECP256R1())
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else [])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
    )
    if padding:
        comment = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.16.840.1.113730.1.13"), bytes(padding))
        builder = builder.add_extension(comment, critical=False)
    return Pair(builder.sign(key, hashes.SHA256()), key)


def expired() -> Pair:
    return self_signed("expired", not_after=datetime.now(UTC).replace(microsecond=0) - timedelta(days=1))


def server_contexts(*hosts: str) -> Contexts:
    return Contexts({host: self_signed(host) for host in hosts or ("localhost",)})  # type: ignore[misc]  # a Pair has what is used of Credentials


async def memory_pair(
    client_pair: Pair | None = None, server_name: str = "localhost", contexts: Contexts | None = None
) -> tuple[TLSStream, TLSStream]:
    """A client and a server in memory, shaken hands."""
    return await shaken(*trio.testing.memory_stream_pair(), client_pair, server_name, contexts)


async def shaken(
    ours: trio.abc.Stream,
    theirs: trio.abc.Stream,
    client_pair: Pair | None = None,
    server_name: str = "localhost",
    contexts: Contexts | None = None,
) -> tuple[TLSStream, TLSStream]:
    """A client over ``ours`` and a server over ``theirs``, shaken hands."""
    client = TLSStream(ours, client_context(client_pair), server_side=False, server_name=server_name)  # type: ignore[arg-type]  # as above
    server = TLSStream(theirs, (contexts or server_contexts()).default)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.do_handshake)
        nursery.start_soon(server.do_handshake)
    return client, server


def socket_pair(stall: float = math.inf) -> tuple[SocketStream, SocketStream]:
    """Two ends of a connection over sockets. ``stall``: see `SocketStream`."""
    pair = socket.socketpair()
    for sock in pair:
        sock.setblocking(False)
    return SocketStream(pair[0], stall), SocketStream(pair[1], stall)
