"""The handler that routes become: they are asked first, and what lies behind them is asked next."""

import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import trio

from pad19.protocol.client import Client
from pad19.protocol.failure import BadRequest, CGIError, Failure, NotFound, PermanentFailure, failing
from pad19.protocol.pattern import PatternTable
from pad19.protocol.request import Request, TitanRequest
from pad19.protocol.response import MAX_META, Redirect, Response
from pad19.protocol.upload import Upload
from pad19.protocol.uri import percent_encode
from pad19.store.interface import Store, StoreError

from .call import Call
from .frames import summary_of
from .interface import Capsule, Lifespan
from .lifespan import ignore, living
from .mistakes import is_want_of_threads, mend_of, parted, unwrapped
from .paths import by_path
from .results import Results, ServeFile, page_type
from .table import TITAN, TITAN_EDIT, Routes, declared
from .upload_body import Unhurried

LOGGER = logging.getLogger("pad19.routes")

THREADS = 16  # for functions that are no async def

Inner = Callable[[Request], Awaitable[Response]]
# What to answer instead of "42 internal error": gets the request, what was raised, and the error's id.
OnError = Callable[[Request, BaseException, str], Response]
# What surrounds the work for a client.
Attend = Callable[[Client], AbstractContextManager[object]]

_NO_STORE = cast("Store", None)


async def _nothing(_request: Request) -> Response:
    raise NotFound


class Mounted:
    """A handler. Nothing in it changes any more, whatever is declared later."""

    def __init__(
        self,
        routes: Routes,
        inner: Inner = _nothing,
        *,
        settings: Mapping[str, Any] = MappingProxyType({}),
        store: Store = _NO_STORE,
        content: Path = Path("content"),
        state: Path = Path("state"),
        serve_file: ServeFile | None = None,
        threads: trio.CapacityLimiter | None = None,
        lang: str | None = None,
        on_error: OnError | None = None,
        attend: Attend = nullcontext,
    ) -> None:
        """Compile the routes.

        Args:
            routes: All of the capsule.
            inner: Answers where no route matches.
            settings: For `Request.settings`.
            store: For `Request.store`.
            content: For `Capsule.content`.
            state: For `Capsule.state`.
            serve_file: Answers with the file of a Path that a route returns.
            threads: The pool for functions that are no ``async def``.
            lang: What the pages are written in that routes return as text: language tags, such as "en".
            on_error: Answers when a route fails, after the log was told.
            attend: Cancels what a route does within when the client leaves, and raises then.

        Raises:
            RouteError: Two routes answer the same paths.
        """
        everything = declared(routes)
        self._inner = inner
        self._capsule = Capsule(_frozen(settings), store, content, state)
        self._lifespans = everything.lifespans
        self._background = everything.background
        self._on_error = on_error
        self._attend = attend
        results = Results(threads or trio.CapacityLimiter(THREADS), serve_file, page_type(lang))
        self._tables = by_path(everything.routes, lambda route: Call(route, results))

    @property
    def takes_uploads(self) -> bool:
        """Whether there is a route for any."""
        return TITAN in self._tables or TITAN_EDIT in self._tables

    def living(self, failing: Callable[[Lifespan], None] = ignore) -> AbstractAsyncContextManager[None]:
        """What must be entered before requests come: lifespans and background tasks.

        ``failing``: is told of the lifespan that cannot begin.

        Raises:
            BaseException: Whatever a lifespan raises.
        """
        return living(self._capsule, self._lifespans, self._background, failing)

    def matches(self, request: Request) -> bool:
        """Whether a route would answer, if only that it fails. Runs converters, but no route."""
        is_edit = request.upload is not None and request.upload.edit
        try:
            return any(
                self._find(scheme, request) for scheme in (request.scheme, *([TITAN_EDIT] if is_edit else ()))
            )
        except BaseException as error:
            stop, _ = parted(error)
            if stop is not None:
                raise
            return True

    async def __call__(self, request: Request) -> Response:
        """Answer by the route that matches, or let the inner handler do it.

        Raises:
            CGIError: The route failed, or took too long.
            Failure: What the route or the inner handler raises.
        """
        if request.upload is not None:
            return await self._take(request, request.upload)
        table = self._tables.get(request.scheme)
        if table is None:
            return await self._inner(request)
        segments = request.segments
        try:
            found = table.find(segments)
            other = _other_slash(table, segments) if found is None else None
        except BaseException as error:
            return self._failed("a converter", request, error)
        if found is None:
            return await self._ask_inner(request, other)
        call, captures = found
        timeout = call.route.policy.timeout
        request = replace(request, settings=self._capsule.settings, store=self._capsule.store)
        with self._attend(request.client):
            try:
                with trio.move_on_after(timeout):
                    return await call(request, captures)
            except BaseException as error:
                return self._failed(call.name, request, error)
        raise self._too_slow(call, request)

    async def _take(self, request: Request, upload: Upload) -> Response:
        """The same for an upload. Who has sent it may leave: it is there."""
        try:
            found = self._find(TITAN_EDIT if upload.edit else TITAN, request)
            is_titan = bool(found or (upload.edit and self._find(TITAN, request)))
        except BaseException as error:
            return self._failed("a converter", request, error)
        if found is None and is_titan:
            raise PermanentFailure("this can be uploaded, but not edited")
        if found is None:
            return await self._inner(request)
        call, captures = found
        policy = call.route.policy
        if upload.size > policy.max_size:
            raise BadRequest(f"at most {policy.max_size} bytes may be uploaded here")
        try:
            with trio.move_on_after(policy.timeout) as time:
                request = replace(
                    TitanRequest.of(request, replace(upload, chunks=Unhurried(upload.chunks, time))),
                    settings=self._capsule.settings,
                    store=self._capsule.store,
                )
                return await call(request, captures)
        except BaseException as error:
            return self._failed(call.name, request, error)
        raise self._too_slow(call, request)

    def _find(self, scheme: str, request: Request) -> tuple[Call, dict[str, Any]] | None:
        table = self._tables.get(scheme)
        return None if table is None else table.find(request.segments)

    def _too_slow(self, call: Call, request: Request) -> CGIError:
        timeout = call.route.policy.timeout
        LOGGER.warning("%s took longer than %g seconds for %r", call.name, timeout, request.path)
        return CGIError(f"the route took longer than {timeout:g} seconds")

    async def _ask_inner(self, request: Request, other: str | None) -> Response:
        try:
            return await self._inner(request)
        except NotFound:
            if other is None:
                raise
            target = other if request.raw_query is None else f"{other}?{request.raw_query}"
            if len(target) > MAX_META:  # an IRI becomes up to three times as long
                raise
            return Redirect(target, permanent=True)

    def _failed(self, name: str, request: Request, error: BaseException) -> Response:
        """The answer to an exception: a failure is one itself, also if a nursery wrapped it."""
        stop, mistake = parted(error)
        if mistake is None:
            raise error
        inner = unwrapped(mistake)
        if stop is None and is_want_of_threads(inner):
            raise inner  # whoever has called us knows what to say
        if isinstance(inner, Failure):
            flaw = _flaw(inner)
            if flaw is None:
                raise stop or inner
            flaw.__cause__, mistake = inner, flaw
        elif (mend := mend_of(inner)) and mend not in getattr(inner, "__notes__", ()):
            inner.add_note(mend)
        error_id = secrets.token_hex(4)
        # Without the query: what visitors answer to a prompt does not belong into a log.
        if isinstance(inner, StoreError):  # nobody's bug, and its sentence says all
            LOGGER.error("error %s: %s failed for %r: %s", error_id, name, request.path, inner)
        else:
            LOGGER.error("error %s: %s failed for %r", error_id, name, request.path, exc_info=mistake)
        if stop is not None:
            raise stop
        if self._on_error is not None:
            return self._on_error(request, mistake, error_id)
        raise CGIError(f"internal error, id {error_id}")


def _flaw(failure: Failure) -> Exception | None:
    """Why it cannot be sent, if an author made it so."""
    try:
        str(failure)
        status = failing(failure.status, type(failure))
    except Exception as error:
        return TypeError(f"{type(failure).__name__} cannot be sent ({summary_of(error)})")
    if failure.status is not status:
        return TypeError(f"{type(failure).__name__} has a number for its status: give it to the class")
    return None


def _frozen(settings: Any) -> Any:
    """The same for reading only: what one request changed, all others of its worker would get."""
    match settings:
        case Mapping():
            return MappingProxyType({key: _frozen(value) for key, value in settings.items()})
        case list() | tuple():
            return tuple(map(_frozen, settings))
    return settings


def _other_slash(table: PatternTable[Call], segments: tuple[str, ...]) -> str | None:
    """The path with a slash at its end, or without the one that it has, if a route answers there."""
    *folders, last = segments
    other = (*segments, "") if last or not folders else tuple(folders)
    # "//host" would be another server.
    if not other[0] or table.find(other) is None:
        return None
    return "/" + "/".join(map(percent_encode, other))
