"""Routes without a server: a client that runs requests in process.

With trio (pytest-trio runs ``async def`` tests)::

    async def test_sign() -> None:
        async with Client(routes) as client:
            response = await client.get("/sign?Ada")
            assert (response.status, response.meta) == (30, "/")

And without::

    def test_sign() -> None:
        with SyncClient(routes) as client:
            assert client.get("/sign?Ada").status == 30

What a response says is what the test sees: a redirect is followed only if the test says so.

The pytest plugin `pad19.pytest_plugin` has clients for the capsule that a test belongs to.
"""

import hashlib
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.message import Message
from functools import partial, wraps
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Concatenate, ParamSpec, Self

import trio

from .content.by_path import server_of
from .content.mimetype import MimeTypes
from .content.static import INDEX, StaticFiles
from .dispatch.incoming import CHUNK
from .dispatch.router import Router
from .dispatch.zones.intake import ByScheme
from .protocol import client as protocol
from .protocol.client import Identity
from .protocol.failure import BadRequest, Failure, NotFound, PermanentFailure
from .protocol.request import DEFAULT_PORT, MAX_URI, Request, parse_request
from .protocol.response import Reply, Response, header
from .protocol.response_reader import parse_header
from .protocol.status import Status
from .protocol.titan import SCHEME, edit_uri_for, receive, uri_for
from .protocol.upload import DEFAULT_MIMETYPE
from .protocol.uri import URI, parse, percent_encode, resolve
from .routes.mounting import Inner, Mounted
from .routes.results import ServeFile, close
from .routes.table import Routes
from .store.database import Database
from .store.interface import Store
from .store.sqlite import SQLiteStore

__all__ = ["Answer", "Client", "SyncClient", "identity"]

MAX_REDIRECTS = 5  # in a row (network specification, section "Redirection")
_REDIRECTS = range(30, 40)
_NO_SETTINGS: Mapping[str, Any] = MappingProxyType({})
_NO_TYPES: Mapping[str, str] = MappingProxyType({})

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client receives."""

    status: int
    meta: str  # a type, a prompt, a target or an errormsg, as it stands in the header
    body: bytes = b""  # streams are collected

    @property
    def text(self) -> str:
        """The body as text, in the charset that the type names, or UTF-8.

        Raises:
            UnicodeDecodeError: It is in another one.
        """
        message = Message()
        message["content-type"] = self.meta if self.status == Status.SUCCESS else "text/plain"
        return self.body.decode(message.get_content_charset("utf-8"))


def identity(
    name: str, *, key: str | None = None, fingerprint: str | None = None, key_fingerprint: str | None = None
) -> Identity:
    """The identity of a made-up certificate with ``name`` as its CN: the same one for the same name.

    Args:
        name: The CN.
        key: Tells keys apart; a certificate that was renewed has the key of the one before it.
        fingerprint: Instead of a made-up one, for a certificate that the routes know.
        key_fingerprint: The same for its public key.

    Raises:
        ValueError: One of the two is no fingerprint.
    """
    for given in (fingerprint, key_fingerprint):
        if given is not None and not re.fullmatch("sha256:[0-9a-f]{64}", given):
            raise ValueError(f"{given!r} is no fingerprint: sha256: and 64 hex digits in small letters")
    return Identity(
        fingerprint=fingerprint or _sha256(f"certificate {name} {key}"),
        key_fingerprint=key_fingerprint or _sha256(f"key {name if key is None else key}"),
        subject=(("CN", name),),
        issuer=(("CN", name),),
        serial_number=1,
        not_before=datetime(2020, 1, 1, tzinfo=UTC),
        not_after=datetime(9999, 12, 31, tzinfo=UTC),
    )


def _sha256(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


class _Mounting:
    """What both clients have in common."""

    def __init__(
        self,
        routes: Routes,
        *,
        prefix: str = "",
        host: str = "localhost",
        hosts: Collection[str] = (),
        certificate: Identity | None = None,
        address: str = "127.0.0.1",
        settings: Mapping[str, Any] = _NO_SETTINGS,
        store: Store | None = None,
        files: Path | None = None,
        state: Path | None = None,
        lang: str | None = None,
        charset: str | None = None,
        index: tuple[str, ...] = INDEX,
        listing: bool = False,
        hidden: bool = False,
        mimetypes: Mapping[str, str] = _NO_TYPES,
        titan: bool = True,
    ) -> None:
        """Mount the routes.

        Args:
            routes: The routes.
            prefix: Where they are mounted: ``/guestbook`` for ``routes/guestbook.py``.
            host: The capsule's, for requests that name none.
            hosts: Further hosts of the capsule, such as ``*.example.org``. Whoever asks for another one is
                answered with 53.
            certificate: The visitor's, unless a request brings another one.
            address: The visitor's.
            settings: For `Request.settings`.
            store: For `Request.store`. Without one, a new one in memory.
            files: The content folder, for routes that return a Path, and for what no route answers.
            state: For `Capsule.state`. Without one, a folder that is removed at the end of the block.
            lang: The language of the pages: ``capsule.lang``. The next five are keys of a capsule as well.
            charset: Of the files.
            index: The names of the files that stand for a folder.
            listing: Whether a folder without one is listed.
            hidden: Whether files are served whose names begin with a dot.
            mimetypes: The types of files, by suffix or name.
            titan: Uploads are taken, as by a server that has ``[capsule.titan]`` in its configuration.

        Raises:
            RouteError: Two routes cannot be told apart.
            ValueError: A host is none.
        """
        self._database = Database(None, time.time)
        root = Routes()
        root.include(routes, prefix)
        inner: Inner = _nothing
        serve_file: ServeFile | None = None
        if files is not None:
            types = MimeTypes(mimetypes, lang=lang, charset=charset)
            inner = static = StaticFiles(files, types, index=index, listing=listing, hidden=hidden)
            serve_file = server_of(static, files)
        self._removes_state = state is None
        # Only a name: it is for routes to make it, when they need it.
        self._state = state or Path(tempfile.gettempdir(), f"pad19-{secrets.token_hex(8)}")
        self._mounted = Mounted(
            root,
            ByScheme(inner, _no_uploads),
            settings=settings,
            store=store or SQLiteStore(self._database),
            content=files or Path("content"),
            state=self._state,
            serve_file=serve_file,
            lang=lang,
            on_error=_raise,
        )
        handlers = dict.fromkeys(map(_normalized, (host, *hosts)), self._mounted)
        self._router = Router(handlers, uploads=handlers if titan else ())
        self._host = host
        self._certificate = certificate
        self._address = address

    @asynccontextmanager
    async def _alive(self) -> AsyncIterator[None]:
        """Lifespans and background tasks run within."""
        try:
            async with self._mounted.living():
                yield
        finally:
            await self._database.aclose()
            if self._removes_state:
                shutil.rmtree(self._state, ignore_errors=True)

    def _titan_uri(self, target: str) -> str:
        if target.startswith("/"):
            return f"{SCHEME}://{self._host}{target}"
        return re.sub("^gemini:", f"{SCHEME}:", target)

    def _client(self, certificate: Identity | None) -> protocol.Client:
        identity = certificate or self._certificate
        return protocol.Client(self._address, 50000, self._host, "TLSv1.3", identity)

    async def _follow(self, answer: Answer, uri: str, client: protocol.Client) -> Answer:
        for _ in range(MAX_REDIRECTS):
            if answer.status not in _REDIRECTS:
                break
            base = parse(uri)
            # Not with the old query: a reference without path and query would inherit it.
            there = resolve(replace(base, query=None), parse(answer.meta))
            if there.scheme != "gemini" or _place(there) != _place(base):
                break
            uri = str(replace(there, fragment=None))
            answer = await self._exchange(uri, client)
        return answer

    async def _exchange(self, uri: str, client: protocol.Client, body: bytes = b"") -> Answer:
        try:
            line = uri.encode()
            if len(line) > MAX_URI:
                raise BadRequest(f"the URI is longer than {MAX_URI} bytes")
            request = parse_request(line, client)
            if request.host != client.server_name:  # clients name in the handshake whom they ask
                request = replace(request, client=replace(client, server_name=request.host))
            handler = self._router.handler(request, None)
            if request.scheme == SCHEME:
                request = receive(request, lambda _size: _Pieces(body))
            response = await handler(request)
        except Failure as failure:
            response = Reply(failure.status, str(failure))
        return await _received(response)


class Client(_Mounting):
    """Sends requests to routes. Within ``async with``, lifespans and background tasks run as well.

    Exceptions that a visitor would see as an internal error reach the test as they are.
    """

    # A `SyncClient` asks by these three as well, so ``self`` is what both have in common.

    async def get(
        self: _Mounting,
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
        self: _Mounting,
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

    async def edit(self: _Mounting, target: str, *, certificate: Identity | None = None) -> Answer:
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
    method: Callable[Concatenate[_Mounting, P], Awaitable[Answer]],
) -> Callable[Concatenate["SyncClient", P], Answer]:
    """A method of `Client` for those who cannot await it."""

    @wraps(method)
    def ask(self: "SyncClient", /, *args: P.args, **kwargs: P.kwargs) -> Answer:
        if self._token is None:
            raise RuntimeError("a SyncClient works within with: with SyncClient(routes) as client: ...")
        return trio.from_thread.run(partial(method, self, *args, **kwargs), trio_token=self._token)

    return ask


class SyncClient(_Mounting):
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


async def _received(response: Response) -> Answer:
    """Read a response as a client does."""
    head = parse_header(header(response.status, response.meta).removesuffix(b"\r\n"))
    body = response.body
    if not isinstance(body, bytes):
        try:
            body = b"".join([bytes(chunk) async for chunk in body])
        finally:
            await close(response.body)
    return Answer(head.status, head.meta, body)


class _Pieces:
    """A body as it arrives."""

    def __init__(self, body: bytes) -> None:
        self._left = body

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        await trio.lowlevel.checkpoint()
        if not self._left:
            raise StopAsyncIteration
        piece, self._left = self._left[:CHUNK], self._left[CHUNK:]
        return piece


def _normalized(host: str) -> str:
    """A host of a capsule as the router knows it; the ports that some have behind it are all served."""
    wild, name = ("*.", host[2:]) if host.startswith("*.") else ("", host)
    return f"{wild}{parse(f'gemini://{name}/').host}"


def _place(uri: URI) -> tuple[str | None, int]:
    return uri.host, uri.port or DEFAULT_PORT


async def _no_uploads(_request: Request) -> Response:
    raise PermanentFailure("nobody may upload here")  # as where no zone lets anybody


async def _nothing(_request: Request) -> Response:
    raise NotFound


def _raise(_request: Request, error: BaseException, _error_id: str) -> Response:
    raise error
