"""Small files that are read again when they have changed, without anybody saying so.

The disk is asked on each use (about 2 us); see `pad19.content.memory`, where files are kept the same way.
"""

import logging
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from pad19.content.files import Signature, signature, signature_of
from pad19.content.memory import is_settled

LOGGER = logging.getLogger("pad19.dispatch")

MAX_FILE = 1024 * 1024  # bytes: ten thousand fingerprints, read in the event loop in a few milliseconds
MAX_TOLD = 20  # problems of one file that are told at once

T = TypeVar("T")


class Reread(Generic[T]):
    """The value of a file. Its problems are told once, until they are others.

    ``parse`` makes a value of the content, and tells what is wrong with parts of it; it raises
    ValueError if it can make none.
    """

    def __init__(self, path: Path, parse: Callable[[bytes], tuple[T, list[str]]]) -> None:
        self._path = str(path)
        self._parse = parse
        self._seen: Signature | None = None
        self._is_settled = False
        self._value: T | None = None
        self._told: frozenset[str] = frozenset()
        self._read()  # now: its problems are told at the start, not to the first visitor

    def get(self) -> T | None:
        """The value as the file is now; None: it cannot be had."""
        if not self._is_settled or signature_of(self._path) != self._seen:
            self._read()
        return self._value

    def _read(self) -> None:
        self._is_settled = False  # nor will it be after an OSError: files may have run out
        self._value = None
        looked = time.time_ns()
        try:
            self._seen, content = _content(self._path)
            self._is_settled = is_settled(self._seen, looked)
            self._value, problems = self._parse(content)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            problems = [f"it cannot be used ({reason}), so whoever had to be looked up there is kept out"]
        self._tell(problems)

    def _tell(self, problems: list[str]) -> None:
        news = [problem for problem in problems if problem not in self._told]
        self._told = frozenset(problems)
        for problem in news[:MAX_TOLD]:
            LOGGER.warning("%s: %s", self._path, problem)
        if len(news) > MAX_TOLD:
            LOGGER.warning("%s: and %d problems more", self._path, len(news) - MAX_TOLD)


def _content(path: str) -> tuple[Signature, bytes]:
    # O_NONBLOCK: a FIFO must not make us wait for somebody to write into it.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("not a file")
        if status.st_size > MAX_FILE:
            raise ValueError(f"larger than {MAX_FILE} bytes")
        with open(descriptor, "rb", closefd=False) as file:
            return signature(status), file.read(MAX_FILE)
    finally:
        os.close(descriptor)
