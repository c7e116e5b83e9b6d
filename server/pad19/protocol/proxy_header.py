"""What a forwarder says about a connection before its first byte: the PROXY protocol, versions 1 and 2.

Source: HAProxy's proxy-protocol.txt, sections 2.1 (text) and 2.2 (binary). Only for connections from
forwarders that are known: whoever may send this header may claim any address.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from .address import IPAddress, unmapped

MAX_V1 = 107  # bytes with CRLF: "the worst case" of section 2.1
# bytes; the length field allows 64 KiB. Addresses take 216 at most, and what else there is (TLVs) is small.
MAX_V2 = 4096

_V1 = b"PROXY "
_V2 = b"\r\n\r\n\0\r\nQUIT\n"
_FIXED = len(_V2) + 4  # bytes: version and command, family, length
_LOCAL, _PROXY = 0x20, 0x21
_INET, _INET6, _UNIX = 1, 2, 3  # families, the high nibble
_STREAM = 1  # the low one
_SIZES = {_INET: 12, _INET6: 36, _UNIX: 216}  # bytes of both addresses with their ports
_CRC32C = 0x03  # a TLV's type

Endpoint = tuple[str, int]  # IP address and port


class InvalidProxyHeader(ValueError):
    """No PROXY header, or a broken one. The message says why and repeats nothing of it."""


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """Who is connected to whom. None: it does not say, so that the socket's own addresses count."""

    source: Endpoint | None = None  # the client
    destination: Endpoint | None = None  # what the client connected to
    local: bool = False  # the forwarder speaks for itself, as in a health check


class ProxyHeaderReader:
    """Takes bytes as they arrive until they hold a header.

    ``rest`` is what came behind it: the beginning of TLS.
    """

    def __init__(self) -> None:
        self._received = b""
        self.rest = b""

    def receive(self, data: bytes) -> ProxyHeader | None:
        """Take the next bytes; ``b""`` means that the other side closed. None: incomplete.

        Raises:
            InvalidProxyHeader: It is too long, cut short, or no header.
        """
        self._received += data
        if _V2.startswith(self._received[: len(_V2)]):
            header = self._version2()
        elif _V1.startswith(self._received[: len(_V1)]):
            header = self._version1()
        elif self._received[:1] == b"\x16":  # a handshake record: the forwarder is not set up for PROXY
            raise InvalidProxyHeader("TLS came without one")
        else:
            raise InvalidProxyHeader("something else came instead")
        if header is None and not data:
            raise InvalidProxyHeader("cut short")
        return header

    def _version1(self) -> ProxyHeader | None:
        line, crlf, rest = self._received[:MAX_V1].partition(b"\r\n")
        if crlf:
            self.rest = rest + self._received[MAX_V1:]
            return _parse_line(line)
        if len(line) == MAX_V1:
            raise InvalidProxyHeader(f"longer than {MAX_V1} bytes")
        return None

    def _version2(self) -> ProxyHeader | None:
        if len(self._received) < _FIXED:
            return None
        command, family, length = struct.unpack_from(">BBH", self._received, len(_V2))
        if command not in {_LOCAL, _PROXY}:
            raise InvalidProxyHeader("unknown version or command")
        if _FIXED + length > MAX_V2:
            raise InvalidProxyHeader(f"longer than {MAX_V2} bytes")
        if len(self._received) < _FIXED + length:
            return None
        self.rest = self._received[_FIXED + length :]
        if command == _LOCAL:
            return ProxyHeader(local=True)  # what else it says is to be ignored, whatever it is
        return _parse_block(self._received[: _FIXED + length], family)


def _ip6(text: str) -> IPv6Address:
    if "%" in text:
        raise ValueError  # a zone means nothing on another machine
    return IPv6Address(text)


_READ: dict[str, Callable[[str], IPAddress]] = {"TCP4": IPv4Address, "TCP6": _ip6}


def _parse_line(line: bytes) -> ProxyHeader:
    """Version 1, without its CRLF."""
    if line == b"PROXY UNKNOWN" or line.startswith(b"PROXY UNKNOWN "):
        return ProxyHeader()  # the rest is to be ignored
    try:
        _, protocol, source, destination, source_port, destination_port = line.decode("ascii").split(" ")
        read = _READ[protocol]
        return ProxyHeader(
            (str(unmapped(read(source))), _port(source_port)),
            (str(unmapped(read(destination))), _port(destination_port)),
        )
    except (ValueError, KeyError):
        raise InvalidProxyHeader("not PROXY, TCP4 or TCP6, two addresses and two ports") from None


def _port(text: str) -> int:
    port = int(text) if text.isdigit() else -1
    if not 0 <= port <= 65535 or text != str(port):
        raise ValueError
    return port


def _parse_block(header: bytes, family: int) -> ProxyHeader:
    """Version 2, command PROXY, whole."""
    size = _SIZES.get(family >> 4)
    if size is None:
        return ProxyHeader()  # UNSPEC, or a family of days to come: nothing behind it can be told apart
    if len(header) < _FIXED + size:
        raise InvalidProxyHeader("too short for its addresses")
    for kind, start, end in _tlvs(header, _FIXED + size):
        if kind == _CRC32C:
            _check_sum(header, start, end)
    if family == _INET << 4 | _STREAM:
        *packed, source_port, destination_port = struct.unpack_from(">4s4sHH", header, _FIXED)
        source, destination = (str(IPv4Address(address)) for address in packed)
    elif family == _INET6 << 4 | _STREAM:
        *packed, source_port, destination_port = struct.unpack_from(">16s16sHH", header, _FIXED)
        source, destination = (str(unmapped(IPv6Address(address))) for address in packed)
    else:
        return ProxyHeader()  # a UNIX socket, or datagrams, which do not carry TLS
    return ProxyHeader((source, source_port), (destination, destination_port))


def _tlvs(header: bytes, start: int) -> Iterator[tuple[int, int, int]]:
    """Type, start and end of each value."""
    while start < len(header):
        if start + 3 > len(header):
            raise InvalidProxyHeader("a TLV is cut short")
        kind, length = struct.unpack_from(">BH", header, start)
        start, end = start + 3, start + 3 + length
        if end > len(header):
            raise InvalidProxyHeader("a TLV is longer than the header")
        yield kind, start, end
        start = end


def _check_sum(header: bytes, start: int, end: int) -> None:
    zeroed = header[:start] + bytes(end - start) + header[end:]
    if header[start:end] != crc32c(zeroed).to_bytes(4):
        raise InvalidProxyHeader("wrong checksum")


def _table() -> tuple[int, ...]:
    table = [*range(256)]
    for _ in range(8):
        table = [value >> 1 ^ (0x82F63B78 if value & 1 else 0) for value in table]
    return tuple(table)


_CRC_TABLE = _table()


def crc32c(data: bytes) -> int:
    """The Castagnoli CRC (RFC 3720, appendix B.4), which zlib does not have."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF
