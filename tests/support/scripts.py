"""Programs for tests, written to disk, and a way to know what they do without waiting for the clock."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

import trio

from pad19.routes.cgi.process import Programs

SH = "#!/bin/sh\n"
PYTHON = f"#!{sys.executable}\n"


def write_script(path: Path, text: str, mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


@asynccontextmanager
async def running(programs: Programs | None = None) -> AsyncIterator[Programs]:
    """Programs as a worker has them; when this is left, none of them is alive."""
    programs = programs or Programs()
    async with trio.open_nursery() as nursery:
        await nursery.start(programs.run)
        yield programs
        nursery.cancel_scope.cancel()


class Lifeline:
    """A FIFO that a script and all it starts hold open: it carries words, and its end is their death.

    A shell script opens it with ``exec 3>"$LIFELINE"``.
    """

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._reader = trio.lowlevel.FdStream(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        self._keeper = os.open(path, os.O_WRONLY)  # until they have it open, it must not seem cut
        self._received = b""

    async def word(self) -> str:
        """The next line that somebody writes to it."""
        while b"\n" not in self._received:
            data = await self._reader.receive_some()
            assert data, "they are dead"
            self._received += data
        word, _, self._received = self._received.partition(b"\n")
        self._let_go()
        return word.decode()

    async def cut(self) -> None:
        """Return when everybody who held it is dead."""
        self._let_go()
        while await self._reader.receive_some():
            pass

    def _let_go(self) -> None:
        keeper, self._keeper = self._keeper, -1
        if keeper >= 0:
            os.close(keeper)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._let_go()
        self._reader.close()
