"""Routes as a server mounts them, and one exchange with them: what both clients have in common."""

import re
import secrets
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import trio

from pad19.content.by_path import server_of
from pad19.content.mimetype import MimeTypes
from pad19.content.static import INDEX, StaticFiles
from pad19.dispatch.incoming import CHUNK
from pad19.dispatch.router import Router
from pad19.dispatch.zones.intake import ByScheme
from pad19.protocol import client as protocol
from pad19.protocol.client import Identity
from pad19.protocol.failure import BadRequest, Failure, NotFound, PermanentFailure
from pad19.protocol.request import DEFAULT_PORT, MAX_URI, Request, parse_request
from pad19.protocol.response import Reply, Response
from pad19.protocol.titan import SCHEME, receive
from pad19.protocol.uri import URI, parse, resolve
from pad19.routes.mounting import Inner, Mounted
from pad19.routes.results import ServeFile
from pad19.routes.table import Routes
from pad19.store.database import Database
from pad19.store.interface import Store
from pad19.store.sqlite import SQLiteStore

from .answer import Answer, received

MAX_REDIRECTS = 5  # in a row (network specification, section "Redirection")
_REDIRECTS = range(30, 40)
_NO_SETTINGS: Mapping[str, Any] = MappingProxyType({})
_NO_TYPES: Mapping[str, str] = MappingProxyType({})


class Mounting:
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
        if identity is not None and not isinstance(identity, Identity):
            name = identity if isinstance(identity, str) else "Ada"
            raise TypeError(f"a certificate is an identity: write certificate=identity({name!r})")
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
        return await received(response)


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
