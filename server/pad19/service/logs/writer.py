"""Lines of the access log on their way out, behind the back of whoever serves.

`LogWriter.write` puts a line into a deque; the task `LogWriter.run` wakes up when the first one
arrives, waits a moment for more, and has a thread write them, because files have no other way not
to block the event loop. Whatever happens to the disk or to the reader of a pipe, serving goes on:
lines wait in memory up to `MAX_BUFFER`, later ones are counted and lost.

The loop appends and counts what came in, the thread pops and counts what went out: nobody writes
what the other one writes, so there is no lock. The capacity limiter lets in one thread at a time,
also while an abandoned one still hangs in a system call.
"""

import errno
import logging
import math
import os
import select
import stat
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import trio

from pad19.routes.mistakes import NO_THREAD, is_want_of_threads
from pad19.service.config.model import ConfigError
from pad19.service.config.read import shown
from pad19.service.passing import NO_READER

LOGGER = logging.getLogger("pad19.access_log")

STANDARD_OUTPUT = 1  # the descriptor
MAX_BUFFER = 1024 * 1024  # bytes: some 10 000 lines
FLUSH_INTERVAL = 0.1  # seconds that lines wait for company, and between attempts while nothing gets out
READER_TIMEOUT = 0.1  # seconds the thread waits for a reader that is slower than we are
CLOSE_TIMEOUT = 1.0  # seconds for the last lines
LOOK_INTERVAL = 1.0  # seconds between two looks at whether the file is still at its path
REPORT_INTERVAL = 10.0  # seconds between two reports of lost lines
FILE_MODE = 0o640  # addresses of visitors are not for everybody
MAX_FILE_WRITE = 64 * 1024  # bytes
# So much is written whole or not at all (pipe(7)): lines of several workers on one pipe do not mix,
# and a pipe that poll() calls writable takes it without blocking.
MAX_PIPE_WRITE = select.PIPE_BUF


class LogWriter(trio.abc.AsyncResource):
    """Where lines go. Made by `open_log`; `run` must run, and `aclose` comes after the last line."""

    def __init__(self, fd: int | None, name: str, path: Path | None = None) -> None:
        """``fd``: None throws lines away. ``path``: what `reopen` opens; without one it does nothing."""
        self._fd = fd
        self._name = name
        self._path = path
        self._closed = False
        self._lines: deque[bytes] = deque()
        self._wake = trio.Event()
        self._limiter = trio.CapacityLimiter(1)
        self._reopening = False
        # The loop's counters, then the thread's.
        self._taken = 0  # bytes
        self._lost = 0  # lines
        self._is_starved = False  # there was no thread the last time
        self._written = 0  # bytes
        self._reported = 0  # lines
        self._last_report = -math.inf
        self._last_look = -math.inf
        self._chunk = b""  # lines on their way
        self._offset = 0  # where in the chunk to go on
        self._failing = False
        self._size = 0  # of the file, when it failed
        self._lost_path = False  # no file could be opened there
        self._torn = path is not None and _ends_torn(path)

    def write(self, line: str) -> None:
        """Take a line, which holds no newline. Never blocks, never raises."""
        if self._fd is None or self._closed:
            return
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        if self._taken - self._written + len(data) > MAX_BUFFER:
            self._lost += 1
            return
        self._taken += len(data)
        if not self._lines:  # the first one since the thread looked; else it is coming already
            self._wake.set()
        self._lines.append(data)

    def reopen(self) -> None:
        """Go on in a new file of the same name, soon: the old one was moved away by logrotate."""
        if self._path:
            self._reopening = True
            self._wake.set()

    async def run(self) -> None:
        """Write what is there, again and again, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            while True:
                await trio.sleep(FLUSH_INTERVAL)
                await self._in_thread(self._drain)
                if not self._behind:
                    break

    async def aclose(self) -> None:
        """Write the rest, and close the file, for at most `CLOSE_TIMEOUT` each, even when cancelled."""
        self._closed = True
        if self._fd is None:
            return
        with trio.CancelScope(deadline=trio.current_time() + CLOSE_TIMEOUT, shield=True):
            await self._in_thread(self._drain)
            while self._behind:
                await trio.sleep(FLUSH_INTERVAL)
                await self._in_thread(self._drain)
        # A thread that was only waiting for a reader is back soon. One that hangs is ended with the process.
        with trio.CancelScope(deadline=trio.current_time() + CLOSE_TIMEOUT, shield=True):
            await self._in_thread(self._finish)

    @property
    def _behind(self) -> bool:
        return self._taken > self._written

    async def _in_thread(self, work: Callable[[], None]) -> None:
        try:
            await trio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=self._limiter)
        except RuntimeError as error:
            if not is_want_of_threads(error):
                raise
            if not self._is_starved:
                LOGGER.error("access log: %s; until then, lines wait", NO_THREAD)  # noqa: TRY400 - nobody's bug
            self._is_starved = True
        else:
            self._is_starved = False

    # What follows runs in the thread. Messages are written there too: standard error may be stuck as well.

    def _drain(self) -> None:
        """Write until nothing is left, or nothing more gets out for now."""
        if self._reopening:
            self._swap()
        elif self._was_moved():
            self._swap(quiet=self._lost_path)
        fd = self._fd
        if fd is None:
            return
        if self._failing:
            self._look_at_end(fd)
        before = self._written
        try:
            limit = MAX_FILE_WRITE if stat.S_ISREG(os.fstat(fd).st_mode) else MAX_PIPE_WRITE
            while self._next_chunk(limit) and _is_writable(fd):
                if self._torn:
                    os.write(fd, b"\n")
                    self._torn = False
                count = os.write(fd, self._chunk[self._offset : self._offset + limit])
                self._offset += count
                self._written += count
        except BlockingIOError:
            return
        except OSError as error:
            if not self._failing:
                reason = os.strerror(error.errno or 0)
                LOGGER.warning("access log: %s cannot be written (%s), lines wait", self._name, reason)
            self._failing = True
            self._size = os.fstat(fd).st_size
            return
        if self._written > before:
            self._failing = False
            if time.monotonic() - self._last_report >= REPORT_INTERVAL:
                self._report(self._lost)

    def _next_chunk(self, limit: int) -> bool:
        """Whether there is something to write; whole lines, together at most ``limit`` bytes if they can."""
        if self._offset == len(self._chunk):
            lines: list[bytes] = []
            size = 0
            while self._lines and (not lines or size + len(self._lines[0]) <= limit):
                lines.append(self._lines.popleft())
                size += len(lines[-1])
            self._chunk = b"".join(lines)
            self._offset = 0
        return bool(self._chunk)

    def _report(self, lost: int) -> None:
        if lost > self._reported:
            LOGGER.error(
                "access log: %d %s lost, the disk or the reader of %s is too slow or full",
                count := lost - self._reported,
                "line" if count == 1 else "lines",
                self._name,
            )
            self._reported = lost
            self._last_report = time.monotonic()

    def _was_moved(self) -> bool:
        """Whether the path leads elsewhere by now: not every rotation sends a signal."""
        now = time.monotonic()
        if self._path is None or self._fd is None or now - self._last_look < LOOK_INTERVAL:
            return False
        self._last_look = now
        try:
            return not os.path.samestat(self._path.stat(), os.fstat(self._fd))
        except OSError:
            return True

    def _swap(self, *, quiet: bool = False) -> None:
        self._reopening = False
        if self._path is None or self._fd is None:
            return
        try:
            fd = _open(self._path)
        except OSError as error:
            self._lost_path = True
            if not quiet:
                reason = os.strerror(error.errno or 0)
                LOGGER.warning(
                    "access log: %s cannot be reopened (%s), the old file goes on", self._name, reason
                )
            return
        self._lost_path = False
        old, self._fd = self._fd, fd
        with suppress(OSError):  # what it failed to write is lost; the new file is what counts
            os.close(old)
        self._begin_line_again()  # the old file has a part of it, the new one gets it whole
        self._torn = _ends_torn(self._path)

    def _look_at_end(self, fd: int) -> None:
        """After a failure: workers share the file, so another one may have written there, or failed there."""
        if self._path is None:
            return
        is_within_line = self._line_start < self._offset < len(self._chunk)
        if not is_within_line or os.fstat(fd).st_size != self._size:
            self._begin_line_again()
            self._torn = _ends_torn(self._path)

    @property
    def _line_start(self) -> int:
        """Where in the chunk the line begins that is next, or out in part."""
        return self._chunk.rfind(b"\n", 0, self._offset) + 1

    def _begin_line_again(self) -> None:
        if self._offset < len(self._chunk):
            self._written -= self._offset - self._line_start
            self._offset = self._line_start

    def _finish(self) -> None:
        self._report(self._lost + len(self._lines) + self._chunk.count(b"\n", self._offset))
        if self._path and self._fd is not None:
            os.close(self._fd)
        self._fd = None


def open_log(target: str, output: int = STANDARD_OUTPUT) -> LogWriter:
    """``"-"`` for standard output, ``"off"``, or a path, which is created or appended to.

    ``output``: where standard output is.

    Raises:
        ConfigError: It cannot be opened.
    """
    if target == "off":
        return LogWriter(None, target)
    try:
        if target == "-":
            os.write(output, b"")  # also fails where `occupy_standard` has filled the gap
            return LogWriter(output, "standard output")
        path = Path(target)
        return LogWriter(_open(path), target, path)
    except OSError as error:
        if target == "-":
            raise ConfigError(
                ('log.access is "-", but standard output is closed: open it, name a file, or write "off"',)
            ) from None
        fifo = error.errno == errno.ENXIO  # O_WRONLY | O_NONBLOCK (open(2))
        reason = NO_READER if fifo else os.strerror(error.errno or 0)
        problem = (
            f"log.access is {shown(target)}, but it cannot be opened ({reason}): mend that, or name another"
        )
        raise ConfigError((problem,)) from None


def _open(path: Path) -> int:
    # O_NONBLOCK: a FIFO without a reader must not keep us from starting.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    return os.open(path, flags, FILE_MODE)


def _ends_torn(path: Path) -> bool:
    """Whether a file ends in the middle of a line: a crash or a full disk came in between."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return False
        with path.open("rb") as file:
            return file.seek(0, os.SEEK_END) > 0 and file.seek(-1, os.SEEK_END) >= 0 and file.read() != b"\n"
    except OSError:
        return False  # a file we may only write to, for example


def _is_writable(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(READER_TIMEOUT * 1000))
