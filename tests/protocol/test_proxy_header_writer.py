"""Every header is read back: the addresses by our own reader, the TLVs by the text of the protocol."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pad19.protocol.client import Client, Identity
from pad19.protocol.proxy_header import MAX_V2, Endpoint, ProxyHeader, ProxyHeaderReader
from pad19.protocol.proxy_header_writer import introduce

PRINT, KEY_PRINT = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
TLS = b"\x16\x03\x01"
VERIFY = b"\0\0\0\1"  # not verified


def identity(name: str | None = "Ada") -> Identity:
    subject = (("CN", name),) if name is not None else ()
    dates = datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
    return Identity(PRINT, KEY_PRINT, subject, subject, 1, *dates)


def tlvs(block: bytes) -> list[tuple[int, bytes]]:
    found = []
    while block:
        length = int.from_bytes(block[1:3])
        assert len(block) >= 3 + length
        found.append((block[0], block[3 : 3 + length]))
        block = block[3 + length :]
    return found


def read(header: bytes) -> ProxyHeader:
    reader = ProxyHeaderReader()
    found = reader.receive(header + TLS)
    assert reader.rest == TLS
    assert found is not None
    return found


ADDRESSES: list[tuple[str, int, Endpoint | None, Endpoint | None, int]] = [
    ("192.0.2.7", 50000, ("192.0.2.7", 50000), ("0.0.0.0", 1966), 12),
    ("2001:db8::7", 65535, ("2001:db8::7", 65535), ("::", 1966), 36),
    ("", 0, None, None, 0),
]


@pytest.mark.parametrize(("address", "port", "source", "destination", "size"), ADDRESSES)
def test_addresses(
    address: str, port: int, source: Endpoint | None, destination: Endpoint | None, size: int
) -> None:
    header = introduce(Client(address, port, None, "TLSv1.3"), 1966)
    assert read(header) == ProxyHeader(source, destination)
    assert tlvs(header[16 + size :]) == [(0x20, b"\x01" + VERIFY + b"\x21\0\x07TLSv1.3")]


FACTS = [  # client, TLVs, TLVs within the one for TLS
    (Client("192.0.2.7", 1, "a.test", "TLSv1.2"), [(0x02, b"a.test")], b"\x01", [(0x21, b"TLSv1.2")]),
    (
        Client("192.0.2.7", 1, "a.test", "TLSv1.3", identity("Ada é")),
        [(0x02, b"a.test"), (0xE0, PRINT.encode()), (0xE1, KEY_PRINT.encode())],
        b"\x05",
        [(0x21, b"TLSv1.3"), (0x22, "Ada é".encode())],
    ),
    (
        Client("192.0.2.7", 1, None, "TLSv1.3", identity(None)),
        [(0xE0, PRINT.encode()), (0xE1, KEY_PRINT.encode())],
        b"\x05",
        [(0x21, b"TLSv1.3")],
    ),
    (
        Client("192.0.2.7", 1, None, "TLSv1.3", identity("x" * 255)),
        [(0xE0, PRINT.encode()), (0xE1, KEY_PRINT.encode())],
        b"\x05",
        [(0x21, b"TLSv1.3"), (0x22, b"x" * 255)],
    ),
    (
        Client("192.0.2.7", 1, None, "TLSv1.3", identity("é" * 128)),  # 256 bytes
        [(0xE0, PRINT.encode()), (0xE1, KEY_PRINT.encode())],
        b"\x05",
        [(0x21, b"TLSv1.3")],
    ),
]


@pytest.mark.parametrize(("client", "outer", "flags", "inner"), FACTS)
def test_facts(
    client: Client, outer: list[tuple[int, bytes]], flags: bytes, inner: list[tuple[int, bytes]]
) -> None:
    found = tlvs(introduce(client, 1965)[16 + 12 :])
    [tls] = [value for kind, value in found if kind == 0x20]
    assert [each for each in found if each[0] != 0x20] == outer
    assert tls[:5] == flags + VERIFY
    assert tlvs(tls[5:]) == inner


@given(st.text(), st.text())
def test_any_names(common_name: str, server_name: str) -> None:
    header = introduce(Client("::1", 1, server_name, "TLSv1.3", identity(common_name)), 1965)
    assert len(header) <= MAX_V2
    assert read(header).source == ("::1", 1)
