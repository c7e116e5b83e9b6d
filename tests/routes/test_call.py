"""What goes around the routes."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock

from pad19.protocol.client import Client
from pad19.protocol.failure import Gone, NotFound
from pad19.protocol.request import Request, parse_request
from pad19.protocol.response import Redirect, Response, Success
from pad19.routes.interface import CallNext, Middleware
from pad19.routes.mounting import Mounted
from pad19.routes.results import close
from pad19.routes.streams import stream
from pad19.routes.table import Routes

PAGE = parse_request(b"gemini://a.test/page?x", Client())
STREAM = parse_request(b"gemini://a.test/stream?x", Client())


class Site:
    """A page, a stream and what is around them; ``seen`` tells what happened."""

    def __init__(self, *around: Middleware) -> None:
        self.seen: list[str] = []
        routes = Routes()
        routes.gemini("/page")(self.page)
        routes.gemini("/stream")(self.stream)
        for middleware in around:
            routes.around(middleware)
        self.mounted = Mounted(routes)

    async def page(self, request: Request) -> str:
        self.seen.append(f"page {request.query}")
        if request.query == "gone":
            raise Gone
        if request.query == "broken":
            raise ZeroDivisionError
        return "page"

    async def stream(self, request: Request) -> AsyncIterator[str]:
        self.seen.append("opened")
        try:
            yield "a"
            yield "b"
        finally:
            self.seen.append("closed")


async def body_of(response: Response) -> bytes:
    if isinstance(response.body, bytes):
        return response.body
    try:
        return b"".join([bytes(chunk) async for chunk in response.body])
    finally:
        await close(response.body)


async def test_the_first_one_is_outermost() -> None:
    seen: list[str] = []

    async def first(request: Request, call_next: CallNext) -> Response:
        seen.append("first in")
        response = await call_next(request)
        seen.append("first out")
        return response

    async def second(request: Request, call_next: CallNext) -> Response:
        seen.append("second in")
        response = await call_next(request)
        seen.append("second out")
        return response

    response = await Site(first, second).mounted(PAGE)
    assert response == Success(b"page")
    assert seen == ["first in", "second in", "second out", "first out"]


async def answers_instead(request: Request, call_next: CallNext) -> str:
    return "instead"


async def test_answering_instead() -> None:
    site = Site(answers_instead)
    assert await site.mounted(PAGE) == Success(b"instead")
    assert site.seen == []


async def test_changing_the_request() -> None:
    async def change(request: Request, call_next: CallNext) -> Response:
        return await call_next(replace(request, query="changed"))

    site = Site(change)
    await site.mounted(PAGE)
    assert site.seen == ["page changed"]


async def test_changing_the_response() -> None:
    async def change(request: Request, call_next: CallNext) -> Response:
        response = await call_next(request)
        assert isinstance(response, Success)
        return replace(response, mimetype="text/plain")

    assert await Site(change).mounted(PAGE) == Success(b"page", "text/plain")


async def test_trying_again() -> None:
    async def twice(request: Request, call_next: CallNext) -> Response:
        await call_next(request)
        return await call_next(request)

    site = Site(twice)
    await site.mounted(PAGE)
    assert site.seen == ["page x", "page x"]
    site.seen.clear()
    assert await body_of(await site.mounted(STREAM)) == b"ab"
    assert site.seen == ["opened", "opened", "closed", "closed"]


async def test_failures_pass_through_as_exceptions() -> None:
    async def finds_it_elsewhere(request: Request, call_next: CallNext) -> Response:
        try:
            return await call_next(request)
        except Gone:
            return Redirect("/elsewhere")

    assert await Site(finds_it_elsewhere).mounted(replace(PAGE, query="gone")) == Redirect("/elsewhere")


async def test_refusing() -> None:
    async def refuses(request: Request, call_next: CallNext) -> Response:
        raise NotFound("not for you")

    site = Site(refuses)
    with pytest.raises(NotFound, match="not for you"):
        await site.mounted(PAGE)
    assert site.seen == []


async def test_a_middleware_that_forgets_to_return(caplog: pytest.LogCaptureFixture) -> None:
    async def forgetful(request: Request, call_next: CallNext) -> None:
        await call_next(request)

    site = Site(forgetful)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(Exception, match="internal error"):
        await site.mounted(STREAM)
    where = r"around route /stream, .*Site\.stream .*, .*forgetful \(/.*, line \d+\)"
    assert re.search(rf"TypeError: {where} returned None: is a return missing\? return str, ", caplog.text)
    assert site.seen == ["opened", "closed"]


async def test_it_has_the_routes_deadline(autojump_clock: MockClock) -> None:
    async def slow(request: Request, call_next: CallNext) -> Response:
        response = await call_next(request)
        await trio.sleep(31)
        return response

    site = Site(slow)
    with pytest.raises(Exception, match="longer than 30 seconds"):
        await site.mounted(STREAM)
    assert site.seen == ["opened", "closed"]


# Streams


async def test_a_stream_passes_as_it_is() -> None:
    async def passes(request: Request, call_next: CallNext) -> Response:
        return await call_next(request)

    site = Site(passes, passes)
    response = await site.mounted(STREAM)
    assert site.seen == ["opened"]
    assert await body_of(response) == b"ab"
    assert site.seen == ["opened", "closed"]


async def test_a_stream_that_is_not_used_is_closed() -> None:
    async def looks_and_answers(request: Request, call_next: CallNext) -> str:
        await call_next(request)
        return "instead"

    site = Site(looks_and_answers)
    assert await site.mounted(STREAM) == Success(b"instead")
    assert site.seen == ["opened", "closed"]


async def test_a_stream_is_closed_when_the_middleware_fails() -> None:
    async def fails(request: Request, call_next: CallNext) -> Response:
        await call_next(request)
        raise Gone

    site = Site(fails)
    with pytest.raises(Gone):
        await site.mounted(STREAM)
    assert site.seen == ["opened", "closed"]


async def shouts(request: Request, call_next: CallNext) -> Response:
    response = await call_next(request)
    body = response.body
    assert not isinstance(body, bytes)

    async def chunks() -> AsyncIterator[bytes]:
        async for chunk in body:
            yield bytes(chunk).upper()

    return Success(stream(chunks()))


async def test_a_stream_that_is_changed_on_the_way() -> None:
    site = Site(shouts)
    response = await site.mounted(STREAM)
    assert not isinstance(response.body, bytes)
    body = response.body
    assert [chunk async for chunk in body] == [b"A", b"B"]
    await body.aclose()
    assert site.seen == ["opened", "closed"]


async def test_a_changed_stream_is_closed_with_the_one_that_it_is_made_of() -> None:
    site = Site(shouts, shouts)
    response = await site.mounted(STREAM)
    assert not isinstance(response.body, bytes)
    assert await anext(aiter(response.body)) == b"A"
    assert site.seen == ["opened"]
    await response.body.aclose()
    assert site.seen == ["opened", "closed"]


class Unclosable:
    """A stream by a route author, whose end fails."""

    def __aiter__(self) -> "Unclosable":
        return self

    async def __anext__(self) -> bytes:
        raise StopAsyncIteration

    async def aclose(self) -> None:
        raise ZeroDivisionError


async def test_streams_are_closed_whatever_becomes_of_others() -> None:
    async def wraps(request: Request, call_next: CallNext) -> Response:
        await call_next(request)
        return Success(Unclosable())

    async def fails(request: Request, call_next: CallNext) -> Response:
        await call_next(replace(request, query="unclosable"))
        await call_next(request)
        raise Gone

    async def is_unclosable(request: Request, call_next: CallNext) -> Response:
        return Success(Unclosable()) if request.query == "unclosable" else await call_next(request)

    wrapped = Site(wraps)
    response = await wrapped.mounted(STREAM)
    assert not isinstance(response.body, bytes)
    with pytest.raises(ZeroDivisionError):
        await response.body.aclose()
    assert wrapped.seen == ["opened", "closed"]
    failed = Site(fails, is_unclosable)
    with pytest.raises(Exception, match="internal error"):
        await failed.mounted(STREAM)
    assert failed.seen == ["opened", "closed"]
