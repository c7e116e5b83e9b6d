"""A listening UNIX socket at a path that belongs to it, and to nobody else by accident."""

import fcntl
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Self

BACKLOG = 8  # connections that wait to be accepted


class UnixListener:
    """A socket and its path. It does not block."""

    def __init__(self, sock: socket.socket, path: Path) -> None:
        self.socket = sock
        self.path = path
        self._file = _identity(path)

    @classmethod
    def bind(cls, path: Path, mode: int) -> Self:
        """Make it, in place of one that nobody listens on any more. ``mode``: who may connect.

        Raises:
            OSError: EADDRINUSE if somebody listens there, or if something else is in its place.
        """
        lock = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # Of two that find the same stale socket, the second must not remove what the first has made.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if _is_stale(path):
                path.unlink()
            sock.bind(os.fspath(path))
            path.chmod(mode)  # before listen(): until then nobody gets in
            sock.listen(BACKLOG)
            sock.setblocking(False)
            return cls(sock, path)
        except BaseException:
            sock.close()
            raise
        finally:
            os.close(lock)

    def close(self) -> None:
        """Remove the path, unless somebody else has it by now, and close. Closing twice is fine."""
        with suppress(OSError):
            if self.socket.fileno() >= 0 and _identity(self.path) == self._file:
                self.path.unlink()
        self.socket.close()


def _is_stale(path: Path) -> bool:
    if not path.is_socket():
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


def _identity(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_dev, found.st_ino
