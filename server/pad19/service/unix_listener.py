"""A listening UNIX socket at a path that belongs to it, and to nobody else by accident."""

import fcntl
import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

BACKLOG = 8  # connections that wait to be accepted
LOCK_TIMEOUT = 1.0  # seconds that others may take, who make a socket in the same folder
LOCK_PAUSE = 0.01  # seconds between two looks at whether they are done


class UnixListener:
    """A socket and its path. It does not block."""

    def __init__(self, sock: socket.socket, path: Path) -> None:
        self.socket = sock
        self.path = path
        self._file = identity(path)

    @classmethod
    def bind(cls, path: Path, mode: int) -> Self:
        """As `listen_at` does it, for some clients at a time."""
        return cls(listen_at(path, mode, BACKLOG), path)

    @property
    def is_reachable(self) -> bool:
        """Whether its path leads to it still."""
        return identity(self.path) == self._file

    def close(self) -> None:
        """Remove the path, unless somebody else has it by now, and close. Closing twice is fine."""
        with suppress(OSError):
            if self.socket.fileno() >= 0 and self.is_reachable:
                self.path.unlink()
        self.socket.close()


def listen_at(path: Path, mode: int, backlog: int) -> socket.socket:
    """Listen at a path, in place of a socket that nobody listens on any more; the socket does not block.

    Args:
        path: In a folder that is there.
        mode: Who may connect, whatever the umask is.
        backlog: Connections that wait to be accepted.

    Raises:
        OSError: EADDRINUSE if somebody listens there, or if something else is in its place.
    """
    with _turn(path.parent):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            if _is_stale(path):
                path.unlink()
            sock.bind(os.fspath(path))
            path.chmod(mode)  # before listen(): until then nobody gets in
            sock.listen(backlog)
            sock.setblocking(False)
        except BaseException:
            sock.close()
            raise
    return sock


@contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """Of two that find the same stale socket, the second must not remove what the first has made.

    But who locks the folder for long must not keep us from serving: that can be anybody who may look into it.
    """
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:  # a folder to write into, and not to look into
        yield
        return
    try:
        deadline = time.monotonic() + LOCK_TIMEOUT
        while not _is_locked(lock) and time.monotonic() < deadline:
            time.sleep(LOCK_PAUSE)
        yield
    finally:
        os.close(lock)


def _is_locked(lock: int) -> bool:
    """Whether it is ours now, or nobody's ever: NFS and some others lock no folders."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return not isinstance(error, BlockingIOError)
    return True


def _is_stale(path: Path) -> bool:
    """Whether there is a socket whose owner was killed."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return False
    except FileNotFoundError:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False  # busy, or somebody else's: bind() will say that the path is taken
    return False


def identity(path: Path) -> tuple[int, int] | None:
    """What tells one file from another at the same path; None: there is none."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
