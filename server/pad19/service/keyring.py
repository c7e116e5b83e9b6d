"""The certificates and keys of a generation, in memory that only its processes share.

Its first worker reads the files, and leaves here what it has read. So all workers show the same
certificates, and so do those that come later in the place of one that died, whatever has become of the
files by then.
"""

import os

from . import shared_memory

NONE = -1  # where the system has no memory that is not a file on a disk, which is no place for keys


def make() -> int:
    """A descriptor of an empty one, or `NONE`.

    Raises:
        OSError: There is no descriptor or memory to be had.
    """
    return shared_memory.create("pad19-keys", 0) if hasattr(os, "memfd_create") else NONE


def put(fd: int, data: bytes) -> None:
    """Leave it there. Without memory for it, those who come later read files."""
    if fd == NONE:
        return
    try:
        written = 0
        while written < len(data):
            written += os.pwrite(fd, data[written:], written)
    except OSError:
        os.ftruncate(fd, 0)


def take(fd: int) -> bytes:
    """What was left there; empty if nobody has been here."""
    if fd == NONE:
        return b""
    return os.pread(fd, os.fstat(fd).st_size, 0)


def close(fd: int) -> None:
    """Let go of it."""
    if fd != NONE:
        os.close(fd)
