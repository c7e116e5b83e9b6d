"""One request through the middleware into a route's function, and back as a response."""

import inspect
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import trio

from pad19.protocol.request import Request
from pad19.protocol.response import Reply, Response, Stream, Success

from .output import RUNNING, Running, Speaker
from .rate import RateLimit
from .results import Results, close
from .signature import located, runs_on_loop
from .table import Route


class Call:
    """A route whose function can be called."""

    def __init__(self, route: Route, results: Results) -> None:
        self.route = route
        self.name = str(route)
        self._place = route.place
        self._speaker = Speaker.of(route.handler)
        self._function: Any = route.handler
        self._on_loop = runs_on_loop(route.handler)
        self._results = results
        rate = route.policy.rate
        self._limit = RateLimit(rate) if rate else None

    async def __call__(self, request: Request, captures: Mapping[str, Any]) -> Response:
        """Answer those who may ask.

        Raises:
            CertificateRequired: The policy says so, before any function is called.
            CertificateNotAuthorised: Likewise.
            SlowDown: Likewise.
            Exception: Whatever the functions raise, failures and others.
        """
        policy = self.route.policy
        policy.admit(request.client)
        if self._limit is not None:
            self._limit.count(policy.visitor(request.client), trio.current_time())
        running = Running(self._speaker, request, captures)
        RUNNING.set(running)  # to stay: the rest of a stream is made later in the same task
        try:
            return await self._pass(request, captures, 0)
        finally:
            if running.pending:
                running.end_line()

    async def _pass(self, request: Request, captures: Mapping[str, Any], depth: int) -> Response:
        if depth == len(self.route.around):
            return await self._handle(request, captures)
        middleware = self.route.around[depth]
        streams: list[Stream] = []

        async def call_next(request: Request) -> Response:
            response = await self._pass(request, captures, depth + 1)
            if not isinstance(response.body, bytes):
                streams.append(response.body)
            return response

        try:
            result = await middleware(request, call_next)
            where = f"around {self.name}, {located(middleware)}"
            response = await self._results.to_response(where, result, request)
        except BaseException:
            await _close_all(streams)
            raise
        return await _keep_open(response, [stream for stream in streams if stream is not response.body])

    async def _handle(self, request: Request, captures: Mapping[str, Any]) -> Response:
        if self._on_loop:
            result = self._function(request, **captures)
        else:
            call = partial(_boxed, self._function, request, captures)
            # A thread cannot be stopped. It keeps its place in the pool for as long as it runs.
            (result,) = await trio.to_thread.run_sync(
                call, limiter=self._results.threads, abandon_on_cancel=True
            )
        if inspect.isawaitable(result):
            result = await result
        return await self._results.to_response(self._place, result, request)


def _boxed(function: Any, request: Request, captures: Mapping[str, Any]) -> tuple[object]:
    # A def that wraps an async def returns a coroutine, which trio would not let out of the thread.
    return (function(request, **captures),)


async def _keep_open(response: Response, replaced: Sequence[Stream]) -> Response:
    """Close the streams that the middleware replaced; not before its own is closed, which may use them."""
    if replaced and isinstance(response, Success | Reply) and not isinstance(response.body, bytes):
        return replace(response, body=_Wrapping(response.body, replaced))
    await _close_all(replaced)
    return response


async def _close_all(streams: Sequence[Stream]) -> None:
    """Close them one after another, each of them even if another one fails."""
    async with AsyncExitStack() as stack:
        for stream in reversed(streams):
            stack.push_async_callback(close, stream)


@dataclass(frozen=True, slots=True)
class _Wrapping:
    """A stream that is made of other streams."""

    outer: Stream
    inner: Sequence[Stream]

    def __aiter__(self) -> Any:
        return aiter(self.outer)

    async def aclose(self) -> None:
        await _close_all([self.outer, *self.inner])
