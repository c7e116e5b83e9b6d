"""Notices that a client leaves while somebody works for it.

Otherwise a handler that waits for something would wait for nobody. Stored files do without: sending
them shows that nobody is there, and they are sent to clients that have closed their sending side, too.
What takes time is not: from here, a client that has left looks just like one of those.
"""

import select
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import trio

from pad19.protocol.client import Client
from pad19.protocol.request import Request
from pad19.protocol.response import Response

from .router import Handler

_HAS_EPOLL = hasattr(select, "epoll")  # Linux


class ClientLeft(trio.BrokenResourceError):
    """Nobody waits for the answer any more."""


class Presence:
    """Knows the sockets of clients. `run` must run."""

    def __init__(self) -> None:
        self._sockets: dict[int, int] = {}  # descriptors by the id of their Client
        self._scopes: dict[int, trio.CancelScope] = {}  # by descriptor
        self._epoll: select.epoll | None = None

    def arrived(self, client: Client, descriptor: int | None) -> None:
        """A client whose connection is open; None: it has no socket."""
        if descriptor is not None:
            self._sockets[id(client)] = descriptor

    def gone(self, client: Client) -> None:
        """Its connection is about to be closed."""
        self._sockets.pop(id(client), None)

    @contextmanager
    def attend(self, client: Client) -> Iterator[None]:
        """Cancel what is done within when the client leaves.

        Raises:
            ClientLeft: It has.
        """
        descriptor = self._sockets.get(id(client))
        epoll = self._epoll
        if descriptor is None or descriptor in self._scopes or epoll is None:
            yield
            return
        with trio.CancelScope() as scope:
            epoll.register(descriptor, select.EPOLLRDHUP)  # and EPOLLHUP and EPOLLERR in any case
            self._scopes[descriptor] = scope
            try:
                yield
            finally:
                del self._scopes[descriptor]
                with suppress(OSError, ValueError):  # it was closed meanwhile
                    epoll.unregister(descriptor)
        if scope.cancelled_caught:
            raise ClientLeft("it closed the connection")

    async def run(self) -> None:
        """Watch, until cancelled."""
        if not _HAS_EPOLL:
            return
        with select.epoll() as epoll:
            self._epoll = epoll
            try:
                while True:
                    await trio.lowlevel.wait_readable(epoll.fileno())
                    for descriptor, _ in epoll.poll(0):
                        # Once is enough: it would be reported again and again.
                        epoll.unregister(descriptor)
                        self._scopes[descriptor].cancel()
            finally:
                self._epoll = None


class Attended:
    """A handler that is cancelled when its client leaves."""

    def __init__(self, handler: Handler, presence: Presence) -> None:
        self._handler = handler
        self._presence = presence

    async def __call__(self, request: Request) -> Response:
        """Whatever the other one answers.

        Raises:
            ClientLeft: There is nobody to answer.
            Failure: What the other one raises.
        """
        if request.upload is not None:  # who has sent one may leave: it is there
            return await self._handler(request)
        with self._presence.attend(request.client):
            return await self._handler(request)
