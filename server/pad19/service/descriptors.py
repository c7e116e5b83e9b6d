"""Room for as many connections as the configuration allows: file descriptors."""

import logging
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
