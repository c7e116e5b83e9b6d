"""The two clients: one for tests that can await, one for those that cannot."""

from collections.abc import Awaitable, Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import partial, wraps
from types import TracebackType
from typing import Concatenate, ParamSpec, Self

import trio

from pad19.protocol.client import Identity
from pad19.protocol.titan import edit_uri_for, uri_for
from pad19.protocol.upload import DEFAULT_MIMETYPE
from pad19.protocol.uri import percent_encode

from .answer import Answer
from .mounting import Mounting

P = ParamSpec("P")


class Client(Mounting):
    """Sends requests to routes. Within ``async with``, lifespans and background tasks run as well.

    Exceptions that a visitor would see as an internal error reach the test as they are.
    """

    # A `SyncClient` asks by these three as well, so ``self`` is what both have in common.

    async def get(
        self: Mounting,
        target: str,
        query: str | None = None,
        *,
        certificate: Identity | None = None,
        follow: bool = False,
    ) -> Answer:
        """Ask for a path, or a whole URI.

        Args:
            target: The path or the URI.
            query: An answer to a prompt as it was typed. One that is in the target gives way to it.
            certificate: The visitor's, see `identity`.
            follow: Follow redirects, up to five in a row. One that leads to another server, and a sixth
                one, are returned as they are.

        Raises:
            Exception: A route failed.
        """
        uri = f"gemini://{self._host}{target}" if target.startswith("/") else target
        if query is not None:
            # The answer takes the place of a query (network specification, section "Input expected").
            uri = f"{uri.partition('?')[0]}?{percent_encode(query, '')}"
        client = self._client(certificate)
        answer = await self._exchange(uri, client)
        return await self._follow(answer, uri, client) if follow else answer

    async def titan(
        self: Mounting,
        target: str,
        body: bytes | str,
        *,
        mime: str = DEFAULT_MIMETYPE,
        token: str | None = None,
        certificate: Identity | None = None,
        follow: bool = False,
    ) -> Answer:
        """Upload to a path, or a whole URI.

        Args:
            target: The path or the URI, without parameters.
            body: What is uploaded. Nothing asks to delete what is there.
            mime: The type that the visitor says it has.
            token: A password.
            certificate: The visitor's, see `identity`.
            follow: Follow redirects as `get` does, to ``gemini://`` alone. A relative one leads to
                ``titan://``, where clients would ask for another text.

        Raises:
            Exception: A route failed.
        """
        body = body.encode() if isinstance(body, str) else body
        uri = self._titan_uri(target)
        client = self._client(certificate)
        line = uri_for(uri, size=len(body), mimetype=mime, token=token)
        answer = await self._exchange(line, client, body)
        return await self._follow(answer, uri, client) if follow else answer

    async def edit(self: Mounting, target: str, *, certificate: Identity | None = None) -> Answer:
        """Ask for the text at a path, or a whole URI, that is going to be edited.

        Raises:
            Exception: A route failed.
        """
        line = edit_uri_for(self._titan_uri(target))
        return await self._exchange(line, self._client(certificate))

    async def __aenter__(self) -> Self:
        self._living = self._alive()
        await self._living.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._living.__aexit__(kind, error, trace)


def _blocking(
    method: Callable[Concatenate[Mounting, P], Awaitable[Answer]],
) -> Callable[Concatenate["SyncClient", P], Answer]:
    """A method of `Client` for those who cannot await it."""

    @wraps(method)
    def ask(self: "SyncClient", /, *args: P.args, **kwargs: P.kwargs) -> Answer:
        if self._token is None:
            raise RuntimeError("a SyncClient works within with: with SyncClient(routes) as client: ...")
        return trio.from_thread.run(partial(method, self, *args, **kwargs), trio_token=self._token)

    return ask


class SyncClient(Mounting):
    """A `Client` for plain functions. It works within ``with``: trio runs in a thread until its end.

    Its methods raise RuntimeError elsewhere.
    """

    _token: trio.lowlevel.TrioToken | None = None  # None: outside of ``with``

    get = _blocking(Client.get)
    titan = _blocking(Client.titan)
    edit = _blocking(Client.edit)

    def __enter__(self) -> Self:
        ready: Future[None] = Future()
        self._thread = ThreadPoolExecutor(1, "pad19.testing")
        self._ended = self._thread.submit(trio.run, self._live, ready)
        wait([ready, self._ended], return_when=FIRST_COMPLETED)
        if self._ended.done():
            self.__exit__()
        return self

    def __exit__(self, *_error: object) -> None:
        token, self._token = self._token, None
        if token is not None:
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(self._stop.set)
        self._thread.shutdown()
        self._ended.result()

    async def _live(self, ready: Future[None]) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._stop = trio.Event()
        async with self._alive():
            ready.set_result(None)
            await self._stop.wait()
