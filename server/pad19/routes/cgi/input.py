"""Uploads on their way to a program's standard input."""

import errno
import logging
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import IO

import trio

from pad19.protocol.failure import TemporaryFailure
from pad19.protocol.upload import Upload

LOGGER = logging.getLogger("pad19.cgi")


@asynccontextmanager
async def received(upload: Upload) -> AsyncIterator[int]:
    """A descriptor from which a whole body can be read.

    It goes through a file without a name, in the folder of temporary files (TMPDIR): a program that has begun
    to work on half of it could not be told that there is no more, and would have to wait for slow clients.

    Raises:
        BadRequest: The body is broken.
        TemporaryFailure: The client was too slow, or there is no room.
    """
    try:
        file = await trio.to_thread.run_sync(_open)
    except OSError as error:
        raise _failure(error) from error
    with file:
        async for chunk in upload:
            try:
                await trio.to_thread.run_sync(_write, file, chunk)
            except OSError as error:
                raise _failure(error) from error
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        yield file.fileno()


def _open() -> IO[bytes]:
    return tempfile.TemporaryFile(buffering=0)


def _write(file: IO[bytes], data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


def _failure(error: OSError) -> TemporaryFailure:
    LOGGER.error("an upload cannot be kept for a program: %s", error)
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return TemporaryFailure("there is no room for it now")
    return TemporaryFailure("it cannot be taken now")
