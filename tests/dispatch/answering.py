"""Servers with one handler, for the tests of what happens around it."""

from collections.abc import Callable

from dispatch.visits import Log
from pad19.protocol.request import Request
from pad19.protocol.response import Response, Success
from support.server import Server

ASK = b"gemini://localhost/\r\n"
Make = Callable[[Request], Response]


def server(make: Make, **options: object) -> Server:
    async def handler(request: Request) -> Response:
        return make(request)

    return Server({"localhost": handler}, records=Log(), **options)  # type: ignore[arg-type]  # the dataclass's own fields


def hello(_: Request) -> Response:
    return Success(b"# Hello\n")


async def recorded(there: Server) -> None:
    assert isinstance(there.records, Log)
    await there.records.has(1)
