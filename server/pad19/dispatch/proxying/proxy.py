"""A reverse proxy: another Gemini server answers for what is below a prefix.

One request is one connection to the upstream, whose body is passed on while it arrives. Pages are not
looked into: links that begin with the upstream's own path or host lead where they say. What goes wrong
with the upstream is 43 and a line in the log, or a truncation once the body has begun.
"""

import logging
from contextlib import AsyncExitStack
from typing import Self

import trio

from pad19.protocol.failure import ProxyError, ProxyRequestRefused, ServerUnavailable
from pad19.protocol.proxy_header_writer import introduce
from pad19.protocol.request import DEFAULT_PORT, Request
from pad19.protocol.response import BrokenBody, Reply, Response, header
from pad19.protocol.response_reader import Header
from pad19.protocol.status import Status
from pad19.protocol.uri import URI
from pad19.tls.client import Connection, reason
from pad19.tls.errors import Truncated

from .paths import ProxyPaths
from .upstream import Upstream, UpstreamFailed

LOGGER = logging.getLogger("pad19.proxy")

CONNECTIONS = 64  # to one upstream at once, so that a slow one does not take the capsule's own


class Proxy:
    """A handler: ``upstream`` answers, as far as ``paths`` leads there.

    ``connections``: how many it may have open at once. That is also what ends a circle of proxies, each
    of which waits for the next. ``trust_eof``: take the end of the connection for the end of the body, also
    without close_notify. Otherwise the visitor sees a truncation, as from the upstream itself.
    ``introduces``: tell the upstream of each visitor in a PROXY header, see `introduce`.
    """

    def __init__(
        self,
        paths: ProxyPaths,
        upstream: Upstream,
        *,
        connections: int = CONNECTIONS,
        trust_eof: bool = False,
        introduces: bool = False,
    ) -> None:
        self._paths = paths
        self._upstream = upstream
        self._free = connections
        self._trust_eof = trust_eof
        self._introduces = introduces

    async def __call__(self, request: Request) -> Response:
        """Ask the upstream and answer as it does.

        Raises:
            NotFound: The path is not below the prefix.
            BadRequest: The URI is too long for the upstream.
            ProxyRequestRefused: It is no gemini request.
            ServerUnavailable: The upstream has all the connections that it may have.
            ProxyError: The upstream failed before the whole header was there.
        """
        if request.scheme != "gemini":
            raise ProxyRequestRefused(f"{request.scheme} is not served here")
        uri = self._paths.forward(request)
        if not isinstance(uri, URI):
            return uri
        if not self._free:
            raise ServerUnavailable("the server behind this page is busy")
        preface = introduce(request.client, uri.port or DEFAULT_PORT) if self._introduces else b""
        self._free -= 1
        async with AsyncExitStack() as held:
            held.callback(self._give_back)
            try:
                connection, head = await self._upstream.ask(uri, preface)
                held.push_async_callback(connection.aclose)
                status, meta = self._head(uri, head)
            except UpstreamFailed as failure:
                LOGGER.error("%s", failure)  # noqa: TRY400 - a trace of our calls would not add to it
                raise ProxyError(failure.errormsg) from failure
            if status is Status.SUCCESS:
                body = _Body(connection, held.pop_all(), self._upstream, trust_eof=self._trust_eof)
                return Reply(status, meta, body)
            return Reply(status, meta)

    def _head(self, uri: URI, received: Header) -> tuple[Status, str]:
        """What the visitor is told in place of a header that answers ``uri``.

        Raises:
            UpstreamFailed: It is nothing to tell a visitor.
        """
        name = self._upstream.name
        try:
            status, meta = Status(received.status), received.meta
            if status in {Status.TEMPORARY_REDIRECT, Status.PERMANENT_REDIRECT}:
                meta = self._paths.back(uri, meta)
            header(status, meta)
        except ValueError as error:  # a status that was never defined, a type or target that cannot be sent
            raise UpstreamFailed(f"{name} gave a header that cannot be sent: {error}") from error
        if status is Status.PROXY_REQUEST_REFUSED:  # the visitor has asked for nothing that we do not serve
            raise UpstreamFailed(f"{name} does not serve {uri.host}, for which it is asked: {received}")
        return status, meta

    def _give_back(self) -> None:
        self._free += 1


class _Body:
    """A response's body as it arrives: a chunk is read when the one before it was sent."""

    def __init__(
        self, connection: Connection, held: AsyncExitStack, upstream: Upstream, *, trust_eof: bool
    ) -> None:
        """``held``: what ends with the body, the connection first of all."""
        self._connection = connection
        self._held = held
        self._name = upstream.name
        self._stall = upstream.timeouts.stall
        self._trust_eof = trust_eof

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """The next chunk.

        Raises:
            BrokenBody: There is no more, and it may not be all.
        """
        try:
            with trio.fail_after(self._stall):
                data = await self._connection.read()
        except trio.TooSlowError:
            raise BrokenBody(f"{self._name} sent nothing for {self._stall:g} s") from None
        except Truncated as error:
            if not self._trust_eof:
                raise BrokenBody(f"{self._name} closed without close_notify") from error
            data = b""
        except trio.BrokenResourceError as error:
            raise BrokenBody(f"{self._name} broke off the connection ({reason(error)})") from error
        if not data:
            raise StopAsyncIteration
        return data

    async def aclose(self) -> None:
        """Close the connection: that is how the upstream learns that nobody wants the rest."""
        await self._held.aclose()
