"""What a route's function returned becomes a `Response`."""

import inspect
import reprlib
from collections.abc import AsyncIterable, Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import trio

from pad19.protocol.failure import Failure
from pad19.protocol.gemtext import Gemtext
from pad19.protocol.request import Request
from pad19.protocol.response import Input, Redirect, Reply, Response, SensitiveInput, Stream, Success, header

from .streams import Streamed

# Answers with a file as static files are answered: same safety, same caching. A relative path is one
# in the content folder. It raises NotFound for all that must not be served.
ServeFile = Callable[[Path, Request], Awaitable[Response]]

_EXPECTED = (
    "return str, Gemtext, Success, Path, Input, SensitiveInput, Redirect, or for a stream what can be "
    "iterated; raise a failure such as NotFound"
)


@dataclass(frozen=True, slots=True)
class Results:
    """How results become responses, for all routes that are mounted together."""

    threads: trio.CapacityLimiter  # for streams that are iterated there
    serve_file: ServeFile | None = None
    page_type: str = "text/gemini"  # of text, Gemtext and streams of text

    async def to_response(self, route: str, result: object, request: Request) -> Response:
        """Make a response that can be sent; a stream is started.

        ``route``: what it is called in messages, and where it stands.

        Raises:
            TypeError: It is nothing that a route can return, or something in it is of a wrong type.
            ValueError: Its type, or the target of a redirect, cannot stand in a header.
            Failure: A stream raises it before its first chunk, or there is no such file.
            Exception: Whatever else a stream raises before its first chunk.
        """
        response = await self._convert(route, result, request)
        try:
            _check_header(route, response)
        except (TypeError, ValueError):
            await close(response.body)
            raise
        if isinstance(response.body, Streamed):
            await response.body.start(route, self.threads)
        return response

    async def _convert(self, route: str, result: Any, request: Request) -> Response:
        match result:
            case str():
                return Success(result.encode(), self.page_type)
            case Gemtext():
                return Success(str(result).encode(), self.page_type)
            case Success() | Reply():
                return _with_body(route, result)
            case Input() | SensitiveInput() | Redirect():
                return result
            case Path():
                if self.serve_file is None:
                    raise TypeError(f"{route} returned a Path, but it is mounted without a folder of files")
                return await self.serve_file(result, request)
            case AsyncIterable() | Iterator():
                return Success(Streamed(result), self.page_type)
        raise TypeError(f"{route} returned {reprlib.repr(result)}: {_mend(result)}")


def page_type(lang: str | None) -> str:
    """The type of pages in a language: ``text/gemini; lang=en``. ``lang``: tags as in ``capsule.lang``."""
    if lang is None:
        return "text/gemini"
    tags = lang.replace(" ", "")
    # A comma needs quotes (gemtext specification, section "Parameters").
    return f'text/gemini; lang="{tags}"' if "," in tags else f"text/gemini; lang={tags}"


async def close(body: bytes | Stream) -> None:
    """Let go of a body that is not sent."""
    if not isinstance(body, bytes):
        with trio.CancelScope(shield=True):
            await body.aclose()


def _check_header(route: str, response: Response) -> None:
    if not isinstance(response.meta, str):
        kind, meta = type(response).__name__, reprlib.repr(response.meta)
        raise TypeError(f"{route} returned {kind} with {meta} for its header: make it str")
    header(response.status, response.meta)


def _mend(result: object) -> str:
    if isinstance(result, Failure) or (isinstance(result, type) and issubclass(result, Failure)):
        return "raise it"
    return f"is a return missing? {_EXPECTED}" if result is None else _EXPECTED


def _with_body(route: str, response: Success | Reply) -> Success | Reply:
    body: Any = response.body  # no Body for sure: not everybody uses a type checker
    # An asynchronous generator looks like a Stream, but it may be one of text.
    if isinstance(body, bytes) or (isinstance(body, Stream) and not inspect.isasyncgen(body)):
        return response
    if isinstance(body, AsyncIterable | Iterator):
        return replace(response, body=Streamed(body))
    kind = f"{type(response).__name__} with a body of the type {type(body).__name__}"
    raise TypeError(f"{route} returned {kind}: make it bytes, text by .encode()")
