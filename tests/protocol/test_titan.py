from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from pad19.protocol.client import Client
from pad19.protocol.failure import BadRequest, Failure, NotFound
from pad19.protocol.request import Request, RequestReader, parse_request
from pad19.protocol.titan import (
    accepts,
    edit_target,
    edit_uri_for,
    receive,
    upload_target,
    uri_for,
    without_token,
)
from pad19.protocol.upload import Upload


@pytest.mark.parametrize(
    ("uri", "logged"),
    [
        ("titan://h/a;size=1", "titan://h/a;size=1"),
        ("titan://h/a;token=secret", "titan://h/a;token=..."),
        ("titan://h/a;token=secret;size=1", "titan://h/a;token=..."),
        ("titan://h/a;token=two;words;size=1", "titan://h/a;token=..."),
        ("titan://h/a;size=1;token=secret?q", "titan://h/a;size=1;token=..."),
        ("titan://h/a;size=1;%74oken=secret", "titan://h/a;size=1;%74oken=..."),
        ("titan://h/a;%54%4f%4B%65n%3Dsecret", "titan://h/a;%54%4f%4B%65n%3D..."),
        ("titan://h/a%3btoken=secret", "titan://h/a%3btoken=..."),
        ("titan://h/a;mime=text/plain; token=secret;size=1", "titan://h/a;mime=text/plain; token=..."),
        ("titan://h/a;mime=text/plain;%20token =secret", "titan://h/a;mime=text/plain;%20token =..."),
        ("titan://h/a;tokens=public", "titan://h/a;tokens=public"),
        ("titan://h/a;TOKEN=secret", "titan://h/a;TOKEN=..."),
        ("titan://h/a;token=secret;token=another", "titan://h/a;token=..."),
        ("titan://h/a;token=", "titan://h/a;token=..."),
        ("titan://h/a;token=sec=ret/%3B", "titan://h/a;token=..."),
        ("titan://h/a;token=two words\tsecret", "titan://h/a;token=..."),  # refused, logged all the same
        ("titan://h/a;token=sec\nret\r", "titan://h/a;token=..."),
        ("gemini://h/a;token=secret", "gemini://h/a;token=..."),  # the wrong scheme, the right password
        ("gemini://h/token=public", "gemini://h/token=public"),
        ("", ""),
    ],
)
def test_a_token_is_not_logged(uri: str, logged: str) -> None:
    assert without_token(uri) == logged
    assert without_token(logged) == logged


# Parameters


async def _chunks(size: int) -> AsyncIterator[bytes]:
    yield b"x" * size


def received(rest: str) -> Request:
    return receive(parse_request(f"titan://h{rest}".encode(), Client()), _chunks)


_UTF8 = "text/plain; charset=utf-8"
UPLOADS: list[tuple[str, str, Upload]] = [  # what follows the host, URI without parameters, upload
    ("/n.gmi;size=5;mime=text/plain", "/n.gmi", Upload(5, "text/plain")),
    ("/n.gmi;mime=text/plain;size=5", "/n.gmi", Upload(5, "text/plain")),
    ("/n.gmi;mime=text%2Fplain;size=5", "/n.gmi", Upload(5, "text/plain")),
    ("/n.gmi;mime=text/gemini%3B%20lang=en;size=5", "/n.gmi", Upload(5, "text/gemini; lang=en")),
    ("/n.gmi;size=5", "/n.gmi", Upload(5, "text/gemini")),
    ("/n.gmi;size=5;mime=", "/n.gmi", Upload(5, "text/gemini")),
    ("/n.gmi;size=5?q", "/n.gmi?q", Upload(5)),
    ("/n.gmi;size=5?", "/n.gmi?", Upload(5)),
    ("/n.gmi;size=5?a;size=6", "/n.gmi?a;size=6", Upload(5)),
    ("/n.gmi;size=0", "/n.gmi", Upload(0)),
    ("/n.gmi;size=007", "/n.gmi", Upload(7)),
    ("/n.gmi;size=999999999999999", "/n.gmi", Upload(999_999_999_999_999)),
    ("/n.gmi;size=5;token=secret", "/n.gmi", Upload(5, token="secret")),
    ("/n.gmi;token=sec%20r%3Bet%3F;size=5", "/n.gmi", Upload(5, token="sec r;et?")),
    ("/n.gmi;token=sécret;size=5", "/n.gmi", Upload(5, token="sécret")),
    ("/n.gmi;token=a/b=c+d;size=5", "/n.gmi", Upload(5, token="a/b=c+d")),  # base64, not encoded
    ("/n.gmi;token=;size=5", "/n.gmi", Upload(5)),
    ("/a;b/n.gmi;size=5", "/a;b/n.gmi", Upload(5)),
    ("/a%3Bsize=1;size=5", "/a%3Bsize=1", Upload(5)),
    ("/é.gmi;size=5", "/é.gmi", Upload(5)),
    ("/folder/;size=5", "/folder/", Upload(5)),
    ("/;size=5", "/", Upload(5)),
    ("/n.gmi;edit", "/n.gmi", Upload(0, edit=True)),
    ("/n.gmi;edit?q", "/n.gmi?q", Upload(0, edit=True)),
    # Lagrange's form, from its source: src/gmrequest.c, composeTitanRequest_GmRequest_, and what it is called
    # with, src/ui/uploadwidget.c. The port is always there. The type comes first, as it is, and the token
    # last, where all but A-Z, a-z, 0-9 and -_.~ is encoded, with capitals.
    (":1965/n.gmi;mime=text/plain;size=5", ":1965/n.gmi", Upload(5, "text/plain")),
    (":1965/n.gmi;mime=text/plain;size=5;token=secret", ":1965/n.gmi", Upload(5, "text/plain", "secret")),
    (
        ":1965/n.gmi;mime=text/plain;size=5;token=a-b_c.d~e%20f%2Bg%2F%3D%3B%C3%A9",
        ":1965/n.gmi",
        Upload(5, "text/plain", "a-b_c.d~e f+g/=;é"),
    ),
    # A file whose ending says nothing, and what deletes: a URL that is opened without data.
    (":1965/LICENSE;mime=text/plain; charset=utf-8;size=5", ":1965/LICENSE", Upload(5, _UTF8)),
    (
        ":1965/LICENSE;mime=text/plain; charset=utf-8;size=5;token=a%20b",
        ":1965/LICENSE",
        Upload(5, _UTF8, "a b"),
    ),
    (
        ":1965/n.gmi;mime=application/octet-stream;size=0",
        ":1965/n.gmi",
        Upload(0, "application/octet-stream"),
    ),
    (":1965/n.gmi;edit", ":1965/n.gmi", Upload(0, edit=True)),
    (":1965/n.gmi;edit?q", ":1965/n.gmi?q", Upload(0, edit=True)),
    # Other parameters of types, which are none of Titan's.
    ("/a;mime=text/plain;charset=utf-8;size=5", "/a", Upload(5, "text/plain;charset=utf-8")),
    (
        "/a;mime=text/gemini;lang=en;charset=utf-8;size=5",
        "/a",
        Upload(5, "text/gemini;lang=en;charset=utf-8"),
    ),
    ("/a;mime=text/x; a=b; c=d;size=5", "/a", Upload(5, "text/x; a=b; c=d")),
    ("/a;size=5;mime=text/plain; charset=utf-8", "/a", Upload(5, _UTF8)),
    ("/a;size=5;mime=text/plain; charset=utf-8?q", "/a?q", Upload(5, _UTF8)),
    ("/a;mime=text/plain;%20charset=utf-8;size=5", "/a", Upload(5, _UTF8)),
]


@pytest.mark.parametrize(("rest", "uri", "upload"), UPLOADS)
def test_parameters(rest: str, uri: str, upload: Upload) -> None:
    assert received(rest) == replace(parse_request(f"titan://h{uri}".encode(), Client()), upload=upload)


REFUSED = [  # what follows the host, errormsg
    ("/n.gmi", "the size is missing"),
    ("/n.gmi?size=5", "the size is missing"),
    ("/n.gmi;mime=text/plain", "the size is missing"),
    ("/n.gmi;size=", "the size is not a number of bytes"),
    ("/n.gmi;size=-1", "the size is not a number of bytes"),
    ("/n.gmi;size=+1", "the size is not a number of bytes"),
    ("/n.gmi;size=abc", "the size is not a number of bytes"),
    ("/n.gmi;size=1.5", "the size is not a number of bytes"),
    ("/n.gmi;size=0x10", "the size is not a number of bytes"),
    ("/n.gmi;size=１", "the size is not a number of bytes"),  # noqa: RUF001 - a digit, but none of ours
    ("/n.gmi;size=1_000", "the size is not a number of bytes"),
    ("/n.gmi;size=1000000000000000", "the size is not a number of bytes"),
    ("/n.gmi;size=1;size=2", "size is there twice"),
    ("/n.gmi;size=1;size=1", "size is there twice"),
    ("/n.gmi;mime=a/b;size=1;mime=a/b", "mime is there twice"),
    ("/n.gmi;token=a;token=a;size=1", "token is there twice"),
    ("/n.gmi;size=1;mime=text", "mime is not a MIME type"),
    ("/n.gmi;size=1;mime=text/plain%0D%0A20", "mime is not a MIME type"),
    ("/n.gmi;size=1;mime=text/pl%C3%A9in", "mime is not a MIME type"),
    ("/n.gmi;size=1;lang=en", "there is a parameter besides size, mime and token"),
    ("/n.gmi;lang=en;size=1", "there is a parameter besides size, mime and token"),
    ("/n.gmi;lang=en", "there is a parameter besides size, mime and token"),
    ("/n.gmi;SIZE=1", "there is a parameter besides size, mime and token"),
    ("/n.gmi;%73ize=1", "there is a parameter besides size, mime and token"),
    ("/n.gmi;size=1;", "there is a parameter besides size, mime and token"),
    ("/n.gmi;;size=1", "there is a parameter besides size, mime and token"),
    ("/n.gmi;size", "there is a parameter besides size, mime and token"),
    ("/n.gmi;edit=1;size=1", "there is a parameter besides size, mime and token"),
    ("/n.gmi;editor", "there is a parameter besides size, mime and token"),
    ("/n.gmi;edit;size=1", "edit goes without other parameters"),
    ("/n.gmi;size=1;edit", "edit goes without other parameters"),
    ("/n.gmi;edit;token=a", "edit goes without other parameters"),
    ("/n.gmi;edit;edit", "edit goes without other parameters"),
    # Behind the query, where clients used to put them.
    ("/n.gmi?q;mime=text/plain;size=5", "the parameters go before the question mark"),
    ("/n.gmi?q;size=5;token=a", "the parameters go before the question mark"),
    ("/n.gmi?;edit", "the parameters go before the question mark"),
    ("/n.gmi?q;editor", "the size is missing"),
    # What is no parameter of a type, or not where those are.
    ("/n.gmi;mime=text/plain;x=y;size=1", "there is a parameter besides size, mime and token"),
    ("/n.gmi;size=1;charset=utf-8", "there is a parameter besides size, mime and token"),
    ("/n.gmi;mime=text/plain;size=1; charset=utf-8", "' ' is not allowed in a URI"),
    ("/n.gmi;mime=text/plain; charset=utf-8", "the size is missing"),
    ("/n.gmi;mime=text/plain; size=1", "the size is missing"),
    ("/n.gmi;mime=text/plain; edit", "there is a parameter besides size, mime and token"),
    ("/n.gmi;mime=text/plain;charset=a%0D%0A;size=1", "mime is not a MIME type"),
    # One blank, and nowhere else.
    ("/n.gmi;mime=text/plain;  charset=utf-8;size=1", "' ' is not allowed in a URI"),
    ("/n.gmi;mime=text/plain ;size=1", "' ' is not allowed in a URI"),
    ("/n.gmi;mime=text/plain; charset=utf 8;size=1", "' ' is not allowed in a URI"),
    ("/n.gmi;mime=text/plain;\tcharset=utf-8;size=1", "U+0009 is not allowed in a URI"),
    ("/n.gmi; size=1;mime=text/plain", "' ' is not allowed in a URI"),
    ("/n gmi;mime=text/plain; charset=utf-8;size=1", "' ' is not allowed in a URI"),
    ("/n.gmi?;mime=text/plain; charset=utf-8;size=1", "' ' is not allowed in a URI"),
    ("/n.gmi;size=1;mime=text/plain; charset=utf-8? q", "' ' is not allowed in a URI"),
]


@pytest.mark.parametrize(("rest", "message"), REFUSED)
def test_bad_parameters(rest: str, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        received(rest)
    assert str(caught.value) == message


def test_gemini_has_no_blanks() -> None:
    with pytest.raises(BadRequest, match=r"^' ' is not allowed in a URI$"):
        parse_request(b"gemini://h/n.gmi;mime=text/plain; charset=utf-8;size=1", Client())


NOWHERE = [  # what follows the host, status
    ("/../x;size=1", 51),
    ("/%2e%2e/x;size=1", 51),
    ("/..;size=1", 51),  # only without its parameters it is two dots
    ("/a/../..;size=1", 51),
    ("/%2e%2E;size=1", 51),
    ("/%ff;size=1", 51),
    ("/a%00;size=1", 59),
    ("/n.gmi;size=1;token=%ff", 51),
    ("/n.gmi;size=1;token=%zz", 59),
]


@pytest.mark.parametrize(("rest", "status"), NOWHERE)
def test_paths_that_lead_nowhere(rest: str, status: int) -> None:
    with pytest.raises(Failure) as caught:
        received(rest)
    assert caught.value.status == status


def test_dots_are_resolved_without_the_parameters() -> None:
    assert received("/a/b/..;size=1").path == "/a/"
    assert received("/a/./n.gmi;size=1").path == "/a/n.gmi"
    with pytest.raises(NotFound):
        received("/..;edit")


def test_a_token_is_in_nothing_that_is_shown() -> None:
    request = received("/n.gmi;size=5;token=secret?q")
    assert request.upload
    assert request.upload.token == "secret"
    assert "secret" not in f"{request!r}{request.uri}{request.raw_path}{request.path}"


async def test_a_body_is_read_once() -> None:
    request = received("/n.gmi;size=5")
    assert request.upload
    assert await request.upload.read() == b"xxxxx"
    assert [chunk async for chunk in request.upload] == []
    assert [chunk async for chunk in Upload(0)] == []


# Request lines with something behind them


@pytest.mark.parametrize("cut", range(1, 30))
def test_what_follows_the_line_is_kept(cut: int) -> None:
    data = b"titan://h/n.gmi;size=5\r\nhello"
    reader = RequestReader(Client())
    assert (reader.receive(data[:cut]) is None) == (cut < 24)
    if cut < 24:
        assert reader.receive(data[cut:])
        assert reader.rest == b"hello"
    else:
        assert reader.rest == data[24:cut]


# Where those are sent who edit what has moved

TARGETS = [  # the URI of the request, where it has moved, where they are sent
    ("titan://h/a/b.gmi", "/c.gmi", "titan://h/c.gmi;edit"),
    ("titan://h/a/b.gmi", "c.gmi?q", "titan://h/a/c.gmi;edit?q"),
    ("titan://h/a/b.gmi?q", "/c.gmi#part", "titan://h/c.gmi;edit"),
    ("titan://h:1965/a.gmi", "/c.gmi", "titan://h/c.gmi;edit"),
    ("titan://h:1970/a.gmi", "/c.gmi", "titan://h:1970/c.gmi;edit"),
    ("titan://h/a.gmi", "gemini://h/c.gmi", "titan://h/c.gmi;edit"),
    ("titan://h/a.gmi", "gemini://h:1965/c.gmi", "titan://h:1965/c.gmi;edit"),
    ("titan://h/a.gmi", "titan://h/c.gmi", "titan://h/c.gmi;edit"),
    # Others may know nothing of this.
    ("titan://h/a.gmi", "gemini://h:1970/c.gmi", "gemini://h:1970/c.gmi"),
    ("titan://h/a.gmi", "gemini://other/c.gmi", "gemini://other/c.gmi"),
    ("titan://h/a.gmi", "//other/c.gmi", "//other/c.gmi"),
    ("titan://h/a.gmi", "https://h/c.gmi", "https://h/c.gmi"),
    ("titan://h/a.gmi", "not a URI", "not a URI"),
]


@pytest.mark.parametrize(("uri", "target", "there"), TARGETS)
def test_targets_of_redirects(uri: str, target: str, there: str) -> None:
    assert edit_target(parse_request(uri.encode(), Client()), target) == there


def test_a_target_that_becomes_too_long() -> None:
    request = parse_request(b"titan://h/a.gmi", Client())
    assert len(edit_target(request, "/" + "x" * 1008)) == 1023
    with pytest.raises(BadRequest, match="too long"):
        edit_target(request, "/" + "x" * 1010)


# The client's side


@pytest.mark.parametrize(
    ("uri", "options", "line"),
    [
        ("titan://h/a", {"size": 1}, "titan://h/a;size=1"),
        ("titan://h/a?q", {"size": 1}, "titan://h/a;size=1?q"),
        ("titan://h/a", {"size": 1, "mimetype": "text/plain"}, "titan://h/a;mime=text/plain;size=1"),
        (
            "titan://h/a", {"size": 1, "mimetype": "text/gemini; lang=en"},
            "titan://h/a;mime=text/gemini%3B%20lang%3Den;size=1",
        ),
        ("titan://h/a", {"size": 1, "token": "a;b?/é"}, "titan://h/a;size=1;token=a%3Bb%3F%2F%C3%A9"),
    ],
)  # fmt: skip
def test_request_lines(uri: str, options: dict[str, str | int], line: str) -> None:
    assert uri_for(uri, **options) == line  # type: ignore[arg-type]  # as written above
    upload = received(line.removeprefix("titan://h")).upload
    assert upload
    assert (upload.size, upload.mime, upload.token) == (
        1,
        options.get("mimetype", "text/gemini"),
        options.get("token"),
    )


def test_the_line_that_asks_for_a_text() -> None:
    assert edit_uri_for("titan://h/a?q") == "titan://h/a;edit?q"


@pytest.mark.parametrize(
    ("patterns", "mimetype", "accepted"),
    [
        (("text/*",), "text/plain", True),
        (("text/*",), "Text/Gemini; lang=en", True),
        (("text/*",), "textual/plain", False),
        (("text/*",), "image/png", False),
        (("text/gemini",), "text/gemini ;lang=en", True),
        (("text/gemini",), "text/plain", False),
        (("image/png", "text/plain"), "text/plain", True),
        (("*/*",), "application/octet-stream", True),
        ((), "text/plain", False),
    ],
)
def test_types(patterns: tuple[str, ...], mimetype: str, accepted: bool) -> None:
    assert accepts(patterns, mimetype) is accepted


def test_where_an_upload_belongs() -> None:
    assert upload_target("gemini://b.test:1966/a") == "titan://b.test:1966/a"
    for target in ("/gemini://a", "a", "titan://b.test/", "https://b.test/"):
        assert upload_target(target) == target
