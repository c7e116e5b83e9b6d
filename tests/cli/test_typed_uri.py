import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pad19.cli.typed_uri import complete
from pad19.protocol.client import Client
from pad19.protocol.failure import NotFound
from pad19.protocol.request import parse_request
from pad19.protocol.uri import InvalidURI

COMPLETED = [  # typed, requested
    ("gemini://a.test/x", "gemini://a.test/x"),
    ("gemini://a.test", "gemini://a.test/"),
    ("gemini://a.test?q", "gemini://a.test/?q"),
    ("gemini://a.test/x?", "gemini://a.test/x?"),
    ("GEMINI://A.Test/X", "gemini://a.test/X"),
    ("a.test", "gemini://a.test/"),
    ("a.test/x:y", "gemini://a.test/x:y"),
    ("//a.test/x", "gemini://a.test/x"),
    ("localhost:1970/x", "gemini://localhost:1970/x"),
    ("gemini:1970/x", "gemini://gemini:1970/x"),
    ("localhost:1970", "gemini://localhost:1970/"),
    ("localhost:/x", "gemini://localhost/x"),
    ("localhost:", "gemini://localhost/"),
    ("127.0.0.1:1970/x", "gemini://127.0.0.1:1970/x"),
    ("[::1]", "gemini://[::1]/"),
    ("[0::1]:1970/x", "gemini://[::1]:1970/x"),
    (" \ta.test/x\n", "gemini://a.test/x"),
    ("a.test/x#top", "gemini://a.test/x"),
    ("a.test#top", "gemini://a.test/"),
    ("a.test/x?q#top#more", "gemini://a.test/x?q"),
    ("bücher.test/ä?ö", "gemini://xn--bcher-kva.test/%C3%A4?%C3%B6"),
    ("a.test/two words?and three", "gemini://a.test/two%20words?and%20three"),
    ("a.test/%41%zz%2?100%", "gemini://a.test/%41%25zz%252?100%25"),
    ('a.test/"<>\\^`{|}[]', "gemini://a.test/%22%3C%3E%5C%5E%60%7B%7C%7D%5B%5D"),
    ("a.test/?line\nbreak\x00", "gemini://a.test/?line%0Abreak%00"),
    ("a.test/\udcff", "gemini://a.test/%FF"),  # a byte of the command line that is not UTF-8
    ("a.test/..//./x", "gemini://a.test/..//./x"),  # as typed: to see what the server makes of it
    ("a.test/?gemini://b.test", "gemini://a.test/?gemini://b.test"),
    ("a.test/" + "x" * 1008, "gemini://a.test/" + "x" * 1008),  # 1024 bytes
]

REFUSED = [  # typed, what is wrong
    ("", "the host is missing"),
    ("/x", "the host is missing"),
    ("gemini:///x", "the host is missing"),
    ("http://a.test/", "not http"),
    ("titan://a.test/", "not titan"),
    ("mailto:ada@a.test", "not mailto"),
    ("file:///etc/passwd", "the host is missing"),
    ("ada@a.test/", "leave out what is in front of the @"),
    ("gemini://@a.test/", "leave out what is in front of the @"),
    ("gemini://a:b@a.test/", "leave out what is in front of the @"),
    ("localhost:abc", "if localhost is a host, a port belongs behind its colon"),
    ("localhost:1965x/", "the port, behind the colon, is not a number"),
    ("[::1]:x/", "the port, behind the colon, is not a number"),
    ("gemini://localhost:x", "the port, behind the colon, is not a number"),
    ("gemini//localhost", "write gemini:// in front of the host"),
    ("Gemini:/localhost", "write gemini:// in front of the host"),
    ("gemini:localhost", "write gemini:// in front of the host"),
    ("gemini:", "write gemini:// in front of the host"),
    ("a b.test/", "'^'|' ' is not allowed"),
    ("a.test:0/", "port is out of range"),
    ("a.test:99999/", "port is out of range"),
    ("[::1/", "not a URI|authority|IPv6"),
    ("[fe80::1%25eth0]/", "without a zone"),
    ("\x1b[2J.test/", r"U\+001B"),
    ("\udcff.test/", r"U\+DCFF"),
    ("x" * 64 + ".test", "not a host name"),
    ("a.test/" + "x" * 1009, "longer than 1024 bytes"),
    ("a.test/" + "ä" * 200, "longer than 1024 bytes"),
]


@pytest.mark.parametrize(("typed", "requested"), COMPLETED)
def test_completed(typed: str, requested: str) -> None:
    assert str(complete(typed)) == requested


@pytest.mark.parametrize(("typed", "wrong"), REFUSED)
def test_refused(typed: str, wrong: str) -> None:
    with pytest.raises(InvalidURI, match=wrong) as refused:
        complete(typed)
    assert str(refused.value).isprintable()


@given(
    st.text(st.characters(exclude_characters="\0%", exclude_categories=["Cs"]), max_size=40),
    st.sampled_from(["", "a.test/", "gemini://a.test", "a.test?"]),
)
def test_what_is_completed_can_be_requested(typed: str, before: str) -> None:
    try:
        uri = complete(before + typed)
    except InvalidURI:
        return
    with contextlib.suppress(NotFound):  # a path above the root, say: the server is asked all the same
        assert parse_request(str(uri).encode("ascii"), Client()).scheme == "gemini"
    assert str(complete(str(uri))) == str(uri)
