"""Standard error: what an operator should know, in the form that its reader understands.

Nobody here ever waits for that reader, who may be slow, or a stopped terminal, a stuck pager, a
journal that is being restarted: a process that waits does not serve, and looks as if it hangs. What can
be written at once is, so that nothing is missing after a crash. The rest is left to a thread, and what
is too much for that is lost and counted.
"""

import atexit
import logging
import os
import select
import stat
import sys
import threading
from collections import deque
from contextlib import suppress
from functools import cache
from typing import Any

from pad19.service import systemd
from pad19.service.descriptors import occupy_standard

STANDARD_ERROR = 2
MAX_WAITING = 1024 * 1024  # bytes of messages that wait for a slow reader; what comes on top is lost
LAST_WORDS = 1.0  # seconds that those have before the process ends
# So much is written whole or not at all (pipe(7)), also where several processes write.
MAX_WRITE = select.PIPE_BUF


class Output:
    """Lines on their way to a descriptor. May be used by several threads."""

    def __init__(self, fd: int) -> None:
        """``fd``: never closed."""
        self._fd = _without_waiting(fd)
        self._lock = threading.Lock()
        # What is left of each text, and how many messages are lost with it.
        self._waiting: deque[tuple[memoryview, int]] = deque()
        self._size = 0  # bytes that wait
        self._thread: threading.Thread | None = None  # writes while something waits
        self._torn = False  # the last line has no end
        self.lost = 0  # messages behind those that wait

    def write(self, text: str) -> None:
        """Take a message of one line or several. Never waits for its reader."""
        with self._lock:
            self._report()
            size = len(data := _encoded(text))
            if self.lost or (self._waiting and self._size + size > MAX_WAITING):
                self.lost += 1
            else:
                self._add(data, 1)
            if self._thread is None:  # else it would be overtaken
                while self._waiting and self._is_writable(0) and self._put():
                    pass
                if self._waiting:
                    self._start()

    def finish(self) -> None:
        """Give what waits a last chance."""
        if thread := self._thread:
            thread.join(LAST_WORDS)

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="messages", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # the system has none left, or the process ends: the next message tries again
            self._thread = None

    def _run(self) -> None:
        while self._thread:
            self._is_writable(None)
            with self._lock:
                self._put()
                if not self._waiting:
                    self._thread = None

    # With the lock

    def _add(self, data: bytes, messages: int) -> None:
        if self._torn and not self._waiting:
            data = b"\n" + data
        self._waiting.append((memoryview(data), messages))
        self._size += len(data)

    def _report(self) -> None:
        """Tell of what was lost, as soon as it is its turn."""
        if self.lost and not self._waiting:
            self._add(_encoded(_shown(_loss(self.lost), logging.WARNING)), self.lost)
            self.lost = 0

    def _put(self) -> bool:
        """Write some of what waits, for which there is room. Whether that was so."""
        left, messages = self._waiting.popleft()
        try:
            count = os.write(self._fd, left[:MAX_WRITE])
        except BlockingIOError:  # another process was faster
            self._waiting.appendleft((left, messages))
            return False
        except OSError:  # whoever read it is gone, or its disk is full
            self.lost += messages + sum(more for _, more in self._waiting)
            self._waiting.clear()
            self._size = 0
            return False
        self._size -= count
        self._torn = left[count - 1] != ord("\n")
        if count < len(left):
            self._waiting.appendleft((left[count:], messages))
        self._report()
        return True

    def _is_writable(self, timeout: int | None) -> bool:
        """``timeout``: milliseconds; None waits for as long as it takes."""
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        return bool(poll.poll(timeout))


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace") + b"\n"


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
        try:
            text = self.format(record)
        except Exception as error:  # of who logs: it must not end what they do, and still less their worker
            text = self.format(_in_other_words(record, error))
        self._output.write(text)


def _in_other_words(record: logging.LogRecord, error: Exception) -> logging.LogRecord:
    """What can be said of a message that cannot be put together."""
    name = getattr(record, "route", record.name)
    try:
        message = repr(record.msg)
    except Exception:
        message = f"an object of the type {type(record.msg).__name__}"
    problem = f"a message of {name} cannot be written ({type(error).__name__}): {message}"
    return logging.makeLogRecord({"msg": problem, "levelno": record.levelno, "exc_info": record.exc_info})


class _Formatter(logging.Formatter):
    """Gets along with whatever exceptions there are."""

    def formatException(self, ei: Any) -> str:
        try:
            return super().formatException(ei)
        except Exception:
            from pad19.routes.frames import format_error  # the supervisor has no use for it

            _, error, trace = ei
            return format_error(error, trace).rstrip("\n")


class _JournalFormatter(_Formatter):
    """For the journal: it knows the program's name, and sorts lines by priority."""

    def format(self, record: logging.LogRecord) -> str:
        return systemd.prioritized(super().format(record), record.levelno)


@cache
def _output() -> Output:
    occupy_standard()  # else the output itself could take the place of one that is closed
    output = Output(STANDARD_ERROR)
    atexit.register(output.finish)
    return output


def set_up() -> None:
    """Send what is logged to standard error."""
    handler = _Handler(_output())
    handler.setFormatter(_JournalFormatter() if _in_journal() else _Formatter("pad19: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("watchfiles").setLevel(logging.WARNING)  # it tells of each change that it sees


def say(line: str) -> None:
    """A line without anything in front, on a terminal."""
    _output().write(systemd.prioritized(line) if _in_journal() else line)


def finish() -> None:
    """Give what waits for its reader a last chance. Python does so itself when it ends in an orderly way."""
    _output().finish()


def complain(problem: str) -> None:
    """An error that ends the program, which may as well wait for its reader."""
    if sys.stderr is not None:  # it was closed at the start
        _output().finish()  # what was said before comes before
        with suppress(OSError):
            sys.stderr.write(f"{_shown(problem, logging.ERROR)}\n")
            sys.stderr.flush()


def _loss(count: int) -> str:
    return f"{count} {'message' if count == 1 else 'messages'} lost, since nobody read standard error"


def _shown(text: str, level: int) -> str:
    return systemd.prioritized(text, level) if _in_journal() else f"pad19: {text}"


def _in_journal() -> bool:
    return systemd.is_journal(STANDARD_ERROR)
