"""Uploads as routes read them."""

import math
from collections.abc import AsyncIterator
from typing import Self

import trio


class Unhurried:
    """A body during whose arrival the time of a route stands still: the client has a time of its own."""

    def __init__(self, chunks: AsyncIterator[bytes], time: trio.CancelScope) -> None:
        """``time``: the route's."""
        self._chunks = chunks
        self._time = time

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """The next piece.

        Raises:
            Failure: The body is broken.
        """
        left = self._time.deadline - trio.current_time()
        self._time.deadline = math.inf
        try:
            return await anext(self._chunks)
        finally:
            self._time.deadline = trio.current_time() + left
