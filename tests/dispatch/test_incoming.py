"""Bodies of uploads: cut short, too long, too slow."""

from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from pad19.dispatch.connection import Deadlines
from pad19.dispatch.incoming import CHUNK, MIN_RATE, Incoming
from pad19.dispatch.record import Record
from pad19.protocol.failure import BadRequest, Failure, TemporaryFailure
from pad19.protocol.request import Request
from pad19.protocol.response import Response, Success
from pad19.tls.errors import Truncated
from support.server import Server, ask_in_memory

PATIENCE = 30.0  # seconds


class Slow:
    """A connection that brings pieces, each after some seconds; b"" is a proper end, an exception another."""

    def __init__(self, *pieces: bytes | Exception, seconds: float = 0.0) -> None:
        self.pieces = list(pieces)
        self.seconds = seconds

    async def read(self, most: int) -> bytes:
        if self.seconds:
            await trio.sleep(self.seconds)
        if not self.pieces:
            await trio.sleep_forever()
        return self._next(most)

    def decrypt(self, most: int) -> bytes | None:
        return self._next(most) if self.pieces else None

    def _next(self, most: int) -> bytes:
        piece = self.pieces.pop(0)
        if isinstance(piece, Exception):
            raise piece
        if len(piece) > most:
            self.pieces.insert(0, piece[most:])
        return piece[:most]


def incoming(stream: Slow, size: int, begun: bytes = b"") -> tuple[Incoming, Record]:
    record = Record("192.0.2.1", 0.0)
    anything: Any = stream
    return Incoming(anything, begun, record, PATIENCE).of_size(size), record


async def collect(body: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in body])


LEFT = trio.BrokenResourceError("reset")
CUT = Truncated("closed without close_notify")


@pytest.mark.parametrize(
    ("begun", "pieces"),
    [
        (b"hello", []),
        (b"", [b"hello"]),
        (b"he", [b"llo"]),
        (b"", [b"h", b"e", b"l", b"l", b"o"]),
        (b"hello", [b""]),  # an end that nobody need wait for
        (b"he", [b"llo", CUT]),
        (b"hello", [LEFT]),  # it has left, but we have it all
    ],
)
async def test_whole(begun: bytes, pieces: list[bytes | Exception]) -> None:
    body, record = incoming(Slow(*pieces), 5, begun)
    assert not body.is_over
    assert await collect(body) == b"hello"
    assert body.is_over
    assert record.reason == ""
    assert await collect(body) == b""


@pytest.mark.parametrize("end", [b"", CUT, LEFT])
@pytest.mark.parametrize("count", range(5))
async def test_cut_short(count: int, end: bytes | Exception) -> None:
    for begun in range(count + 1):
        sent = b"hello"[:count]
        body, record = incoming(Slow(*filter(None, [sent[begun:]]), end), 5, sent[:begun])
        for _ in range(2):  # it never seems complete
            with pytest.raises(BadRequest, match=rf"^the upload ended after {count} of 5 bytes$"):
                await collect(body)
        assert record.reason == "upload ended early"
        assert body.is_over


@pytest.mark.parametrize(
    ("size", "begun", "pieces"),
    [(5, b"hello!", []), (5, b"hello", [b"!"]), (5, b"", [b"hello!"]), (0, b"!", [])],
)
async def test_too_long(size: int, begun: bytes, pieces: list[bytes]) -> None:
    body, record = incoming(Slow(*pieces), size, begun)
    for _ in range(2):
        with pytest.raises(BadRequest, match=f"^more than {size} bytes were sent$"):
            await collect(body)
    assert record.reason == "upload longer than its size"
    assert not body.is_over


async def test_chunks_are_bounded() -> None:
    size = CHUNK * 3 + 1
    body, _ = incoming(Slow(b"x" * size), size)
    assert [len(chunk) async for chunk in body] == [CHUNK, CHUNK, CHUNK, 1]


async def test_a_body_in_tiny_pieces_does_not_keep_us_from_others() -> None:
    """As records of one byte: a client can send 700 of them in what one read takes."""
    stream = Slow(*[b"x"] * CHUNK)
    body, _ = incoming(stream, CHUNK)
    left: list[int] = []

    async def watch() -> None:
        while stream.pieces:
            left.append(len(stream.pieces))
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        assert len(await anext(body)) == CHUNK
    assert max(before - after for before, after in pairwise(left)) <= 64


# Time


@pytest.mark.parametrize("size", [1, 100, 10**12])
async def test_a_client_that_sends_nothing(size: int, autojump_clock: MockClock) -> None:
    body, record = incoming(Slow(), size)
    with pytest.raises(TemporaryFailure, match=r"^the upload was too slow$"):
        await collect(body)
    assert trio.current_time() == pytest.approx(PATIENCE)
    assert record.reason == "upload timeout"
    assert not body.is_over
    with pytest.raises(TemporaryFailure):
        await collect(body)


@pytest.mark.parametrize("size", [1000, 10**9])
async def test_a_byte_in_a_second_is_too_slow(size: int, autojump_clock: MockClock) -> None:
    body, _ = incoming(Slow(*[b"x"] * 1000, seconds=1), size)
    with pytest.raises(TemporaryFailure):
        await collect(body)
    assert trio.current_time() == pytest.approx(PATIENCE, abs=0.1)


async def test_who_keeps_up_may_take_as_long_as_it_takes(autojump_clock: MockClock) -> None:
    count = 3600  # seconds
    body, _ = incoming(Slow(*[b"x" * MIN_RATE] * count, seconds=1), MIN_RATE * count)
    assert len(await collect(body)) == MIN_RATE * count
    assert trio.current_time() == pytest.approx(count)


async def test_time_that_we_take_is_not_theirs(autojump_clock: MockClock) -> None:
    body, _ = incoming(Slow(b"x" * CHUNK, b"x" * CHUNK, b"x" * CHUNK, seconds=2), CHUNK * 3)
    async for _ in body:
        await trio.sleep(1000)  # a slow disk
    assert trio.current_time() == pytest.approx(3024)


@pytest.mark.parametrize("come", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1])
async def test_a_body_that_somebody_gave_up_is_never_complete(come: int, autojump_clock: MockClock) -> None:
    stream = Slow(b"x" * come) if come else Slow()
    body, record = incoming(stream, 2 * CHUNK)
    with trio.move_on_after(1):
        await collect(body)
    stream.pieces.append(b"x" * (2 * CHUNK - come))
    for _ in range(2):
        with pytest.raises(TemporaryFailure, match=r"^the upload was not read to its end$"):
            await collect(body)
    assert not body.is_over
    assert record.reason == ""  # whoever cancelled it knows why


# In a connection


async def store(request: Request) -> Response:
    assert request.upload
    return Success(await request.upload.read())


def server(**options: Any) -> Server:
    return Server({"localhost": store}, uploads=True, **options)


async def test_a_slow_client_is_told_so(autojump_clock: MockClock) -> None:
    there = server(deadlines=Deadlines(upload=5.0))
    start = trio.current_time()
    answer = await ask_in_memory(there, [b"titan://localhost/a;size=10\r\nhello"])
    assert answer.received == b"40 the upload was too slow\r\n"
    assert answer.clean
    assert trio.current_time() - start == pytest.approx(5.0, abs=0.1)
    [record] = there.records
    assert (record.status, record.reason) == (40, "upload timeout")


@pytest.mark.parametrize("cut", range(1, 33))
async def test_a_body_may_come_in_any_pieces(cut: int) -> None:
    data = b"titan://localhost/a;size=5\r\nhello"
    answer = await ask_in_memory(server(), [data[:cut], data[cut:]])
    assert answer.received == b"20 text/gemini\r\nhello"


async def test_a_large_body() -> None:
    body = bytes(range(256)) * 4000
    answer = await ask_in_memory(server(), [b"titan://localhost/a;size=%d\r\n" % len(body) + body])
    assert answer.body == body


async def test_a_token_is_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(request: Request) -> Response:
        raise ValueError("an accident")

    there = Server({"localhost": fail}, uploads=True)
    answer = await ask_in_memory(there, [b"titan://localhost/a;size=0;token=secret\r\n"])
    assert answer.received == b"40 internal error\r\n"
    assert "secret" not in caplog.text
    assert [record.request for record in there.records] == ["titan://localhost/a;size=0;token=..."]


@pytest.mark.parametrize(
    "line", [b"titan://localhost/../a;token=secret", b"titan://localhost/a;token=secret\x01"]
)
async def test_not_even_when_it_is_no_request(line: bytes) -> None:
    there = server()
    await ask_in_memory(there, [line + b"\r\n"])
    [record] = there.records
    assert "secret" not in record.request
    assert record.status in {51, 59}


async def test_a_capsule_without_uploads() -> None:
    there = Server({"localhost": store})
    answer = await ask_in_memory(there, [b"titan://localhost/a;size=5\r\nhello"])
    assert answer.received == b"53 titan is not served here\r\n"


async def test_a_gemini_request_has_no_upload() -> None:
    requests: list[Request] = []

    async def look(request: Request) -> Response:
        requests.append(request)
        return Success(b"")

    there = Server({"localhost": look}, uploads=True)
    await ask_in_memory(there, [b"gemini://localhost/a;size=5\r\nhello"])
    [request] = requests
    assert request.upload is None
    assert request.path == "/a;size=5"


async def test_a_failure_that_a_handler_catches_is_raised_again() -> None:
    caught: list[Failure] = []

    async def stubborn(request: Request) -> Response:
        assert request.upload
        for _ in range(3):
            try:
                await request.upload.read()
            except Failure as failure:
                caught.append(failure)
        return Success(b"done")

    there = Server({"localhost": stubborn}, uploads=True)
    answer = await ask_in_memory(there, [b"titan://localhost/a;size=5\r\nhello!"])
    assert answer.received == b"20 text/gemini\r\ndone"
    assert len(caught) == 3
