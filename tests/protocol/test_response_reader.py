import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pad19.protocol.response import MAX_META, header
from pad19.protocol.response_reader import MAX_HEADER, BadHeader, Header, ResponseReader
from pad19.protocol.status import Status

FULL = b"20 " + b"t" * MAX_META + b"\r\n"

ACCEPTED = [  # bytes from the server, status, meta, what follows
    (b"20 text/gemini\r\n", 20, "text/gemini", b""),
    (b"20 text/gemini\r\n# Hello\r\n", 20, "text/gemini", b"# Hello\r\n"),
    (b"20 text/gemini\r\n\r\n20 text/plain\r\n", 20, "text/gemini", b"\r\n20 text/plain\r\n"),
    (b"10 Dein Name, bitte \xc3\xa4\r\n", 10, "Dein Name, bitte ä", b""),
    (b"30  /two spaces\r\n", 30, " /two spaces", b""),
    (b"51\r\n", 51, "", b""),
    (b"51 \r\n", 51, "", b""),
    (b"40\r\n", 40, "", b""),
    (b"69\r\n", 69, "", b""),
    (b"29 unknown/type\r\n", 29, "unknown/type", b""),
    (b"44 10\r\nbody", 44, "10", b"body"),
    (FULL + b"\xff" * 5000, 20, "t" * MAX_META, b"\xff" * 5000),
    (FULL, 20, "t" * MAX_META, b""),
]

REFUSED = [  # bytes from the server, which then closes; what is wrong
    (b"", "closed without a header"),
    (b"20 text/gem", "closed within the header"),
    (b"20 text/gemini\r", "closed within the header"),
    (b"20 text/gemini\n# Hello\n", "LF without CR"),
    (b"20 text/gemini\n# Hello\r\n", "LF without CR"),
    (b"20 text/gemini\n" * 100, "LF without CR"),
    (b"\r\n", "two-digit status"),
    (b"2\r\n", "two-digit status"),
    (b" 20 text/gemini\r\n", "two-digit status"),
    (b"-1 x\r\n", "two-digit status"),
    ("٢٠ text/gemini\r\n".encode(), "two-digit status"),
    (b"\xef\xbb\xbf20 text/gemini\r\n", "two-digit status"),
    (b"HTTP/1.1 400 Bad Request\r\n", "two-digit status"),
    (b"09 x\r\n", "status 09 is not one of 10 to 69"),
    (b"00 x\r\n", "status 00"),
    (b"70 x\r\n", "status 70"),
    (b"99\r\n", "status 99"),
    (b"200 OK\r\n", "no space behind the status 20"),
    (b"20\ttext/gemini\r\n", r"U\+0009"),
    (b"20text/gemini\r\n", "no space"),
    (b"51x\r\n", "no space"),
    (b"20\r\n", "nothing behind the status 20"),
    (b"20 \r\n", "nothing behind the status 20"),
    (b"10\r\n", "nothing behind the status 10"),
    (b"31 \r\n", "nothing behind the status 31"),
    (b"51 \x1b[2J\r\n", r"U\+001B"),
    (b"51 a\rb\r\n", r"U\+000D"),
    (b"51 a\x00b\r\n", r"U\+0000"),
    (b"51 \xc2\x9b2J\r\n", r"U\+009B"),
    (b"51 \xff\r\n", "not UTF-8"),
    (b"20 " + b"t" * (MAX_META + 1) + b"\r\n", "longer than 1029 bytes"),
    (b"t" * 100_000, "longer than 1029 bytes"),
]


def outcome(pieces: list[bytes]) -> tuple[Header | str, bytes]:
    """The header or what is wrong, and what follows the header; the server closes in the end."""
    reader = ResponseReader()
    try:
        for index, piece in enumerate([*pieces, b""]):
            if header := reader.receive(piece):
                return header, reader.rest + b"".join(pieces[index + 1 :])
    except BadHeader as error:
        return str(error), b""
    raise AssertionError("neither a header nor an error")


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    """Cut at these places. No piece is empty, since that would be the end."""
    places = [0, *sorted(cut for cut in set(cuts) if 0 < cut < len(data)), len(data)]
    return [data[a:b] for a, b in pairwise(places) if a < b]


@pytest.mark.parametrize(("data", "status", "meta", "rest"), ACCEPTED)
@pytest.mark.parametrize("size", [1, 2, 1_000_000])
def test_accepted(data: bytes, status: int, meta: str, rest: bytes, size: int) -> None:
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    assert outcome(pieces) == (Header(status, meta), rest)


@pytest.mark.parametrize(("data", "wrong"), REFUSED)
@pytest.mark.parametrize("size", [1, 2, 1_000_000])
def test_refused(data: bytes, wrong: str, size: int) -> None:
    message, _ = outcome([data[start : start + size] for start in range(0, len(data), size)])
    assert isinstance(message, str)
    assert re.search(wrong, message)


def test_an_endless_header_is_refused_as_soon_as_it_is_too_long() -> None:
    reader = ResponseReader()
    for _ in range(MAX_HEADER - 1):
        assert reader.receive(b"2") is None
    with pytest.raises(BadHeader, match="longer"):
        reader.receive(b"2")


@pytest.mark.parametrize(
    ("value", "text"),
    [(Header(20, "text/gemini"), "20 text/gemini"), (Header(51, ""), "51"), (Header(51, "no"), "51 no")],
)
def test_as_text(value: Header, text: str) -> None:
    assert str(value) == text


@given(
    st.one_of(
        st.binary(max_size=60),
        st.from_regex(rb"\A[0-7][0-9] [ -~\xc2\x80-\xa0\r\n]{0,20}\r?\n(?s:.){0,9}\Z"),
        st.integers(MAX_META - 3, MAX_META + 3).map(lambda size: b"20 " + b"t" * size + b"\r\nbody"),
    ),
    st.lists(st.integers(0, MAX_HEADER + 9), max_size=9),
)
def test_any_bytes_give_a_header_or_an_error_however_they_are_split(data: bytes, cuts: list[int]) -> None:
    whole, rest = outcome([data] if data else [])
    assert outcome(split(data, cuts)) == (whole, rest)
    if isinstance(whole, Header):
        assert 10 <= whole.status < 70
        assert data.endswith(b"\r\n" + rest)
    text = str(whole)
    assert all(char >= " " and not "\x7f" <= char <= "\x9f" for char in text)


@given(st.sampled_from(Status), st.text(max_size=1200))
def test_reads_what_the_server_writes(status: Status, meta: str) -> None:
    try:
        line = header(status, meta)
    except ValueError:
        return  # not every text is a type or a target
    got, rest = outcome([line + b"body"])
    assert isinstance(got, Header)
    assert (got.status, rest) == (status, b"body")
    assert got.meta.encode() == line[3:-2]
