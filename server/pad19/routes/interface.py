"""The types of the functions that a route author writes."""

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Concatenate, cast

from pad19.protocol.gemtext import Gemtext
from pad19.protocol.request import Request, TitanRequest
from pad19.protocol.response import Response
from pad19.store.interface import Store


class RouteError(Exception):
    """A mistake in how routes are declared. The message names the route and the function."""


@dataclass(frozen=True, slots=True)
class Capsule:
    """What routes live in: `Request.settings` and `Request.store`, for what asks nothing, and two folders.

    ``state`` is for files that the store is no place for, and the only folder that routes can count on
    being allowed to write to. No other capsule has it. Whoever needs it first makes it.
    """

    settings: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    store: Store = cast("Store", None)  # noqa: RUF009 - a value that never changes
    content: Path = Path("content")  # the folder of the pages
    state: Path = Path("state")


Chunk = str | bytes | memoryview
Chunks = AsyncIterable[Chunk] | Iterator[Chunk]
Result = str | Gemtext | Path | Response | Chunks

# The first argument is the request; captures come as keyword arguments.
Handler = Callable[Concatenate[Request, ...], Result | Awaitable[Result]]
# Likewise; one that takes a Request will do.
TitanHandler = Callable[Concatenate[TitanRequest, ...], Awaitable[Result] | AsyncIterator[Chunk]]
CallNext = Callable[[Request], Awaitable[Response]]
Middleware = Callable[[Request, CallNext], Awaitable[Result]]
Lifespan = Callable[[Capsule], AsyncIterator[None] | AbstractAsyncContextManager[object]]
Background = Callable[[Capsule], Awaitable[None]]
