import itertools
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pad19.protocol.proxy_header import (
    MAX_V1,
    MAX_V2,
    Endpoint,
    InvalidProxyHeader,
    ProxyHeader,
    ProxyHeaderReader,
    crc32c,
)

TLS = b"\x16\x03\x01\x02\x00\r\nPROXY "  # what follows, with all that could mislead
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V4 = bytes([192, 0, 2, 1, 198, 51, 100, 7]) + (56324).to_bytes(2) + (1965).to_bytes(2)
V6 = IPv6Address("2001:db8::1").packed + IPv6Address("2001:db8::2").packed + b"\xff\xff\0\0"
FROM_4 = ProxyHeader(("192.0.2.1", 56324), ("198.51.100.7", 1965))
FROM_6 = ProxyHeader(("2001:db8::1", 65535), ("2001:db8::2", 0))
NOWHERE = ProxyHeader()
LOCAL = ProxyHeader(local=True)


def v2(block: bytes, command: int = 0x21, family: int = 0x11) -> bytes:
    return SIGNATURE + bytes([command, family]) + len(block).to_bytes(2) + block


def tlv(kind: int, value: bytes) -> bytes:
    return bytes([kind]) + len(value).to_bytes(2) + value


def summed(block: bytes, behind: bytes = b"") -> bytes:
    """A header with its checksum, and more TLVs behind that."""
    start = 16 + len(block) + 3
    header = v2(block + tlv(3, bytes(4)) + behind)
    return header[:start] + crc32c(header).to_bytes(4) + header[start + 4 :]


HEADERS = [
    (b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 1965\r\n", FROM_4),
    (b"PROXY TCP6 2001:db8::1 2001:DB8:0:0::2 65535 0\r\n", FROM_6),
    (b"PROXY TCP6 ::ffff:192.0.2.1 ::FFFF:c633:6407 56324 1965\r\n", FROM_4),
    (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", None),
    (b"PROXY TCP6" + b" ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" * 2 + b" 65535 65535\r\n", None),
    (b"PROXY UNKNOWN\r\n", NOWHERE),
    (b"PROXY UNKNOWN 192.0.2.1 what\0 \xff\n\r \r\n", NOWHERE),
    (b"PROXY UNKNOWN" + b" ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" * 2 + b" 65535 65535\r\n", NOWHERE),
    (v2(V4), FROM_4),
    (v2(V6, family=0x21), FROM_6),
    (
        v2(IPv6Address("::ffff:192.0.2.1").packed + IPv6Address("::1").packed + b"\0\1\0\2", family=0x21),
        ProxyHeader(("192.0.2.1", 1), ("::1", 2)),
    ),
    (v2(bytes(216), family=0x31), NOWHERE),
    (v2(V4, family=0x12), NOWHERE),  # datagrams
    (v2(V6, family=0x20), NOWHERE),
    (v2(b"", family=0x00), NOWHERE),
    (v2(b"anything", family=0x00), NOWHERE),
    (v2(b"anything", family=0x41), NOWHERE),  # a family of days to come
    (v2(b"", 0x20, 0x00), LOCAL),
    (v2(V4, 0x20), LOCAL),
    (v2(b"x", 0x20), LOCAL),
    (v2(V4 + tlv(3, b"\0\0\0\0"), 0x20), LOCAL),
    (v2(V4 + tlv(4, b"") + tlv(2, b"example.org") + tlv(0xE0, bytes(300))), FROM_4),
    (v2(V4 + tlv(4, bytes(MAX_V2 - 16 - 12 - 3))), FROM_4),
    (summed(V4), FROM_4),
    (summed(V4 + tlv(2, b"example.org"), tlv(4, b"xyz")), FROM_4),
]

REFUSED = [  # bytes, or bytes before the end, and a part of the reason
    (b"", "cut short"),
    (b"P", "cut short"),
    (b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 1965\r", "cut short"),
    (b"\r\n\r\n\0\r\nQUIT", "cut short"),
    (v2(V4)[:15], "cut short"),
    (v2(V4)[:-1], "cut short"),
    (b"\x16\x03\x01", "TLS came"),
    (b"gemini://localhost/\r\n", "something else"),
    (b"proxy TCP4 192.0.2.1 198.51.100.7 56324 1965\r\n", "something else"),
    (b"PROXY\r\n", "something else"),
    (b"PROXZ", "something else"),
    (b" PROXY UNKNOWN\r\n", "something else"),
    (b"\r\n\r\n\0\r\nQUIT\r", "something else"),
    (b"\r\nPROXY UNKNOWN\r\n", "something else"),
    (b"PROXY \r\n", "not PROXY, TCP4"),
    (b"PROXY UNKNOWN2\r\n", "not PROXY, TCP4"),
    (b"PROXY unknown\r\n", "not PROXY, TCP4"),
    (b"PROXY UDP4 192.0.2.1 198.51.100.7 56324 1965\r\n", "not PROXY, TCP4"),
    (b"PROXY TCP4\r\n", "not PROXY, TCP4"),
    (b"PROXY TCP4 192.0.2.1 198.51.100.7 56324\r\n", "not PROXY, TCP4"),
    (b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 1965 \r\n", "not PROXY, TCP4"),
    (b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 1965 1\r\n", "not PROXY, TCP4"),
    (b"PROXY  TCP4 192.0.2.1 198.51.100.7 56324 1965\r\n", "not PROXY, TCP4"),
    (b"PROXY TCP4 192.0.2.1  198.51.100.7 56324 1965\r\n", "not PROXY, TCP4"),
    (b"PROXY TCP4\t192.0.2.1 198.51.100.7 56324 1965\r\n", "not PROXY, TCP4"),
    (b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 1965\n\r\n", "not PROXY, TCP4"),
    (b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 1965\r\r\n", "not PROXY, TCP4"),
    (b"PROXY TCP4 2001:db8::1 198.51.100.7 56324 1965\r\n", "not PROXY, TCP4"),
    (b"PROXY TCP6 192.0.2.1 198.51.100.7 56324 1965\r\n", "not PROXY, TCP4"),
    (b"PROXY TCP6 2001:db8::1 198.51.100.7 56324 1965\r\n", "not PROXY, TCP4"),
    (b"PROXY TCP6 fe80::1%eth0 fe80::2 1 2\r\n", "not PROXY, TCP4"),
    (b"PROXY TCP6 [::1] ::1 1 2\r\n", "not PROXY, TCP4"),
    (b"PROXY TCP4 192.0.2.256 198.51.100.7 56324 1965\r\n", "not PROXY, TCP4"),
    (b"PROXY TCP4 192.0.2 198.51.100.7 56324 1965\r\n", "not PROXY, TCP4"),
    (b"PROXY TCP4 192.0.2.01 198.51.100.7 56324 1965\r\n", "not PROXY, TCP4"),
    (b"PROXY TCP4 192.0.2.1/8 198.51.100.7 56324 1965\r\n", "not PROXY, TCP4"),
    (b"PROXY TCP4 3221225985 198.51.100.7 56324 1965\r\n", "not PROXY, TCP4"),
    (b"PROXY TCP4 localhost 198.51.100.7 56324 1965\r\n", "not PROXY, TCP4"),
    ("PROXY TCP4 192.0.2.\u0661 198.51.100.7 56324 1965\r\n".encode(), "not PROXY, TCP4"),
    (b"PROXY TCP4 192.0.2.1 198.51.100.7 65536 1965\r\n", "not PROXY, TCP4"),
    (b"PROXY TCP4 192.0.2.1 198.51.100.7 056324 1965\r\n", "not PROXY, TCP4"),
    (b"PROXY TCP4 192.0.2.1 198.51.100.7 -1 1965\r\n", "not PROXY, TCP4"),
    (b"PROXY TCP4 192.0.2.1 198.51.100.7 +1 1965\r\n", "not PROXY, TCP4"),
    (b"PROXY TCP4 192.0.2.1 198.51.100.7 1_0 1965\r\n", "not PROXY, TCP4"),
    ("PROXY TCP4 192.0.2.1 198.51.100.7 ² 1965\r\n".encode(), "not PROXY, TCP4"),
    (b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 \r\n", "not PROXY, TCP4"),
    (b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 " + b"1" * 60 + b"\r\n", "not PROXY, TCP4"),
    (b"PROXY TCP4 " + b"1" * 96, "longer than 107"),
    (b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n", "longer than 107"),
    (SIGNATURE + b"\x11\x11\0\0", "unknown version"),
    (SIGNATURE + b"\x22\x11\0\0", "unknown version"),
    (SIGNATURE + b"\x31\x11\0\0", "unknown version"),
    (SIGNATURE + b"\x21\x11" + (MAX_V2 - 15).to_bytes(2), "longer than 4096"),
    (SIGNATURE + b"\x20\x00\xff\xff", "longer than 4096"),
    (v2(V4[:-1]), "too short"),
    (v2(b""), "too short"),
    (v2(V4, family=0x21), "too short"),
    (v2(bytes(215), family=0x31), "too short"),
    (v2(V4 + b"\4"), "cut short"),
    (v2(V4 + b"\4\0"), "cut short"),
    (v2(V4 + b"\4\0\1"), "longer than the header"),
    (v2(V4 + tlv(4, b"abc") + b"\4\xff\xffabc"), "longer than the header"),
    (v2(V4 + tlv(3, bytes(4))), "wrong checksum"),
    (v2(V4 + tlv(3, b"")), "wrong checksum"),
    (v2(V4 + tlv(3, bytes(5))), "wrong checksum"),
    (summed(V4)[:-1] + b"\0", "wrong checksum"),
    (summed(V4, tlv(3, bytes(4))), "wrong checksum"),  # two of them cannot both be right
    (v2(bytes(216) + tlv(3, bytes(4)), family=0x31), "wrong checksum"),
]


def read(*chunks: bytes) -> tuple[ProxyHeader, bytes]:
    """The header, and all that is left of the bytes: nothing of TLS is lost or looked at."""
    reader = ProxyHeaderReader()
    left = [*chunks]
    while left:
        header = reader.receive(left.pop(0))
        if header is not None:
            return header, reader.rest + b"".join(left)
        assert reader.rest == b""
    reader.receive(b"")
    raise AssertionError("the end is an end")


def pieces(data: bytes) -> list[tuple[bytes, ...]]:
    """Whole, byte by byte, and in two at every place."""
    cuts = range(1, len(data), 1 if len(data) < 200 else 97)
    return [(data,), tuple(data[at : at + 1] for at in range(len(data)))] + [
        (data[:at], data[at:]) for at in cuts
    ]


@pytest.mark.parametrize(("data", "expected"), HEADERS)
def test_headers(data: bytes, expected: ProxyHeader | None) -> None:
    for rest in (b"", TLS):
        for chunks in pieces(data + rest):
            header, left = read(*chunks)
            assert left == rest
            assert header.source if expected is None else header == expected


@pytest.mark.parametrize(("data", "reason"), REFUSED)
def test_refusals(data: bytes, reason: str) -> None:
    for chunks in pieces(data):
        with pytest.raises(InvalidProxyHeader) as refusal:
            read(*chunks)
        assert reason in str(refusal.value)
        assert str(refusal.value).isprintable()


def test_the_longest_lines() -> None:
    assert [len(data) for data, _ in HEADERS if len(data) > 100 and data[:1] == b"P"] == [104, MAX_V1]


def test_no_more_is_kept_than_a_header_may_have() -> None:
    reader = ProxyHeaderReader()
    assert reader.receive(b"PROXY ") is None
    for _ in range(MAX_V1 - len(b"PROXY ") - 1):
        assert reader.receive(b"x") is None
    with pytest.raises(InvalidProxyHeader, match="longer"):
        reader.receive(b"x")


def test_the_checksum_is_castagnolis() -> None:
    # RFC 3720, appendix B.4, and the check value of the catalogues of CRCs.
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E
    assert crc32c(b"123456789") == 0xE3069283


# Any bytes, and any addresses

BYTES = st.one_of(
    st.binary(),
    st.builds(bytes.__add__, st.sampled_from([b"PROXY ", b"PROXY TCP4 ", SIGNATURE]), st.binary()),
    st.builds(v2, st.binary(max_size=300), st.sampled_from([0x20, 0x21, 0x22]), st.integers(0, 255)),
    st.builds(lambda tlvs: v2(V4 + tlvs), st.binary(max_size=30)),
)


@given(BYTES, st.lists(st.integers(0, 400), max_size=4))
@example(b"PROXY TCP4 ", [])
def test_any_bytes_are_a_header_or_refused_however_they_are_cut(data: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(data)]
    chunks = [data[start:end] for start, end in itertools.pairwise(places) if start < end]
    answers: list[tuple[ProxyHeader, bytes] | str] = []
    for way in ([data] if data else [], chunks):
        try:
            answers.append(read(*way))
        except InvalidProxyHeader as refusal:
            answers.append(str(refusal))
    assert answers[0] == answers[1]


PORTS = st.integers(0, 65535)
IP4 = st.ip_addresses(v=4)
IP6 = st.ip_addresses(v=6)


def endpoint(ip: IPv4Address | IPv6Address, port: int) -> Endpoint:
    return str(getattr(ip, "ipv4_mapped", None) or ip), port


@given(
    st.one_of(st.tuples(IP4, IP4), st.tuples(IP6, IP6)),
    PORTS,
    PORTS,
    st.lists(st.tuples(st.integers(0, 255).filter(lambda kind: kind != 3), st.binary(max_size=40))),
    st.binary(),
)
def test_what_is_written_is_read(
    ips: tuple[IPv4Address, IPv4Address] | tuple[IPv6Address, IPv6Address],
    source_port: int,
    destination_port: int,
    tlvs: list[tuple[int, bytes]],
    rest: bytes,
) -> None:
    source, destination = ips
    expected = ProxyHeader(endpoint(source, source_port), endpoint(destination, destination_port))
    ports = source_port.to_bytes(2) + destination_port.to_bytes(2)
    block = source.packed + destination.packed + ports + b"".join(tlv(*pair) for pair in tlvs)
    binary = v2(block, family=0x11 if source.version == 4 else 0x21)
    line = f"PROXY TCP{source.version} {source} {destination} {source_port} {destination_port}\r\n".encode()
    for header in (binary, line):
        assert read(header + rest) == (expected, rest)
