"""Standard error: what an operator should know, in the form that its reader understands.

Nobody here ever waits for that reader, who may be a stopped terminal, a stuck pager or a journal that
is being restarted: a process that waits does not serve, and looks as if it hangs. What does not get
out is lost and counted.
"""

import logging
import os
import select
import stat
import sys
import threading
from contextlib import suppress
from functools import cache

from . import systemd
from .descriptors import occupy_standard

STANDARD_ERROR = 2
READER_TIMEOUT = 0.1  # seconds for a reader that is slower than we are; none while it is stuck
# So much is written whole or not at all (pipe(7)), also where several processes write.
MAX_WRITE = select.PIPE_BUF


class Output:
    """Lines on their way to a descriptor. May be used by several threads."""

    def __init__(self, fd: int) -> None:
        """``fd``: never closed."""
        self._fd = _without_waiting(fd)
        self._lock = threading.Lock()
        self._torn = False  # the last line has no end
        self.lost = 0  # messages, since the last one that got out

    def write(self, text: str) -> None:
        """Write a message of one line or several, if that is possible now."""
        with self._lock:
            if self.lost and self._put(_shown(_loss(self.lost), logging.WARNING)):
                self.lost = 0
            if self.lost or not self._put(text):
                self.lost += 1

    def _put(self, text: str) -> bool:
        """Whether it got out, all of it."""
        data = b"\n" * self._torn + text.encode("utf-8", "backslashreplace") + b"\n"
        while data:
            try:
                if not self._is_writable():
                    return False
                count = os.write(self._fd, data[:MAX_WRITE])
            except OSError:  # BlockingIOError; or whoever read it is gone, or its disk is full
                return False
            self._torn = data[count - 1 : count] != b"\n"
            data = data[count:]
        return True

    def _is_writable(self) -> bool:
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        return bool(poll.poll(0 if self.lost else READER_TIMEOUT * 1000))


def _without_waiting(fd: int) -> int:
    """A descriptor of our own for the same pipe or terminal, which does not block.

    With the given one, that would be so for all who have it: the shell, too. For others poll(2) is
    enough: files do not block, and a socket that has room has room for several of us.
    """
    with suppress(OSError):
        kind = os.fstat(fd).st_mode
        if stat.S_ISFIFO(kind) or stat.S_ISCHR(kind):
            return os.open(f"/dev/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    return fd


class _Handler(logging.Handler):
    """Gives to an output what is logged."""

    def __init__(self, output: Output) -> None:
        super().__init__()
        self._output = output

    def emit(self, record: logging.LogRecord) -> None:
        self._output.write(self.format(record))


class _Formatter(logging.Formatter):
    """For the journal: it knows the program's name, and sorts lines by priority."""

    def format(self, record: logging.LogRecord) -> str:
        return systemd.prioritized(super().format(record), record.levelno)


@cache
def _output() -> Output:
    occupy_standard()  # else the output itself could take the place of one that is closed
    return Output(STANDARD_ERROR)


def set_up() -> None:
    """Send what is logged to standard error."""
    handler = _Handler(_output())
    handler.setFormatter(_Formatter() if _in_journal() else logging.Formatter("pad19: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("watchfiles").setLevel(logging.WARNING)  # it tells of each change that it sees


def say(line: str) -> None:
    """A line without anything in front, on a terminal."""
    _output().write(systemd.prioritized(line) if _in_journal() else line)


def complain(problem: str) -> None:
    """An error that ends the program, which may as well wait for its reader."""
    if sys.stderr is not None:  # it was closed at the start
        with suppress(OSError):
            sys.stderr.write(f"{_shown(problem, logging.ERROR)}\n")
            sys.stderr.flush()


def _loss(count: int) -> str:
    return f"{count} {'message' if count == 1 else 'messages'} lost, since nobody read standard error"


def _shown(text: str, level: int) -> str:
    return systemd.prioritized(text, level) if _in_journal() else f"pad19: {text}"


def _in_journal() -> bool:
    return systemd.is_journal(STANDARD_ERROR)
