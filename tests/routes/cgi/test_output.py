"""What a program writes, as a response: headers of all styles, and what is none."""

import re

import pytest

from pad19.protocol.failure import CGIError
from pad19.protocol.response import BrokenBody, Reply, Stream
from pad19.protocol.status import Status
from pad19.routes.cgi.output import GatewayFailure, TookTooLong, respond

FULL = "m" * 1024


class Fake:
    """A source that has its chunks ready, and maybe a failure behind them."""

    name = "fake"

    def __init__(self, *chunks: bytes, failure: GatewayFailure | None = None) -> None:
        self._chunks = [*chunks]
        self._failure = failure
        self.closed = 0

    async def read(self) -> bytes:
        if self._chunks:
            return self._chunks.pop(0)
        if self._failure:
            raise self._failure
        return b""

    async def aclose(self) -> None:
        self.closed += 1

    @property
    def is_read(self) -> bool:
        return not self._chunks


async def body(response: Reply) -> bytes:
    assert isinstance(response.body, Stream)
    return b"".join([bytes(chunk) async for chunk in response.body])


ACCEPTED = [  # output, status, meta
    (b"20 text/gemini\r\n", Status.SUCCESS, "text/gemini"),
    (b"20 text/gemini\n", Status.SUCCESS, "text/gemini"),
    (b"20 text/gemini\r\r\n", Status.SUCCESS, "text/gemini"),
    (b"20  text/plain; charset=utf-8 \n", Status.SUCCESS, "text/plain; charset=utf-8"),
    (b"10 Your name? \n", Status.INPUT, "Your name?"),
    (b"11 Caf\xc3\xa9\n", Status.SENSITIVE_INPUT, "Café"),
    (b"30 ../x?y\n", Status.TEMPORARY_REDIRECT, "../x?y"),
    (b"51\n", Status.NOT_FOUND, ""),
    (b"44 10\r\n", Status.SLOW_DOWN, "10"),
    (b"60 certificate, please\n", Status.CLIENT_CERTIFICATE_REQUIRED, "certificate, please"),
    (f"10 {FULL}\r\n".encode(), Status.INPUT, FULL),
]


@pytest.mark.parametrize("bytewise", [False, True])
@pytest.mark.parametrize(("output", "status", "meta"), ACCEPTED)
async def test_headers(output: bytes, status: Status, meta: str, bytewise: bool) -> None:
    output += b"body\r\n"
    source = Fake(*([output[i : i + 1] for i in range(len(output))] if bytewise else [output]))
    response = await respond(source)
    assert (response.status, response.meta) == (status, meta)
    if status is Status.SUCCESS:
        assert not source.closed
        assert await body(response) == b"body\r\n"
    else:
        assert response.body == b""
        assert source.is_read
        assert source.closed


REFUSED = [  # output, what the log says
    (b"", "it wrote nothing"),
    (b"20 text/gemini", "it ended within the header"),
    (b"Hello, world\n", "does not begin with a two-digit status"),
    (b"\n20 text/gemini\n", "does not begin with a two-digit status"),
    (b"\xef\xbb\xbf20 text/gemini\n", "does not begin with a two-digit status"),
    (b"Content-Type: text/plain\n\nHello", "does not begin with a two-digit status"),
    (b"7 x\n", "does not begin with a two-digit status"),
    (b"99 x\n", "99 is not one of 10 to 69"),
    (b"21 text/gemini\n", "21 is not a valid Status"),
    (b"200 text/gemini\n", "no space behind the status 20"),
    (b"20\n", "nothing behind the status 20"),
    (b"20 \r\n", "nothing behind the status 20"),
    (b"10\n", "nothing behind the status 10"),
    (b"20 gemtext\n", "'gemtext' is not a MIME type"),
    (b"30 a b\n", "' ' is not allowed in a URI"),
    (b"10 \xff\n", "not UTF-8"),
    (b"10 a\x1bb\n", "U\\+001B"),
    (b"10 a\rb\n", "U\\+000D"),
    (b"20 " + b"x" * 2000, "longer than 1029 bytes"),
    (b"20 " + b"x" * 1026 + b"\n", "longer than 1029 bytes"),
]


@pytest.mark.parametrize("bytewise", [False, True])
@pytest.mark.parametrize(("output", "message"), REFUSED)
async def test_what_is_no_header(
    output: bytes, message: str, bytewise: bool, caplog: pytest.LogCaptureFixture
) -> None:
    source = Fake(*([output[i : i + 1] for i in range(len(output))] if bytewise else [output]))
    with pytest.raises(CGIError, match=r"^the program behind this page failed$"):
        await respond(source)
    assert source.closed
    [record] = caplog.records
    assert record.levelname == "ERROR"
    assert re.match(f"fake: .*{message}", record.getMessage())


FAILURES = [  # output, failure, errormsg
    (b"", GatewayFailure("it fell"), "the program behind this page failed"),
    (b"20 text", GatewayFailure("it fell"), "the program behind this page failed"),
    (b"30 /x\nbody", GatewayFailure("it fell"), "the program behind this page failed"),
    (b"", TookTooLong("it slept"), "the program behind this page took too long"),
]


@pytest.mark.parametrize(("output", "failure", "errormsg"), FAILURES)
async def test_failure_before_anything_is_sent(
    output: bytes, failure: GatewayFailure, errormsg: str, caplog: pytest.LogCaptureFixture
) -> None:
    source = Fake(output, failure=failure) if output else Fake(failure=failure)
    with pytest.raises(CGIError) as caught:
        await respond(source)
    assert str(caught.value) == errormsg
    assert caplog.messages == [f"fake: {failure}"]
    assert source.closed


async def test_failure_within_the_body() -> None:
    source = Fake(b"20 text/plain\nfirst", b"second", failure=GatewayFailure("it fell"))
    response = await respond(source)
    assert isinstance(response.body, Stream)
    chunks = aiter(response.body)
    assert [await anext(chunks), await anext(chunks)] == [b"first", b"second"]
    with pytest.raises(BrokenBody, match=r"^fake: it fell$"):
        await anext(chunks)
    await response.body.aclose()
    assert source.closed


async def test_body_is_fetched_as_it_is_wanted() -> None:
    source = Fake(b"20 text/plain\n", b"first", b"second")
    response = await respond(source)
    assert isinstance(response.body, Stream)
    assert await anext(aiter(response.body)) == b"first"
    assert not source.is_read
