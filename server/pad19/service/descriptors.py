"""File descriptors: room for as many connections as are allowed, and those that must not be missing."""

import logging
import os
import resource
import socket
from contextlib import suppress
from typing import BinaryIO

LOGGER = logging.getLogger("pad19.service")

EACH = 2  # descriptors: its socket, and the file that is sent on it, or the server that is asked for it
BESIDES = 256  # descriptors for listening sockets, logs and what takes more of them, such as programs


def make_room(connections: int) -> None:
    """Raise this process's limit of open files, as far as it may, and say so if that is too little.

    The usual soft limit, 1024, is there for programs that use select(2); trio uses epoll.
    """
    wanted = EACH * connections + BESIDES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        LOGGER.warning(
            "limits.connections is %d, but this process may open only %d files: "
            "raise LimitNOFILE= (or ulimit -Hn), or lower limits.connections",
            connections,
            allowed,
        )


def occupy_standard() -> None:
    """Put something where standard input, output or error is closed, which nothing gets out of.

    Otherwise the next thing that is opened takes that place, and receives what is printed. Standard
    output is one that cannot be written to: whoever depends on it shall notice.
    """
    for fd, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(fd)
        except OSError:
            # open(2): it gets the lowest number that is free, and those below are taken by now.
            os.set_inheritable(os.open(os.devnull, flags), True)


class Spare:
    """A descriptor that can be given up for another one."""

    def __init__(self) -> None:
        self._file = _nothing()

    def turn_away(self, listener: socket.socket) -> None:
        """Close a client that there is no descriptor for: while it waits, the owner's loop would not rest."""
        self.close()
        with suppress(OSError):
            listener.accept()[0].close()
        self._file = _nothing()

    def close(self) -> None:
        """Have none any more. Closing twice is fine."""
        if self._file:
            self._file.close()


def _nothing() -> BinaryIO | None:
    try:
        return open(os.devnull, "rb")
    except OSError:
        return None
