"""Bodies that a route makes while they are sent.

The next chunk is asked for when the one before it is sent, so a slow visitor slows the route down
and nothing piles up. Text becomes UTF-8. What is iterated without ``async`` is so in worker threads.
"""

import logging
import reprlib
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Self

import trio

from .interface import Chunk, Chunks
from .mistakes import parted

LOGGER = logging.getLogger("pad19.routes")

CLOSE_TIME = 5.0  # seconds that a generator has for what it does in the end
_END = object()


class Streamed:
    """A `Stream` of what a route makes."""

    def __init__(self, chunks: Chunks) -> None:
        """Take over ``chunks``: they are closed, if they can be, when they are sent or not wanted."""
        self._source = chunks if isinstance(chunks, AsyncIterable) else _InThreads(chunks)
        self._iterator: AsyncIterator[object] = aiter(self._source)
        self._first: bytes | memoryview | None = None
        self._route: str | None = None

    async def start(self, route: str, threads: trio.CapacityLimiter) -> None:
        """Make the first chunk, so that what fails before it can still be answered properly.

        Does nothing the second time. ``route`` is for messages; ``threads``: how many iterate at once.

        Raises:
            Exception: Whatever the route raises.
        """
        if self._route is not None:
            return
        self._route = route
        if isinstance(self._source, _InThreads):
            self._source.threads, self._source.route = threads, route
        try:
            self._first = await self._next()
        except StopAsyncIteration:
            pass
        except BaseException:
            with trio.CancelScope(shield=True):
                await self.aclose()
            raise

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes | memoryview:
        """The next chunk that is not empty.

        Raises:
            TypeError: It is neither text nor bytes.
            Exception: Whatever the route raises.
        """
        first, self._first = self._first, None
        return await self._next() if first is None else first

    async def _next(self) -> bytes | memoryview:
        while True:
            chunk = await anext(self._iterator)
            if not isinstance(chunk, Chunk):
                raise TypeError(f"{self._route} streamed {reprlib.repr(chunk)}: yield str or bytes")
            if chunk:
                return chunk.encode() if isinstance(chunk, str) else chunk

    async def aclose(self) -> None:
        """Let the route clean up, within five seconds. What fails there is logged."""
        self._first = None
        for closable in (self._iterator, self._source):
            if close := getattr(closable, "aclose", None):
                break
        else:
            return
        try:
            with trio.move_on_after(CLOSE_TIME) as deadline:
                await close()
            if deadline.cancelled_caught:
                LOGGER.warning("%s: its stream did not close within %g seconds", self._route, CLOSE_TIME)
        except BaseException as error:
            stop, mistake = parted(error)
            if mistake is not None:
                LOGGER.exception("%s: its stream failed when it was closed", self._route, exc_info=mistake)
            if stop is not None:
                raise stop from None


class _InThreads:
    """An iterator whose steps are taken in worker threads."""

    def __init__(self, iterator: Iterator[Chunk]) -> None:
        self.threads: trio.CapacityLimiter | None = None  # None: trio's own
        self.route = ""  # for messages
        self._iterator = iterator
        self._is_abandoned = False  # a thread may still be in it, or come

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> object:
        try:
            chunk = await trio.to_thread.run_sync(self._step, limiter=self.threads, abandon_on_cancel=True)
        except trio.Cancelled:
            self._is_abandoned = True
            raise
        if chunk is _END:
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        if not self._is_abandoned:
            await trio.to_thread.run_sync(self._close, limiter=self.threads, abandon_on_cancel=True)

    def _step(self) -> object:
        try:
            return _END if self._is_abandoned else next(self._iterator, _END)
        finally:
            if self._is_abandoned:
                # Not left to the garbage collector: what it prints in the end goes by the name of the route.
                try:
                    self._close()
                except BaseException:
                    LOGGER.exception("%s: its stream failed when it was closed", self.route)

    def _close(self) -> None:
        if close := getattr(self._iterator, "close", None):
            close()


def stream(chunks: Chunks | Iterable[Chunk]) -> Streamed:
    """A body for `Success` that is made while it is sent: ``Success(stream(rows()), "text/csv")``.

    ``chunks``: an iterable of str or bytes, asynchronous or not, such as a generator.

    Raises:
        TypeError: It is nothing that can be iterated, or text or bytes, which need no stream.
    """
    if isinstance(chunks, str | bytes | memoryview) or not isinstance(chunks, AsyncIterable | Iterable):
        raise TypeError(f"stream takes an iterable of str or bytes, not {type(chunks).__name__}")
    return Streamed(chunks if isinstance(chunks, AsyncIterable) else iter(chunks))
