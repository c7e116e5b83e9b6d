"""What systemd and a service tell each other: readiness, the watchdog, sockets, priorities of messages.

Everything passes through the environment and a datagram socket, so this needs neither libsystemd nor
an event loop. Without systemd each function does nothing. Sources: sd_notify(3),
sd_watchdog_enabled(3), sd_listen_fds(3), sd-daemon(3), systemd.exec(5) for ``JOURNAL_STREAM``.
"""

import logging
import os
import socket
import time
from contextlib import suppress

LISTEN_FDS_START = 3
SEND_TIMEOUT = 1.0  # seconds that a message may wait for systemd to read others
MAX_VALUE = 1000  # bytes; systemd takes no message of more than 4096
_ACTIVATION = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID")
_FAMILIES = {socket.AF_INET, socket.AF_INET6, socket.AF_UNIX}
_PRIORITIES = {logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}  # as in syslog(3)


# Messages to systemd


def notify(**state: str | int) -> None:
    """Send assignments such as ``READY=1`` in one message. Does nothing without systemd, and never fails."""
    name = os.environ.get("NOTIFY_SOCKET", "")
    if not name.startswith(("/", "@")):
        return
    if name.startswith("@"):  # the abstract namespace (unix(7))
        name = f"\0{name[1:]}"
    message = "\n".join(f"{key}={_line(value)}" for key, value in state.items())
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(SEND_TIMEOUT)
        sock.sendto(message.encode(), os.fsencode(name))


def _line(value: str | int) -> str:
    """A value on one line, not too long, and UTF-8: systemd ignores all others."""
    data = " ".join(str(value).splitlines()).encode("utf-8", "backslashreplace")
    return data[:MAX_VALUE].decode("utf-8", "ignore")


def ready(status: str = "") -> None:
    """Started, or reloaded. ``status``: what ``systemctl status`` shows."""
    notify(READY=1, STATUS=status)


def reloading() -> None:
    """The reload has begun; `ready` ends it. The time tells systemd which of its signals is meant."""
    notify(RELOADING=1, MONOTONIC_USEC=time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000)


def stopping(within: float, status: str = "") -> None:
    """The stop has begun. ``within``: seconds it may take, even if ``TimeoutStopSec=`` is less."""
    notify(STOPPING=1, STATUS=status, EXTEND_TIMEOUT_USEC=int(within * 1_000_000))


def still_alive() -> None:
    """To be sent every `watchdog_interval`, by whatever must not hang."""
    notify(WATCHDOG=1)


def watchdog_interval() -> float | None:
    """Seconds between two `still_alive`: half of what systemd allows. None: nobody waits for them."""
    allowed = _number("WATCHDOG_USEC")
    if allowed is None or allowed <= 0 or _number("WATCHDOG_PID") not in {None, os.getpid()}:
        return None
    return allowed / 2 / 1_000_000


def _number(name: str) -> int | None:
    """A whole number from the environment; -1 for anything else, None if it is not there."""
    text = os.environ.get(name)
    if text is None:
        return None
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else -1


# Sockets from systemd


class ActivationError(Exception):
    """What systemd handed over cannot be used. The message is one sentence."""


def activated() -> list[tuple[str, socket.socket]]:
    """The listening sockets that systemd has opened for this process, with their names.

    The names are those of ``FileDescriptorName=``, by default that of the socket unit. Without
    systemd the list is empty. The variables are removed, so that no child takes them for its own; a
    second call finds nothing.

    Raises:
        ActivationError: The variables or the descriptors are not what they must be.
    """
    mine = _number("LISTEN_PID") == os.getpid()
    count = _number("LISTEN_FDS")
    text = os.environ.get("LISTEN_FDS", "")
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    for variable in _ACTIVATION:
        os.environ.pop(variable, None)
    if not mine or not count:
        return []
    if count < 0:
        raise ActivationError(f"LISTEN_FDS is {text[:20]!r}, but must be a number: start pad19 by systemd")
    found: list[tuple[str, socket.socket]] = []
    try:
        for number in range(count):
            sock = _adopt(LISTEN_FDS_START + number)
            found.append((names[number] if number < len(names) and names[number] else "unknown", sock))
            _check(sock)
    except ActivationError:
        for _, sock in found:
            sock.close()
        raise
    return found


def _adopt(fd: int) -> socket.socket:
    """The socket of a descriptor, as if we had opened it."""
    try:
        sock = socket.socket(fileno=fd)
        sock.set_inheritable(False)
    except (OSError, OverflowError):  # not open, no socket; no descriptor ever has such a number
        raise ActivationError(f"systemd: descriptor {fd} is no open socket: see LISTEN_FDS") from None
    return sock


def _check(sock: socket.socket) -> None:
    if sock.family not in _FAMILIES:
        problem = "is of another family than IPv4, IPv6 and UNIX"
    elif sock.type != socket.SOCK_STREAM:
        problem = "is not for streams: use ListenStream="
    elif not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        problem = "does not listen: set Accept=no"
    else:
        return
    raise ActivationError(f"systemd: socket {sock.fileno()} {problem} in the socket unit")


# Standard error


def is_journal(fd: int) -> bool:
    """Whether what is written to a descriptor goes to the journal.

    ``JOURNAL_STREAM`` says which stream does; children inherit it whatever their output is.
    """
    try:
        found = os.fstat(fd)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def prioritized(text: str, level: int = logging.INFO) -> str:
    """Lines as the journal takes them: each with its priority in front. ``level``: as in `logging`."""
    number = next((_PRIORITIES[known] for known in sorted(_PRIORITIES, reverse=True) if level >= known), 7)
    return "\n".join(f"<{number}>{line}" for line in text.split("\n"))
