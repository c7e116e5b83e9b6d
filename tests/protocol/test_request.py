from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pad19.protocol.client import Client
from pad19.protocol.failure import BadRequest, Failure, NotFound
from pad19.protocol.request import MAX_URI, Request, RequestReader, parse_request
from support.cases import CASES, Case

# Hypothesis limits the time of an example; a busy machine must not fail a test for it.
relaxed = settings(deadline=None)

CLIENT = Client("192.0.2.1", 4000, "localhost", "TLSv1.3")
FULL = b"gemini://localhost/".ljust(MAX_URI, b"x")

Outcome = Request | tuple[type[Failure], str] | None


def read(chunks: Iterable[bytes]) -> Outcome:
    """What a reader says to these bytes; None: it wants more."""
    reader = RequestReader(CLIENT)
    for chunk in chunks:
        try:
            request = reader.receive(chunk)
        except Failure as failure:
            return type(failure), str(failure)
        if request is not None:
            return request
        assert len(reader.received) <= MAX_URI + 1
    return None


def single_bytes(data: bytes) -> Iterable[bytes]:
    return (data[i : i + 1] for i in range(len(data)))


# Lines that are requests

ACCEPTED = [
    # line, host, port, path, query, segments
    ("gemini://h", "h", 1965, "/", None, ("",)),
    ("gemini://h/", "h", 1965, "/", None, ("",)),
    ("GEMINI://H/A", "h", 1965, "/A", None, ("A",)),
    ("gemini://h:1965/", "h", 1965, "/", None, ("",)),
    ("gemini://h:/", "h", 1965, "/", None, ("",)),
    ("gemini://h:00070/", "h", 70, "/", None, ("",)),
    ("gemini://h:65535/", "h", 65535, "/", None, ("",)),
    ("gemini://[::1]:70/", "[::1]", 70, "/", None, ("",)),
    ("gemini://[0:0::1]", "[::1]", 1965, "/", None, ("",)),
    ("gemini://127.0.0.1/", "127.0.0.1", 1965, "/", None, ("",)),
    ("gemini://h./", "h.", 1965, "/", None, ("",)),
    ("gemini://%68/", "h", 1965, "/", None, ("",)),
    ("gemini://é.test/", "xn--9ca.test", 1965, "/", None, ("",)),
    ("gemini://☕.ws/", "xn--53h.ws", 1965, "/", None, ("",)),
    ("gemini://h/a/b/", "h", 1965, "/a/b/", None, ("a", "b", "")),
    ("gemini://h//a//b", "h", 1965, "//a//b", None, ("", "a", "", "b")),
    ("gemini://h/é", "h", 1965, "/é", None, ("é",)),
    ("gemini://h/%C3%a9", "h", 1965, "/é", None, ("é",)),
    ("gemini://h/a%20b+c", "h", 1965, "/a b+c", None, ("a b+c",)),
    ("gemini://h/a;x=1", "h", 1965, "/a;x=1", None, ("a;x=1",)),
    ("gemini://h/%2541", "h", 1965, "/%41", None, ("%41",)),
    ("gemini://h/%23%3F", "h", 1965, "/#?", None, ("#?",)),
    ("gemini://h/a%2Fb/c", "h", 1965, "/a/b/c", None, ("a/b", "c")),
    ("gemini://h/a%2fb%2F", "h", 1965, "/a/b/", None, ("a/b/",)),
    ("gemini://h/%2F", "h", 1965, "//", None, ("/",)),
    ("gemini://h/a/..%2fb", "h", 1965, "/a/../b", None, ("a", "../b")),
    ("gemini://h/a%2F..%2F..%2Fb", "h", 1965, "/a/../../b", None, ("a/../../b",)),
    ("gemini://h/a%2F../b", "h", 1965, "/a/../b", None, ("a/..", "b")),
    ("gemini://h/a%2F./../b", "h", 1965, "/b", None, ("b",)),
    ("gemini://h/a%5C..%5Cb", "h", 1965, "/a\\..\\b", None, ("a\\..\\b",)),
    ("gemini://h/a%0D%0Ab", "h", 1965, "/a\r\nb", None, ("a\r\nb",)),
    ("gemini://h/.", "h", 1965, "/", None, ("",)),
    ("gemini://h/./a/.", "h", 1965, "/a/", None, ("a", "")),
    ("gemini://h/a/..", "h", 1965, "/", None, ("",)),
    ("gemini://h/a/../b", "h", 1965, "/b", None, ("b",)),
    ("gemini://h/a/b/../../c/./d", "h", 1965, "/c/d", None, ("c", "d")),
    ("gemini://h/a//../b", "h", 1965, "/a/b", None, ("a", "b")),
    ("gemini://h/a/%2e%2E/b", "h", 1965, "/b", None, ("b",)),
    ("gemini://h/a/.%2e/b/%2E", "h", 1965, "/b/", None, ("b", "")),
    ("gemini://h/%252e%252e/a", "h", 1965, "/%2e%2e/a", None, ("%2e%2e", "a")),
    ("gemini://h/.a/..b/...", "h", 1965, "/.a/..b/...", None, (".a", "..b", "...")),
    ("gemini://h/%2ea", "h", 1965, "/.a", None, (".a",)),
    ("gemini://h/\uff0e\uff0e/a", "h", 1965, "/\uff0e\uff0e/a", None, ("\uff0e\uff0e", "a")),
    ("gemini://h?", "h", 1965, "/", "", ("",)),
    ("gemini://h/?", "h", 1965, "/", "", ("",)),
    ("gemini://h/?a%20b+c", "h", 1965, "/", "a b+c", ("",)),
    ("gemini://h/?a%0D%0Ab", "h", 1965, "/", "a\r\nb", ("",)),
    ("gemini://h/?é=%C3%A9", "h", 1965, "/", "é=é", ("",)),
    ("gemini://h/?a?b/../c", "h", 1965, "/", "a?b/../c", ("",)),
    ("gemini://h/?%23", "h", 1965, "/", "#", ("",)),
    ("gemini://h/?a@b", "h", 1965, "/", "a@b", ("",)),
    (
        "titan://h/a;size=1;mime=text/plain",
        "h",
        1965,
        "/a;size=1;mime=text/plain",
        None,
        ("a;size=1;mime=text", "plain"),
    ),
    ("https://h/", "h", 1965, "/", None, ("",)),  # the router refuses it: 53, not 59
]


@pytest.mark.parametrize(
    ("line", "host", "port", "path", "query", "segments"), ACCEPTED, ids=[ascii(row[0]) for row in ACCEPTED]
)
def test_a_uri_is_a_request(
    line: str, host: str, port: int, path: str, query: str | None, segments: tuple[str, ...]
) -> None:
    request = parse_request(line.encode(), CLIENT)
    assert (request.host, request.port, request.path, request.query) == (host, port, path, query)
    assert request.segments == segments
    assert request.uri == line
    assert request.scheme == line.partition(":")[0].lower()
    assert request.client is CLIENT


@pytest.mark.parametrize(
    ("line", "raw_path", "raw_query"),
    [
        ("gemini://h", "/", None),
        ("gemini://h/a/../%2e/b%2Fc?%20", "/a/../%2e/b%2Fc", "%20"),
        ("gemini://h/é?ü", "/%C3%A9", "%C3%BC"),
        ("gemini://h/?", "/", ""),
    ],
)
def test_raw_parts_stay_encoded(line: str, raw_path: str, raw_query: str | None) -> None:
    request = parse_request(line.encode(), CLIENT)
    assert (request.raw_path, request.raw_query) == (raw_path, raw_query)


# Lines that are none

REFUSED = [
    (b"", BadRequest, "the scheme is missing"),
    (b"hello", BadRequest, "the scheme is missing"),
    (b"/", BadRequest, "the scheme is missing"),
    (b"//h/", BadRequest, "the scheme is missing"),
    (b"h:1965/", BadRequest, "the host is missing"),  # a URI whose scheme is "h"
    (b"127.0.0.1:1965/", BadRequest, "the scheme is malformed"),
    (b"gemini:/a", BadRequest, "the host is missing"),
    (b"gemini:", BadRequest, "the host is missing"),
    (b"gemini:///a", BadRequest, "the host is missing"),
    (b"gemini://h:0/", BadRequest, "the port is out of range"),
    (b"gemini://me@h/", BadRequest, "userinfo is not allowed in a request"),
    (b"gemini://me:secret@h/", BadRequest, "userinfo is not allowed in a request"),
    (b"gemini://@h/", BadRequest, "userinfo is not allowed in a request"),
    (b"gemini://h/#top", BadRequest, "a fragment is not allowed in a request"),
    (b"gemini://h/#", BadRequest, "a fragment is not allowed in a request"),
    (b"gemini://h#", BadRequest, "a fragment is not allowed in a request"),
    (b"gemini://h/\xff", BadRequest, "the URI is not UTF-8"),
    (b"gemini://\xc3/", BadRequest, "the URI is not UTF-8"),
    (b"gemini://h/\xed\xa0\x80", BadRequest, "the URI is not UTF-8"),  # a surrogate
    (b"gemini://h/\xc0\xae", BadRequest, "the URI is not UTF-8"),  # overlong
    (b"\xef\xbb\xbfgemini://h/", BadRequest, "the scheme is malformed"),
    (b"gemini://h/a b", BadRequest, "' ' is not allowed in a URI"),
    (b"gemini://h/\0", BadRequest, "U+0000 is not allowed in a URI"),
    (b"gemini://h/a\rb", BadRequest, "U+000D is not allowed in a URI"),
    (b"gemini://h/a\nb", BadRequest, "U+000A is not allowed in a URI"),
    (b"gemini://h/%", BadRequest, "'%' is no percent-encoding"),
    (b"gemini://h/?%zz", BadRequest, "'%zz' is no percent-encoding"),
    (b"gemini://h/?%ff", BadRequest, "percent-encoded octets that are not UTF-8"),
    (b"gemini://h%00/", BadRequest, "the host is not a host name"),
    (b"gemini://h%2Fa/", BadRequest, "the host is not a host name"),
    (b"gemini://%ff/", BadRequest, "percent-encoded octets that are not UTF-8"),
    (b"gemini://h/%00", BadRequest, "NUL is not allowed in a path"),
    (b"gemini://h/a%00.txt", BadRequest, "NUL is not allowed in a path"),
    (b"gemini://h/%ff", NotFound, "not found"),
    (b"gemini://h/%c0%ae%c0%ae/a", NotFound, "not found"),
    (b"gemini://h/%c3/%a9", NotFound, "not found"),
    (b"gemini://h/..", NotFound, "not found"),
    (b"gemini://h/../a", NotFound, "not found"),
    (b"gemini://h/a/../../a", NotFound, "not found"),
    (b"gemini://h/%2e%2e/a", NotFound, "not found"),
    (b"gemini://h/%2E./a", NotFound, "not found"),
    (b"gemini://h/./%2e.", NotFound, "not found"),
    (b"gemini://h/a/./../..", NotFound, "not found"),
    (FULL + b"x", BadRequest, "the URI is longer than 1024 bytes"),
    (b"x" * 5000, BadRequest, "the URI is longer than 1024 bytes"),
    (FULL + b"\r", BadRequest, "the URI is longer than 1024 bytes"),
]


@pytest.mark.parametrize(("line", "failure", "errormsg"), REFUSED, ids=lambda value: ascii(value)[:60])
def test_a_line_is_refused(line: bytes, failure: type[Failure], errormsg: str) -> None:
    assert read([line + b"\r\n"]) == (failure, errormsg)


# The reader

LINES = [line.encode() for line, *_ in ACCEPTED] + [line for line, *_ in REFUSED]


@pytest.mark.parametrize("line", LINES, ids=lambda line: ascii(line)[2:60])
def test_a_line_may_come_in_any_pieces(line: bytes) -> None:
    data = line + b"\r\n"
    whole = read([data])
    assert whole is not None
    assert read(single_bytes(data)) == whole
    assert read([data + b"gemini://h/other\r\n"]) == whole
    for i in range(1, len(data)):
        assert read([data[:i], data[i:]]) == whole


@pytest.mark.parametrize("case", CASES, ids=str)
def test_cases(case: Case) -> None:
    outcome = read([case.request] if case.request else [])
    assert read(single_bytes(case.request)) == outcome
    match case.status:
        case None:
            assert outcome is None
        case 59:
            assert isinstance(outcome, tuple)
            assert outcome[0] is BadRequest
        case 51:  # when not here, then where the files are
            assert isinstance(outcome, Request) or outcome == (NotFound, "not found")
        case _:
            assert isinstance(outcome, Request)


def test_exactly_1024_bytes_are_a_request() -> None:
    request = read([FULL + b"\r\n"])
    assert isinstance(request, Request)
    assert request.uri == FULL.decode()
    assert read([FULL + b"\r", b"\n"]) == read(single_bytes(FULL + b"\r\n")) == request


def test_the_length_is_counted_in_bytes_as_sent() -> None:
    line = "gemini://h/?" + "é" * 506  # 1024 bytes, and three times as many once it is encoded
    assert isinstance(read([line.encode() + b"\r\n"]), Request)
    assert read([line.encode() + b"x\r\n"]) == (BadRequest, "the URI is longer than 1024 bytes")


@pytest.mark.parametrize("data", [FULL + b"xx", FULL + b"\rx", b"x" * 300_000], ids=len)
def test_too_long_is_refused_before_crlf(data: bytes) -> None:
    reader = RequestReader(CLIENT)
    with pytest.raises(BadRequest, match="longer than 1024"):
        reader.receive(data)
    assert reader.received == data[:1025]  # kept for the log, and no more of it


@pytest.mark.parametrize("start", [b"", b"gemini://h/", b"gemini://h/\r", b"gemini://h/\n"])
def test_a_client_that_closes_early_is_refused(start: bytes) -> None:
    assert read([start, b""] if start else [b""]) == (BadRequest, "closed before CRLF")


def test_received_is_the_line_so_far() -> None:
    reader = RequestReader(CLIENT)
    assert reader.received == b""
    reader.receive(b"gemini:")
    assert reader.received == b"gemini:"
    reader.receive(b"//h/\r\nmore")
    assert reader.received == b"gemini://h/"


def test_received_after_a_refusal_is_the_line() -> None:
    reader = RequestReader(CLIENT)
    with pytest.raises(BadRequest):
        reader.receive(b"hello\r\nmore")
    assert reader.received == b"hello"


# Whatever is sent

PIECES = [
    *(b"gemini://h", b"gemini://", b"titan://", b"h", b":1965", b"/", b"//", b"/..", b"/.", b"/%2e", b"%2E"),
    *(b"..", b".", b"%2f", b"%2F..", b"%00", b"%ff", b"%C3%A9", b"%", b"?", b"#", b"@", b"[::1]", b"%25"),
    *("é".encode(), "。".encode(), b"\xff", b"\r", b"\n", b"\r\n", b" ", b"\0", b"a" * 500, b"a", b"b"),
]
sent = st.one_of(
    st.binary(),
    st.lists(st.sampled_from(PIECES)).map(b"".join),
    st.lists(st.sampled_from(PIECES)).map(lambda pieces: b"gemini://h/" + b"".join(pieces)),
)


@relaxed
@given(sent, st.lists(st.integers(0, 1100), max_size=5))
@example(FULL + b"\r", [1, 1024])
def test_any_bytes_are_answered_and_pieces_do_not_matter(line: bytes, cuts: list[int]) -> None:
    data = line + b"\r\n"
    whole = read([data])  # any other exception ends the test
    assert whole is not None
    edges = [0, *sorted(cuts), len(data)]
    pieces = [data[start:end] for start, end in pairwise(edges)]
    assert read(piece for piece in pieces if piece) == whole


@relaxed
@given(st.lists(st.sampled_from(PIECES)).map(lambda pieces: b"gemini://h/" + b"".join(pieces)))
@example(b"gemini://h/a/%2e%2e/%2E/b%2F..%2F/")
@example(b"gemini://h/%252e%252e/%2F../..")
def test_segments_hold_no_dots_and_make_up_the_path(line: bytes) -> None:
    try:
        request = parse_request(line, CLIENT)
    except Failure:
        return
    assert "/" + "/".join(request.segments) == request.path
    assert not {".", ".."} & set(request.segments)
    if "%2f" not in request.raw_path.lower():
        assert request.segments == tuple(request.path[1:].split("/"))
        assert not {".", ".."} & set(request.path.split("/"))
