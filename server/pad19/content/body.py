"""A file as a body that is read while it is sent, with memory for one chunk."""

import errno
import os
from typing import Self

import trio

from pad19.protocol.response import BrokenBody

CHUNK = 128 * 1024  # bytes; what the TLS stream encrypts in one call
_NOWAIT = getattr(os, "RWF_NOWAIT", 0)


class FileShrank(BrokenBody):
    """The file became shorter while it was sent: the client must not take it for whole."""


class FileBody:
    """The first ``size`` bytes of ``fd``, which it owns and closes in `aclose`."""

    is_stored = True

    __slots__ = ("_buffer", "_fd", "_nowait", "_offset", "_size")

    def __init__(self, fd: int, size: int) -> None:
        self._fd = fd
        self._size = size
        self._offset = 0
        self._buffer = bytearray(min(CHUNK, size))
        self._nowait = bool(_NOWAIT)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> memoryview:
        """The next chunk; it is overwritten by the one after it.

        Raises:
            FileShrank: The file ends early.
            BrokenBody: The disk failed.
        """
        left = self._size - self._offset
        if not left:
            raise StopAsyncIteration
        view = memoryview(self._buffer)[:left]
        try:
            count = await self._read(view)
        except OSError as error:
            # One line tells the operator all; a trace of our calls would not add to it.
            raise BrokenBody(f"{error.strerror}, {left} bytes are missing") from error
        except RuntimeError as error:  # trio's: the system has no thread left
            raise BrokenBody(f"{error}, {left} bytes are missing") from error
        if not count:
            raise FileShrank(f"{left} bytes are missing")
        self._offset += count
        return view[:count]

    async def _read(self, view: memoryview) -> int:
        if self._nowait:
            # What is in the page cache is copied here and now; only a disk is worth a thread.
            try:
                if count := os.preadv(self._fd, [view], self._offset, _NOWAIT):
                    await trio.lowlevel.checkpoint()  # a fast client must not keep us to itself
                    return count
            except OSError as error:
                if error.errno in {errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}:
                    self._nowait = False
                elif error.errno != errno.EAGAIN:
                    raise
        return await trio.to_thread.run_sync(os.preadv, self._fd, [view], self._offset)

    async def aclose(self) -> None:
        """Close the file."""
        fd, self._fd = self._fd, -1  # first: even a close that fails gives the number away
        if fd >= 0:
            os.close(fd)
