"""The body of an upload as it comes out of a connection: bounded, not too slow, and whole or not at all."""

from typing import Self

import trio

from pad19.protocol.failure import BadRequest, Failure, TemporaryFailure
from pad19.tls.stream import RECORD, TLSStream

from .record import Record

CHUNK = 64 * 1024  # bytes that are handed on together: each one may cost a trip to a thread
AT_ONCE = 16  # pieces of it that are taken in a row; four, if the client fills its records
# Who keeps up with this may take as long as it takes. A modem did; who is slower holds a place for nothing.
MIN_RATE = 4096  # bytes in a second


class Incoming:
    """An iterator over a body. `of_size` says how long that is; nothing is read before.

    When it cannot go on, it raises, and goes on raising: there is no way to take it for complete. Nor can it
    when somebody has given up waiting for a piece, of which a part may be lost.
    """

    def __init__(self, stream: TLSStream, begun: bytes, record: Record, patience: float) -> None:
        """``begun``: what has been read already. ``patience``: seconds that a client may fall behind."""
        self._stream = stream
        self._begun = begun
        self._record = record
        self._patience = patience
        self._size = self._left = 0
        self._waited = 0.0  # seconds, for the client and nobody else
        self._failure: Failure | None = None
        self.is_over = False  # nothing more is to come: it is complete, or the client has ended it

    def of_size(self, size: int) -> Self:
        """The next ``size`` bytes."""
        self._size = self._left = size
        return self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """The next piece of it.

        Raises:
            BadRequest: It ended too early, or goes on although it should have ended.
            TemporaryFailure: The client was too slow, or an earlier call was cancelled.
        """
        if self._failure:
            raise self._failure
        if not self._left:
            self._end()
            raise StopAsyncIteration
        try:
            await trio.lowlevel.checkpoint()  # a fast client must not keep us to itself
            return await self._piece()
        except trio.Cancelled:
            self._failure = TemporaryFailure("the upload was not read to its end")
            raise

    async def _piece(self) -> bytes:
        parts: list[bytes] = []
        wanted = min(CHUNK, self._left)
        while wanted:
            data = await self._take(min(wanted, RECORD))
            wanted -= len(data)
            self._left -= len(data)
            parts.append(data)
            if len(parts) % AT_ONCE == 0:  # records of one byte are slow to read, and must not keep us either
                await trio.lowlevel.checkpoint()
        return b"".join(parts)

    async def _take(self, most: int) -> bytes:
        if self._begun:
            data, self._begun = self._begun[:most], self._begun[most:]
            return data
        begin = trio.current_time()
        allowed = self._patience + (self._size - self._left) / MIN_RATE
        try:
            with trio.fail_at(begin + allowed - self._waited):
                data = await self._stream.read(most)
        except trio.TooSlowError:
            raise self._fail("upload timeout", TemporaryFailure("the upload was too slow")) from None
        except trio.BrokenResourceError:  # also without close_notify
            data = b""
        self._waited += trio.current_time() - begin
        if not data:
            self.is_over = True
            sent = self._size - self._left
            failure = BadRequest(f"the upload ended after {sent} of {self._size} bytes")
            raise self._fail("upload ended early", failure)
        return data

    def _end(self) -> None:
        """See that nothing follows, as far as it is here already: with a wrong size, all may be wrong."""
        try:
            more = self._begun or self._stream.decrypt(1)
        except trio.BrokenResourceError:
            more = b""  # it has left, but we have it all
        if more:
            failure = BadRequest(f"more than {self._size} bytes were sent")
            raise self._fail("upload longer than its size", failure)
        self.is_over = True

    def _fail(self, reason: str, failure: Failure) -> Failure:
        self._record.reason = reason
        self._failure = failure
        return failure
