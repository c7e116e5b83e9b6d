import contextlib
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pad19.protocol.uri import (
    URI,
    InvalidURI,
    display_host,
    normalize_host,
    parse,
    percent_decode,
    percent_encode,
    remove_dot_segments,
    resolve,
    wildcard_of,
)

# Hypothesis limits the time of an example; a busy machine must not fail a test for it.
relaxed = settings(deadline=None)

PIECES = [
    *("gemini", "GEMINI", "a+b-c.1", ":", "//", "/", "//", "?", "#", "@", "[", "]", "[::1]", "[v1.a:b]"),
    *("localhost", "EXAMPLE.org", "a.b.", "1965", ":1965", ":0", ".", "..", "/.", "/..", "%", "%2e", "%2F"),
    *("%zz", "%C3%A9", "%ff", "%00", "é", "É", "ß", "。", "☕", "\u200d", "xn--", "_", "~", "!$&'()*+,;="),
    *(" ", "\t", "\r", "\n", "\0", "\x7f", "\x85", "\ufeff", "\ud800", "\\", '"', "1\uff11"),
]
texts = st.one_of(
    st.text(),
    st.lists(st.sampled_from(PIECES)).map("".join),
    st.lists(st.sampled_from(PIECES)).map(lambda pieces: "gemini://localhost/" + "".join(pieces)),
    st.lists(st.sampled_from(PIECES)).map(lambda pieces: "gemini://" + "".join(pieces)),
)


# Parsing

PARSED = [
    # text, scheme, userinfo, host, port, path, query, fragment
    ("", None, None, None, None, "", None, None),
    ("gemini://a.test", "gemini", None, "a.test", None, "", None, None),
    ("gemini://a.test/", "gemini", None, "a.test", None, "/", None, None),
    ("GEMINI://A.Test/A", "gemini", None, "a.test", None, "/A", None, None),
    ("a+b-c.1://h/", "a+b-c.1", None, "h", None, "/", None, None),
    ("gemini://h:/", "gemini", None, "h", None, "/", None, None),
    ("gemini://h:1965/", "gemini", None, "h", 1965, "/", None, None),
    ("gemini://h:01965", "gemini", None, "h", 1965, "", None, None),
    ("gemini://h:65535", "gemini", None, "h", 65535, "", None, None),
    ("gemini://h:1?q", "gemini", None, "h", 1, "", "q", None),
    (f"gemini://h:{'0' * 9000}1/", "gemini", None, "h", 1, "/", None, None),
    ("gemini://u@h/", "gemini", "u", "h", None, "/", None, None),
    ("gemini://u:p%40@h:1/", "gemini", "u:p%40", "h", 1, "/", None, None),
    ("gemini://@h/", "gemini", "", "h", None, "/", None, None),
    ("gemini://1:2@h/", "gemini", "1:2", "h", None, "/", None, None),
    ("gemini://h/?", "gemini", None, "h", None, "/", "", None),
    ("gemini://h/#", "gemini", None, "h", None, "/", None, ""),
    ("gemini://h?#", "gemini", None, "h", None, "", "", ""),
    ("gemini://h/a?b?c/d#e?f/g", "gemini", None, "h", None, "/a", "b?c/d", "e?f/g"),
    ("gemini://h/#a@b:c", "gemini", None, "h", None, "/", None, "a@b:c"),
    ("gemini://h//a//", "gemini", None, "h", None, "//a//", None, None),
    ("gemini://h/a/./../b", "gemini", None, "h", None, "/a/./../b", None, None),
    ("gemini://h/%2e%2F%7f", "gemini", None, "h", None, "/%2e%2F%7f", None, None),
    ("gemini://h/;a=1,2!$&'()*+:@~", "gemini", None, "h", None, "/;a=1,2!$&'()*+:@~", None, None),
    ("gemini://h/é?ü#☕", "gemini", None, "h", None, "/%C3%A9", "%C3%BC", "%E2%98%95"),
    ("gemini://h/\u2028\ufeff", "gemini", None, "h", None, "/%E2%80%A8%EF%BB%BF", None, None),
    ("gemini://h/\U0001f680", "gemini", None, "h", None, "/%F0%9F%9A%80", None, None),
    ("gemini:/a", "gemini", None, None, None, "/a", None, None),
    ("gemini:a", "gemini", None, None, None, "a", None, None),
    ("mailto:a@b", "mailto", None, None, None, "a@b", None, None),
    ("urn:a:b:c", "urn", None, None, None, "a:b:c", None, None),
    ("tel:+1-816-555-1212", "tel", None, None, None, "+1-816-555-1212", None, None),
    ("//h/a", None, None, "h", None, "/a", None, None),
    ("//h:1", None, None, "h", 1, "", None, None),
    ("/a", None, None, None, None, "/a", None, None),
    ("a/b", None, None, None, None, "a/b", None, None),
    ("./a:b", None, None, None, None, "./a:b", None, None),
    ("../..", None, None, None, None, "../..", None, None),
    ("?q", None, None, None, None, "", "q", None),
    ("#f", None, None, None, None, "", None, "f"),
    ("?", None, None, None, None, "", "", None),
    ("a?b:c", None, None, None, None, "a", "b:c", None),
]


@pytest.mark.parametrize("row", PARSED, ids=lambda row: ascii(row[0])[:60])
def test_parse(
    row: tuple[str, str | None, str | None, str | None, int | None, str, str | None, str | None],
) -> None:
    text, *parts = row
    assert parse(text) == URI(*parts)  # type: ignore[arg-type]  # a row is not typed by position


REFUSED = [  # text, message
    ("gemini://h/a b", "' ' is not allowed in a URI"),
    (" gemini://h/", "' ' is not allowed in a URI"),
    ("gemini://h/\t", "U+0009 is not allowed in a URI"),
    ("gemini://h/\r", "U+000D is not allowed in a URI"),
    ("gemini://h/\n", "U+000A is not allowed in a URI"),
    ("gemini://h\n", "U+000A is not allowed in a URI"),
    ("gemini://h/\0", "U+0000 is not allowed in a URI"),
    ("gemini://h/\x7f", "U+007F is not allowed in a URI"),
    ("gemini://h/\x85", "U+0085 is not allowed in a URI"),
    ("gemini://h/\ud800", "U+D800 is not allowed in a URI"),
    ("gemini://h/\ue000", "U+E000 is not allowed in a URI"),
    ("gemini://h/\ufffe", "U+FFFE is not allowed in a URI"),
    *((f"gemini://h/{char}", f"{char!r} is not allowed in a URI") for char in '"<>\\^`{|}'),
    ("gemini://h\\a", "'\\\\' is not allowed in a URI"),
    ("gemini://h/[a]", "not a URI"),
    ("gemini://h/#a#b", "not a URI"),
    ("gemini://h/%", "'%' is no percent-encoding"),
    ("gemini://h/%2", "'%2' is no percent-encoding"),
    ("gemini://h/%zz", "'%zz' is no percent-encoding"),
    ("gemini://h/%%41", "'%%4' is no percent-encoding"),
    ("gemini://h/%2%65", "'%2%' is no percent-encoding"),
    ("gemini://h/%٣٣", "'%%D' is no percent-encoding"),  # Arabic digits
    ("gemini://h/?%", "'%' is no percent-encoding"),
    ("gemini://h/#%", "'%' is no percent-encoding"),
    ("gemini://%@h/", "'%@h' is no percent-encoding"),
    ("gemini://%zz/", "'%zz' is no percent-encoding"),
    ("1a://h/", "the scheme is malformed"),
    ("-a:b", "the scheme is malformed"),
    ("://h/", "the scheme is malformed"),
    (":", "the scheme is malformed"),
    ("gem_ini://h/", "the scheme is malformed"),
    ("gémini://h/", "the scheme is malformed"),
    ("\ufeffgemini://h/", "the scheme is malformed"),
    ("a%3Ab:c", "the scheme is malformed"),
    ("gemini://::1/", "the authority is malformed"),
    ("gemini://h:1:2/", "the authority is malformed"),
    ("gemini://h:abc/", "the authority is malformed"),
    ("gemini://h:-1/", "the authority is malformed"),
    ("gemini://h:+1/", "the authority is malformed"),
    ("gemini://h:1%30/", "the authority is malformed"),
    ("gemini://h:\uff11/", "the authority is malformed"),
    ("gemini://h:١٩٦٥/", "the authority is malformed"),
    ("gemini://a@b@h/", "the authority is malformed"),
    ("gemini://[::1]a/", "not a URI"),
    ("gemini://a[::1]/", "not a URI"),
    ("gemini://[::1/", "not a URI"),
    ("gemini://::1]/", "not a URI"),
    ("gemini://[[::1]]/", "not a URI"),
    ("gemini://", "the host is missing"),
    ("gemini:///a", "the host is missing"),
    ("gemini:////a", "the host is missing"),
    ("gemini://?a", "the host is missing"),
    ("gemini://#a", "the host is missing"),
    ("gemini://:1965/", "the host is missing"),
    ("gemini://a@/", "the host is missing"),
    ("//", "the host is missing"),
    ("///a", "the host is missing"),
    ("gemini://h:0/", "the port is out of range"),
    ("gemini://h:000000/", "the port is out of range"),
    ("gemini://h:65536/", "the port is out of range"),
    (f"gemini://h:{'9' * 9000}/", "the port is out of range"),
    (f"gemini://h:{'0' * 9000}/", "the port is out of range"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED, ids=lambda value: ascii(value)[:60])
def test_parse_refuses(text: str, message: str) -> None:
    with pytest.raises(InvalidURI) as caught:
        parse(text)
    assert str(caught.value) == message


@relaxed
@given(texts)
@example("gemini://h:" + "0" * 5000)
def test_any_text_is_parsed_or_refused_in_printable_words(text: str) -> None:
    try:
        uri = parse(text)
    except InvalidURI as error:
        shown = str(error)
    else:
        shown = str(uri)
        assert parse(shown) == uri
    assert shown.isascii()
    assert shown.isprintable()


@pytest.mark.parametrize(
    "text",
    [
        f"gemini://h/{'é' * 60_000}",
        f"gemini://h/{'a/../' * 20_000}",
        f"gemini://h/{'%41' * 30_000}",
        f"gemini://h/{'%' * 90_000}",
        f"gemini://h/{'?' * 90_000}",
        f"gemini://h/{'?' * 45_000}{'#' * 45_000}",
        f"gemini://h/{'#' * 90_000}",
        f"gemini://{'a' * 90_000}",
        f"gemini://{'a' * 90_000}:",
        f"gemini://{'a' * 90_000}[",
        f"gemini://{'a:' * 45_000}",
        f"gemini://{'a:' * 45_000}@@",
        f"gemini://{'@' * 90_000}",
        f"gemini://{'1' * 45_000}:{'1' * 45_000}x",
        f"gemini://[{':' * 90_000}",
        f"gemini://[{':' * 90_000}]",
        f"gemini://[{'[' * 90_000}",
        f"gemini://{'a.' * 45_000}",
        f"gemini://{'a' * 90_000}\n",
        f"gemini://{'é' * 60_000}",
        f"gemini://{'é。' * 30_000}",
        f"gemini://{'%C3%A9' * 15_000}",
        f"gemini://{'㌀' * 60_000}",  # one character that is mapped to four
        "a" * 90_000,
        "a:" * 45_000,
        "/" * 90_000,
        f"{'/' * 90_000} ",
        f"{'a' * 90_000} ",
        f"a://{':' * 90_000}\0",
    ],
    ids=lambda text: f"{ascii(text)[:30]}...",
)
def test_parsing_takes_linear_time(text: str) -> None:
    # Ninety times the longest request: milliseconds if time grows with the length, minutes if with
    # its square.
    before = time.process_time()
    with contextlib.suppress(InvalidURI):
        parse(text)
    assert time.process_time() - before < 1


# Hosts

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


# Percent-encoding


@relaxed
@given(st.text())
@example("/?#[]@:;=%2F é\0")
def test_percent_encoding_is_undone(text: str) -> None:
    encoded = percent_encode(text)
    assert percent_decode(encoded) == text
    assert not set(encoded) & set("/?#[] \r\n")
    assert parse(f"/{encoded}").path == f"/{encoded}"


def test_a_name_that_is_not_utf8_cannot_be_encoded() -> None:
    with pytest.raises(UnicodeEncodeError):
        percent_encode("caf\udce9")


@pytest.mark.parametrize(
    ("text", "decoded"),
    [
        ("", ""),
        ("a+b", "a+b"),
        ("a%20b", "a b"),
        ("%2541", "%41"),  # once
        ("%c3%A9", "é"),
        ("%0D%0A", "\r\n"),
        ("é%20", "é "),
    ],
)
def test_percent_decode(text: str, decoded: str) -> None:
    assert percent_decode(text) == decoded


@pytest.mark.parametrize(
    "text",
    [
        "%",
        "%4",
        "a%",
        "%zz",
        "%4z",
        "% 41",
        "%+1",
        "%\uff14\uff11",
        "%41\ud800",
        "%ff",
        "%c3",
        "%c0%ae",
        "%ed%a0%80",
    ],
)
def test_percent_decode_refuses(text: str) -> None:
    with pytest.raises(InvalidURI):
        percent_decode(text)


# Relative references


def rfc_remove_dot_segments(path: str) -> str:
    """RFC 3986, section 5.2.4, word for word."""
    output = ""
    while path:
        if path.startswith("../"):
            path = path[3:]
        elif path.startswith(("./", "/./")):
            path = path[2:]
        elif path == "/.":
            path = "/"
        elif path.startswith("/../"):
            path = path[3:]
            output = output[: max(output.rfind("/"), 0)]
        elif path == "/..":
            path = "/"
            output = output[: max(output.rfind("/"), 0)]
        elif path in {".", ".."}:
            path = ""
        else:
            end = path.find("/", 1)
            end = len(path) if end < 0 else end
            output += path[:end]
            path = path[end:]
    return output


DOTS = [
    ("/a/b/c/./../../g", "/a/g"),
    ("mid/content=5/../6", "mid/6"),
    ("", ""),
    (".", ""),
    ("..", ""),
    ("/", "/"),
    ("/.", "/"),
    ("/..", "/"),
    ("/../../a", "/a"),
    ("/a/..", "/"),
    ("/a/.", "/a/"),
    ("/a//..", "/a/"),
    ("/a//../..", "/"),
    ("//..", "/"),
    ("/...", "/..."),
    ("/.a/..b/c.", "/.a/..b/c."),
    ("/%2e%2e/", "/%2e%2e/"),
    ("a/..", "/"),
    ("a/../b", "/b"),
    ("../a", "a"),
    (".//a", "/a"),
]


@pytest.mark.parametrize(("path", "clean"), DOTS)
def test_remove_dot_segments(path: str, clean: str) -> None:
    assert rfc_remove_dot_segments(path) == clean
    assert remove_dot_segments(path) == clean


@relaxed
@given(st.lists(st.sampled_from(["/", ".", "..", "a", "...", "%2e", "/..", "/.", "//"])).map("".join))
def test_remove_dot_segments_as_the_rfc_does(path: str) -> None:
    assert remove_dot_segments(path) == rfc_remove_dot_segments(path)


EXAMPLES = [  # RFC 3986, section 5.4: relative to http://a/b/c/d;p?q
    # normal
    ("g:h", "g:h"),
    ("g", "http://a/b/c/g"),
    ("./g", "http://a/b/c/g"),
    ("g/", "http://a/b/c/g/"),
    ("/g", "http://a/g"),
    ("//g", "http://g"),
    ("?y", "http://a/b/c/d;p?y"),
    ("g?y", "http://a/b/c/g?y"),
    ("#s", "http://a/b/c/d;p?q#s"),
    ("g#s", "http://a/b/c/g#s"),
    ("g?y#s", "http://a/b/c/g?y#s"),
    (";x", "http://a/b/c/;x"),
    ("g;x", "http://a/b/c/g;x"),
    ("g;x?y#s", "http://a/b/c/g;x?y#s"),
    ("", "http://a/b/c/d;p?q"),
    (".", "http://a/b/c/"),
    ("./", "http://a/b/c/"),
    ("..", "http://a/b/"),
    ("../", "http://a/b/"),
    ("../g", "http://a/b/g"),
    ("../..", "http://a/"),
    ("../../", "http://a/"),
    ("../../g", "http://a/g"),
    # abnormal
    ("../../../g", "http://a/g"),
    ("../../../../g", "http://a/g"),
    ("/./g", "http://a/g"),
    ("/../g", "http://a/g"),
    ("g.", "http://a/b/c/g."),
    (".g", "http://a/b/c/.g"),
    ("g..", "http://a/b/c/g.."),
    ("..g", "http://a/b/c/..g"),
    ("./../g", "http://a/b/g"),
    ("./g/.", "http://a/b/c/g/"),
    ("g/./h", "http://a/b/c/g/h"),
    ("g/../h", "http://a/b/c/h"),
    ("g;x=1/./y", "http://a/b/c/g;x=1/y"),
    ("g;x=1/../y", "http://a/b/c/y"),
    ("g?y/./x", "http://a/b/c/g?y/./x"),
    ("g?y/../x", "http://a/b/c/g?y/../x"),
    ("g#s/./x", "http://a/b/c/g#s/./x"),
    ("g#s/../x", "http://a/b/c/g#s/../x"),
    ("http:g", "http:g"),
]


@pytest.mark.parametrize("scheme", ["http", "gemini"])
@pytest.mark.parametrize(("reference", "target"), EXAMPLES)
def test_resolve_the_examples_of_the_rfc(scheme: str, reference: str, target: str) -> None:
    base = parse(f"{scheme}://a/b/c/d;p?q")
    reference = reference.replace("http:", f"{scheme}:")
    assert str(resolve(base, parse(reference))) == target.replace("http:", f"{scheme}:")


@pytest.mark.parametrize(
    ("base", "reference", "target"),
    [
        ("gemini://h", "a", "gemini://h/a"),
        ("gemini://h", "", "gemini://h"),
        ("gemini://h", "..", "gemini://h/"),
        ("gemini://h?q", "", "gemini://h?q"),
        ("gemini://h/a?q", "?", "gemini://h/a?"),
        ("gemini://h/a#f", "b", "gemini://h/b"),
        ("gemini://h:7/a", "/b", "gemini://h:7/b"),
        ("gemini://h:7/a", "//g/b", "gemini://g/b"),
        ("gemini://u@h/a", "b", "gemini://u@h/b"),
        ("gemini://h/a/b", "..//c", "gemini://h//c"),
        ("gemini://h/a/../b", "", "gemini://h/a/../b"),
        ("gemini://h/", "titan://g/x/../y", "titan://g/y"),
        ("mailto:a", "b", "mailto:b"),
        ("x:a/b", "c", "x:a/c"),
        ("/a/b", "c", "/a/c"),
        ("a/b", "c", "a/c"),
        ("x:/a/b", "..//c/d", "x:/.//c/d"),  # not x://c/d, where c is a host
    ],
)
def test_resolve(base: str, reference: str, target: str) -> None:
    resolved = resolve(parse(base), parse(reference))
    assert str(resolved) == target
    assert str(parse(target)) == target


@relaxed
@given(texts, texts)
def test_resolving_never_changes_the_host_of_a_path(base: str, reference: str) -> None:
    try:
        start, step = parse(base), parse(reference)
    except InvalidURI:
        return
    resolved = resolve(start, step)
    if start.scheme is not None:
        again = parse(str(resolved))
        assert (again.scheme, again.host, again.port) == (resolved.scheme, resolved.host, resolved.port)
        assert (again.query, again.fragment) == (resolved.query, resolved.fragment)
