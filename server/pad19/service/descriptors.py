"""File descriptors: room for as many connections as are allowed, and the three that must not be missing."""

import logging
import os
import resource

LOGGER = logging.getLogger("pad19.service")

BESIDES = 256  # descriptors for listening sockets, logs and the files that are being sent


def make_room(connections: int) -> None:
    """Raise this process's limit of open files, as far as it may, and say so if that is too little.

    The usual soft limit, 1024, is there for programs that use select(2); trio uses epoll.
    """
    wanted = connections + BESIDES
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
