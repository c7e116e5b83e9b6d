"""Descriptors of this process: pipes that nobody closes twice, and none at all."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import NamedTuple


class Pipe(NamedTuple):
    """Both ends; as files, so that closing one twice closes nobody else's."""

    reader: FileIO
    writer: FileIO


@contextmanager
def no_descriptors() -> Iterator[None]:
    """This process can open nothing, except in the place of what it closes."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    some = max(int(path.name) for path in Path("/dev/fd").iterdir()) + 20
    resource.setrlimit(resource.RLIMIT_NOFILE, (some, before[1]))
    taken: list[int] = []
    try:
        with suppress(OSError):
            while True:
                taken.append(os.dup(0))
        yield
    finally:
        for fd in taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
