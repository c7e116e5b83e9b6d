"""The signals of a process that has a loop of its own, and whether its terminal is still there."""

import errno
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

CAUGHT = (
    signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD,
)  # fmt: skip
# Meant for the supervisor, but `systemctl kill` sends them to all processes of a service. They wait until a
# worker has come so far that it survives them.
FOR_SUPERVISORS = {signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2}
OUTLIVED = 5.0  # seconds: the end of a terminal and the SIGHUP that comes of it are not so far apart
_NO_TERMINAL = {errno.ENXIO, errno.EIO, errno.ENODEV, errno.ENOENT}


class Signals:
    """What wakes a selector when a signal comes, and then says which."""

    def __init__(self) -> None:
        self._had_terminal = _terminal_problem() is None
        self._outlives_terminal = False
        self._gone_since: float | None = None
        self._ours: socket.socket | None = None

    def fileno(self) -> int:
        """To wait for, while they are caught."""
        return self._ours.fileno() if self._ours else -1

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Have them come here. What comes afterwards is ignored, unless something went wrong."""
        self._ours, theirs = socket.socketpair()
        with self._ours, theirs:
            for sock in (self._ours, theirs):
                sock.setblocking(False)
            before = {number: signal.signal(number, _ignore) for number in CAUGHT}
            self._outlives_terminal = before[signal.SIGHUP] is signal.SIG_IGN  # nohup
            wakeup = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
            try:
                yield
            except BaseException:
                for number, handler in before.items():
                    signal.signal(number, handler)
                raise
            finally:
                # After a stop, whatever comes until the process ends is too late, and still ignored.
                signal.signal(signal.SIGCHLD, before[signal.SIGCHLD])
                signal.set_wakeup_fd(wakeup)

    def read(self) -> list[signal.Signals]:
        """Those that have come."""
        numbers = b""
        if self._ours:
            with suppress(BlockingIOError):
                numbers = self._ours.recv(4096)
        return [signal.Signals(number) for number in numbers]

    @property
    def terminal_is_gone(self) -> bool:
        """Whether there was a terminal, whose end was to be the end of this process, and it has come."""
        return self._had_terminal and not self._outlives_terminal and _terminal_problem() in _NO_TERMINAL

    def look(self, now: float) -> None:
        """See to it that a process that has outlived its terminal, as shells can let it, goes on to do so.

        To be called every second or so. ``now``: seconds of a clock that never goes back.
        """
        if not self.terminal_is_gone:
            self._gone_since = None
        elif self._gone_since is None:
            self._gone_since = now
        elif now - self._gone_since >= OUTLIVED:
            self._outlives_terminal = True


def _terminal_problem() -> int | None:
    """Why the terminal that this process belongs to cannot be had, as an errno; None: it can."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError as error:
        return error.errno
    return None


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """The wakeup descriptor has it."""
