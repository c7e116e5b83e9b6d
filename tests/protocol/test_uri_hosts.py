"""The hosts of URIs: normalized, shown, and matched by wildcards."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pad19.protocol.uri import InvalidURI, display_host, normalize_host, parse, wildcard_of
from protocol.uris import PIECES, relaxed

HOSTS = [  # as written, normalized
    ("localhost", "localhost"),
    ("LocalHost", "localhost"),
    ("a.test.", "a.test."),
    ("127.0.0.1", "127.0.0.1"),
    ("0x7f.1", "0x7f.1"),  # a name like any other
    ("_gemini._tcp.a-b", "_gemini._tcp.a-b"),
    ("-a-", "-a-"),
    ("local%68ost", "localhost"),
    ("%4C%6fCAL", "local"),
    ("a%2Eb", "a.b"),
    ("café.example", "xn--caf-dma.example"),
    ("CAFÉ.Example", "xn--caf-dma.example"),
    ("cafe\u0301.example", "xn--caf-dma.example"),  # decomposed
    ("caf%C3%A9.example", "xn--caf-dma.example"),
    ("caf%c3%89.example", "xn--caf-dma.example"),
    ("xn--caf-dma.example", "xn--caf-dma.example"),
    ("XN--CAF-DMA.example", "xn--caf-dma.example"),
    ("xn--caf-dma.é", "xn--caf-dma.xn--9ca"),
    ("faß.de", "xn--fa-hia.de"),  # not fass.de: that was IDNA 2003
    ("FASS.de", "fass.de"),
    ("βόλος.com", "xn--nxasmm1c.com"),
    ("İ.test", "xn--i-9bb.test"),
    ("пример.испытание", "xn--e1afmkfd.xn--80akhbyknj4f"),
    ("例え。テスト", "xn--r8jz45g.xn--zckzah"),
    ("a\uff0eb\uff61c\u3002d", "a.b.c.d"),  # what UTS #46 takes for a dot
    ("\uff21\uff42.\uff11", "ab.1"),
    ("é。", "xn--9ca."),
    ("a\u00adb", "ab"),  # a soft hyphen is nothing
    ("_é", "xn--_-bga"),
    ("☕.ws", "xn--53h.ws"),
    ("I❤.ws", "xn--i-7iq.ws"),
    ("i❤\ufe0f.ws", "xn--i-7iq.ws"),
    ("🚀.example", "xn--158h.example"),
    ("xn--53h.ws", "xn--53h.ws"),
    ("xn--", "xn--"),  # garbage that nobody serves
    ("xn--99999999.test", "xn--99999999.test"),
    (f"{'a' * 63}.test", f"{'a' * 63}.test"),
    (".".join(["a" * 62] * 4) + ".b", ".".join(["a" * 62] * 4) + ".b"),  # 253
    (".".join(["a" * 62] * 4) + ".b.", ".".join(["a" * 62] * 4) + ".b."),
    ("[::1]", "[::1]"),
    ("[0:0:0:0:0:0:0:1]", "[::1]"),
    ("[2001:DB8::00A]", "[2001:db8::a]"),
    ("[v1F.A:b]", "[v1f.a:b]"),
]


@pytest.mark.parametrize(("written", "normal"), HOSTS, ids=ascii)
def test_normalize_host(written: str, normal: str) -> None:
    assert normalize_host(written) == normal
    assert normalize_host(normal) == normal
    assert parse(f"gemini://{written}/").host == normal


NO_HOSTS = [
    *("", ".", "..", ".a", "a..b", "a..", "é..b", "\u00ad", "\u3002", "a\u3002\u3002b"),
    *("a b", "a/b", "a@b", "a:1", "a%b", "a%2Fb", "a%2fb", "a%40b", "a%3A1", "a%25b", "a%00", "a%0A", "a%5B"),
    *("%5B%3A%3A1%5D", "a%E3%80%82%2F", "%ff", "%c3", "a~b", "a!", "a*b", "(a)", "a+b"),
    *("\u2100.test", "a\uff0fb", "a\uff20b", "a\uff1a1", "a\uff05b", "a\u2488b\u2474", "\ufdfa"),  # mapped
    *("\ud800", "\ufffd", "\u0378", "a\u00a0b", "\u202ea"),
    *("a" * 64, "é" * 63, "é" * 64, ".".join(["a" * 62] * 4) + ".bc", ".".join(["é" * 30] * 8)),
    *(
        "[",
        "[]",
        "]",
        "[::1",
        "[::1]:1965",
        "[zz]",
        "[1.2.3.4]",
        "[::1%25eth0]",
        "[::1%]",
        "[::1/64]",
        "[:::1]",
    ),
    *(
        "[v1]",
        "[v1.]",
        "[vz.a]",
        "[v1.a",
        "[1:2:3:4:5:6:7]",
        "[::\uff11]",
        "[ ::1]",
        "[::12345]",
        "[localhost]",
    ),
]


@pytest.mark.parametrize("host", NO_HOSTS, ids=lambda host: ascii(host)[:60])
def test_normalize_host_refuses(host: str) -> None:
    with pytest.raises(InvalidURI):
        normalize_host(host)


def test_a_long_label_is_refused_before_it_is_encoded() -> None:
    # Punycode takes quadratic time if all characters differ: here about 100 ms for each label.
    before = time.process_time()
    for first in range(0x4E00, 0x4E00 + 100):
        with pytest.raises(InvalidURI, match="not a host name"):
            normalize_host("".join(map(chr, range(first, first + 1000))))
    assert time.process_time() - before < 1


@relaxed
@given(st.one_of(st.text(), st.lists(st.sampled_from(PIECES)).map("".join)))
def test_normalized_host_is_plain_and_stays(host: str) -> None:
    try:
        normal = normalize_host(host)
    except InvalidURI:
        return
    assert normalize_host(normal) == normal
    assert parse(f"//{normal}").host == normal
    assert normal.isascii()
    assert normal == normal.lower()
    assert not set(normal.strip("[]")) & set("/?#@%[] ")


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("localhost", "localhost"),
        ("xn--caf-dma.example", "café.example"),
        ("xn--caf-dma.example.", "café.example."),
        ("xn--99999999.test", "xn--99999999.test"),
        ("xn--53h.ws", "xn--53h.ws"),
        ("xn--", "xn--"),
        ("a.xn--a-0000.test", "a.xn--a-0000.test"),
        ("[::1]", "[::1]"),
    ],
)
def test_display_host(host: str, shown: str) -> None:
    assert display_host(host) == shown


@pytest.mark.parametrize(
    ("host", "wildcard"),
    [
        ("www.example.org", "*.example.org"),
        ("a.b.example.org", "*.b.example.org"),
        ("example.org", "*.org"),
        ("localhost", "*."),
        ("*.example.org", "*.example.org"),
    ],
)
def test_a_wildcard_stands_for_one_label(host: str, wildcard: str) -> None:
    assert wildcard_of(host) == wildcard
