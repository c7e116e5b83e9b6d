"""URIs: parsing and percent-encoding."""

import contextlib
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pad19.protocol.uri import URI, InvalidURI, parse, percent_decode, percent_encode
from protocol.uris import relaxed, texts

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
