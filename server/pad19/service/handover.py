"""What a supervisor gives to a worker, and what a worker tells it.

An `Order` goes through memory that only the two can see; reports come back as lines of JSON through
a pipe. Both ends are the same version of pad19: a new one is served after a restart.
"""

import json
import os
import pickle
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from . import keyring, shared_memory, shared_state
from .config.listen import Listen
from .config.model import Config, Forwarder
from .signature import Signatures
from .sockets import Bound

MAX_REPORT = 16 * 1024 * 1024  # bytes of a line: a host takes some 500
PIPE_SIZE = 65536  # bytes that wait in a pipe (pipe(7)), so that nobody can have us read without end


@dataclass(frozen=True, slots=True)
class HandedSocket:
    """A listening socket, by its descriptor."""

    fd: int
    listen: Listen
    forwarder: Forwarder | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Everything that a worker needs to know."""

    config: Config
    is_development: bool  # somebody writes routes, and wants to see everything
    stands_in: bool  # for one that died, in a generation that serves
    generation: int
    number: int  # among the workers of its generation
    size: int  # how many they are
    slot: int  # in shared memory; no other living worker has the same
    shared: shared_state.Handed
    sockets: tuple[HandedSocket, ...]
    keyring: int  # descriptor, see `keyring`
    reports: int  # descriptor to write to
    lifeline: int  # descriptor of a pipe that ends with the supervisor
    known: frozenset[str] = frozenset()  # files that were there for the generation that serves

    def put(self) -> int:
        """Write it down. The descriptor is for the worker, and to be closed here afterwards.

        Raises:
            OSError: There is no descriptor or memory to be had.
        """
        data = pickle.dumps(self)
        fd = shared_memory.create("pad19-order", 0)
        try:
            with open(fd, "wb", closefd=False) as file:
                file.write(data)
        except BaseException:
            os.close(fd)
            raise
        return fd

    @classmethod
    def take(cls, fd: int) -> "Order":
        """Read what `put` wrote, in the other process."""
        with open(fd, "rb") as file:
            file.seek(0)
            order = pickle.load(file)  # noqa: S301 - from our own supervisor, which nobody else can write to
        if not isinstance(order, cls):
            raise TypeError(f"an Order was expected, not {type(order).__name__}")
        return order

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What the worker must inherit."""
        return (
            self.reports,
            self.lifeline,
            *self.shared.descriptors,
            *((self.keyring,) if self.keyring != keyring.NONE else ()),
            *(handed.fd for handed in self.sockets),
        )

    def bound(self) -> tuple[Bound, ...]:
        """The sockets as this process's own. Closing them leaves their paths alone."""
        return tuple(
            Bound(handed.listen, socket.socket(fileno=handed.fd), handed.forwarder, inherited=True)
            for handed in self.sockets
        )


def handed(sockets: Sequence[Bound]) -> tuple[HandedSocket, ...]:
    """As they are written down."""
    return tuple(HandedSocket(entry.socket.fileno(), entry.listen, entry.forwarder) for entry in sockets)


class Shown(msgspec.Struct, frozen=True):
    """What visitors of a host see of its certificate."""

    host: str
    fingerprint: str
    key_fingerprint: str
    not_after: float  # Unix time
    is_new: bool


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """It takes connections."""

    certificates: tuple[Shown, ...]
    files: Signatures  # those that it has read and does not look at again, as they were then
    problems: tuple[str, ...] = ()  # what does not work, of a worker that serves the rest; a sentence each


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """It cannot serve this, and ends. One sentence each."""

    problems: tuple[str, ...]
    files: Signatures


class Closed(msgspec.Struct, frozen=True, tag="closed"):
    """It takes no more connections."""


class Alive(msgspec.Struct, frozen=True, tag="alive"):
    """Its event loop goes round."""


Report = Ready | Failed | Closed | Alive


def send(fd: int, report: Report) -> None:
    """Write a report.

    Raises:
        OSError: Nobody reads it, or not now.
    """
    # Not msgspec.json: it refuses names of files that are not UTF-8.
    data = json.dumps(msgspec.to_builtins(report)).encode() + b"\n"
    while data:
        data = data[os.write(fd, data) :]


class ReportReader:
    """Reads reports from a non-blocking descriptor."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._buffer = b""
        self._cut_off = False

    def read(self) -> Iterator[Report]:
        """Some that have come, all of them if there are no more than a pipe holds.

        Whoever writes something else is cut off: it gets no more attention.
        """
        try:
            data = os.read(self._fd, PIPE_SIZE)
        except BlockingIOError:
            return
        if self._cut_off:
            return
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        try:
            for line in lines:
                yield msgspec.convert(json.loads(line), Report)
        except (ValueError, RecursionError):
            self._cut_off = True
        if self._cut_off or len(self._buffer) > MAX_REPORT:
            self._cut_off = True
            self._buffer = b""
