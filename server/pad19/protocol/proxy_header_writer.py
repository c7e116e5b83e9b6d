"""What we say as a forwarder about a client: a PROXY header of version 2, with its certificate in TLVs.

Source: HAProxy's proxy-protocol.txt, section 2.2. Gemini itself has no place for such facts. Whoever
receives them must take them from known forwarders only (see `proxy_header`, which reads the addresses
and skips the rest).
"""

import struct
from collections.abc import Iterator
from ipaddress import ip_address

from .client import Client, Identity

MAX_TEXT = 255  # bytes of a name; a longer one is left out, since a part of it would be another name

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_PROXY = 0x21  # version 2, command PROXY
_UNSPEC, _TCP4, _TCP6 = 0x00, 0x11, 0x21

# Types of TLVs (section 2.2.1 and below).
AUTHORITY = 0x02  # the host in the client's SNI
SSL = 0x20
SSL_VERSION = 0x21  # in SSL, as "TLSv1.3"
SSL_CN = 0x22  # in SSL, the first CN of the certificate's subject
# In the range for custom use (2.2.8). Both are ASCII, "sha256:" and 64 lower-case hex digits.
FINGERPRINT = 0xE0  # of the certificate
KEY_FINGERPRINT = 0xE1  # of its public key

_CLIENT_SSL = 0x01
_CLIENT_CERT_SESS = 0x04  # shown in this connection, or in the one whose session it resumes
_NOT_VERIFIED = 1  # X509_V_ERR_UNSPECIFIED: certificates are their owners' own, and nobody vouches for them


def introduce(client: Client, port: int) -> bytes:
    """The header for a connection that is made for ``client``.

    ``port``: the one that the request names. It stands for the destination, whose address is all zeros,
    since requests do not tell it. A client of a UNIX socket has no address, and its header none either.
    """
    family, addresses = _addresses(client, port)
    block = addresses + b"".join(_tlvs(client))
    return _SIGNATURE + struct.pack(">BBH", _PROXY, family, len(block)) + block


def _addresses(client: Client, port: int) -> tuple[int, bytes]:
    if not client.address:
        return _UNSPEC, b""
    ip = ip_address(client.address)
    nowhere = bytes(len(ip.packed))
    return (
        _TCP4 if ip.version == 4 else _TCP6,
        ip.packed + nowhere + struct.pack(">HH", client.port, port),
    )


def _tlvs(client: Client) -> Iterator[bytes]:
    if client.server_name:
        yield _tlv(AUTHORITY, client.server_name)
    yield _ssl(client)
    if client.certificate:
        yield _tlv(FINGERPRINT, client.certificate.fingerprint)
        yield _tlv(KEY_FINGERPRINT, client.certificate.key_fingerprint)


def _ssl(client: Client) -> bytes:
    flags = _CLIENT_SSL | (_CLIENT_CERT_SESS if client.certificate else 0)
    value = struct.pack(">BI", flags, _NOT_VERIFIED) + _tlv(SSL_VERSION, client.tls_version)
    if client.certificate:
        value += _common_name(client.certificate)
    return struct.pack(">BH", SSL, len(value)) + value


def _common_name(certificate: Identity) -> bytes:
    return _tlv(SSL_CN, certificate.common_name) if certificate.common_name else b""


def _tlv(kind: int, text: str) -> bytes:
    value = text.encode("utf-8", "replace")
    return struct.pack(">BH", kind, len(value)) + value if len(value) <= MAX_TEXT else b""
