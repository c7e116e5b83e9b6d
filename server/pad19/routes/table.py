"""What a route author declares. Nothing runs here: `mounting` makes a handler of it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from pad19.protocol.pattern import KINDS, Convert, Pattern

from .interface import Background, Handler, Lifespan, Middleware, RouteError, TitanHandler
from .naming import plain
from .policy import DEFAULT_MAX_SIZE, DEFAULT_TIMEOUT, Policy
from .signature import is_awaited, is_lifespan, located, misfit, name_of, runs_on_loop, takes

GEMINI, TITAN = "gemini", "titan"
TITAN_EDIT = "titan;edit"  # who asks for a text to edit, instead of uploading one

_HandlerT = TypeVar("_HandlerT", bound=Handler)
_TitanHandlerT = TypeVar("_TitanHandlerT", bound=TitanHandler)
_MiddlewareT = TypeVar("_MiddlewareT", bound=Middleware)
_LifespanT = TypeVar("_LifespanT", bound=Lifespan)
_BackgroundT = TypeVar("_BackgroundT", bound=Background)
_ConvertT = TypeVar("_ConvertT", bound=Convert)


@dataclass(frozen=True, slots=True)
class Route:
    """One function and the paths that it answers."""

    scheme: str  # or `TITAN_EDIT`
    pattern: Pattern
    handler: Handler | TitanHandler
    policy: Policy
    around: tuple[Middleware, ...] = ()  # outermost first

    def __str__(self) -> str:
        return f"route {self.pattern.text}, {name_of(self.handler)}"

    @property
    def place(self) -> str:
        """The same with its file."""
        return f"route {self.pattern.text}, {located(self.handler)}"


@dataclass(slots=True)
class Declared:
    """All that belongs to a `Routes` and to those that it includes."""

    routes: list[Route] = field(default_factory=list)
    lifespans: list[Lifespan] = field(default_factory=list)  # the including one's first
    background: list[Background] = field(default_factory=list)


class Routes:
    """The routes of a file, or of a part of it.

    Each route is a function that takes the `Request`, and what its pattern captures as keyword
    arguments::

        routes = Routes()

        @routes.gemini("/entry/{number:int}")
        async def entry(request: Request, number: int) -> str: ...

    ``def`` functions run in worker threads, ``async def`` functions on the event loop. Every method
    raises `RouteError` when what it is given cannot work.
    """

    def __init__(self) -> None:
        self._routes: list[tuple[str, str, Handler | TitanHandler, Policy]] = []  # scheme, pattern, ...
        self._included: list[tuple[str, Routes]] = []  # prefix, ...
        self._around: list[Middleware] = []
        self._lifespans: list[Lifespan] = []
        self._background: list[Background] = []
        self._further: dict[str, Convert] = {}  # kinds of captures

    def __dir__(self) -> list[str]:
        """The names to write: up to 3.12, Python would suggest to write ``_routes`` instead of ``route``."""
        return [name for name in super().__dir__() if not name.startswith("_")]

    def gemini(
        self,
        pattern: str,
        *,
        certificate: bool = False,
        allow: Iterable[str] | None = None,
        rate: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> Callable[[_HandlerT], _HandlerT]:
        """Declare who answers Gemini requests for the paths of ``pattern``.

        ``/about`` is one path, ``/tag/{name}`` has a segment that may be anything, ``{number:int}`` one
        of digits, ``{rest:path}`` is all that follows, maybe nothing. The most specific pattern wins. A
        path that only lacks its slash at the end, or has one too many, is redirected.

        Args:
            pattern: The path, below where the routes are mounted.
            certificate: Answer 60 to those who come without a client certificate.
            allow: Fingerprints (``"sha256:…"``) of the certificates, or of the keys, that may pass.
                Others are answered with 61, and told their own.
            rate: How often one visitor may ask: ``"5/1m"``. Past it, 44 and the seconds to wait. Who is
                in ``allow`` is known by the certificate, everybody else by the address.
            timeout: Seconds until the function must have answered, or streamed its first chunk; then
                it is cancelled, and the answer is 42.
        """
        _check_called("gemini", "/path", pattern)

        def declare(handler: _HandlerT) -> _HandlerT:
            make = partial(Policy.of, certificate=certificate, allow=allow, rate=rate, timeout=timeout)
            self._declare(GEMINI, pattern, handler, make)
            return handler

        return declare

    def titan(
        self,
        pattern: str,
        *,
        edit: bool = False,
        certificate: bool = False,
        allow: Iterable[str] | None = None,
        rate: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        max_size: int = DEFAULT_MAX_SIZE,
    ) -> Callable[[_TitanHandlerT], _TitanHandlerT]:
        """Declare who takes uploads to the paths of ``pattern``: an ``async def`` function.

        What is uploaded is `TitanRequest.upload`; it may be nothing at all, by which clients delete::

            @routes.titan("/page/{name}", certificate=True)
            async def save(request: TitanRequest, name: str) -> Redirect:
                text = (await request.upload.read()).decode()
                ...
                return Redirect(f"gemini://{request.host}/page/{name}")

        Args:
            pattern: See `gemini`, and so are the next three.
            edit: Answer those who ask for the text that they are going to edit, instead of uploads.
            certificate: Answer 60 to those who come without a client certificate.
            allow: Fingerprints of the certificates, or of the keys, that may pass.
            rate: How often one visitor may upload.
            timeout: Seconds that the function may take, besides those that it waits for the client.
            max_size: Bytes of the largest upload that it is asked to take.
        """
        _check_called("titan", "/path", pattern)

        def declare(handler: _TitanHandlerT) -> _TitanHandlerT:
            if not runs_on_loop(handler):
                raise RouteError(
                    f"route {pattern}, {name_of(handler)} must be async def: uploads are awaited"
                )
            make = partial(
                Policy.of, certificate=certificate, allow=allow, rate=rate, timeout=timeout, max_size=max_size
            )
            self._declare(TITAN_EDIT if edit else TITAN, pattern, handler, make)
            return handler

        return declare

    def _declare(
        self, scheme: str, pattern: str, handler: Handler | TitanHandler, make: Callable[[], Policy]
    ) -> None:
        where = f"route {plain(str(pattern))}, {name_of(handler)}"
        if not isinstance(pattern, str):
            raise RouteError(f'{where}: the pattern must be a text, such as "/path"')
        try:
            parsed = Pattern.parse(pattern, self._further)
        except ValueError as error:
            raise RouteError(f"{where}: the pattern {error}") from None
        try:
            policy = make()
        except ValueError as error:
            raise RouteError(f"{where}: {error}") from None
        if reason := misfit(handler, parsed):
            raise RouteError(f"{where} {reason}")
        self._routes.append((scheme, pattern, handler, policy))

    def around(self, middleware: _MiddlewareT) -> _MiddlewareT:
        """Declare an ``async def`` function that every request to these routes goes through.

        It is given the request and ``call_next``, and returns a response: the one that
        ``await call_next(request)`` returns, another one, or an own one. What was declared first is
        outermost. Failures pass through it as exceptions::

            @routes.around
            async def timed(request: Request, call_next: CallNext) -> Response: ...
        """
        if not is_awaited(middleware) or not takes(middleware, 2):
            raise RouteError(
                f"around, {name_of(middleware)} must be async def (request, call_next), without yield"
            )
        self._around.append(middleware)
        return middleware

    def lifespan(self, function: _LifespanT) -> _LifespanT:
        """Declare what lives as long as the worker: an ``async def`` function with one ``yield``.

        What stands before it is done before the first request, what stands behind it after the last. With
        ``@asynccontextmanager`` it will do as well, and so will a class of asynchronous context managers::

            @routes.lifespan
            async def database(capsule: Capsule) -> AsyncIterator[None]: ...
        """
        if not is_lifespan(function) or not takes(function, 1):
            raise RouteError(f"lifespan, {name_of(function)} must be async def (capsule), with one yield")
        self._lifespans.append(function)
        return function

    def background(self, function: _BackgroundT) -> _BackgroundT:
        """Declare an ``async def`` function that runs beside the requests, within the lifespans.

        When it fails, that is logged and it is started again, after a pause that grows from one second
        to a minute. When it returns, it has done its work.
        """
        if not is_awaited(function) or not takes(function, 1):
            raise RouteError(f"background, {name_of(function)} must be async def (capsule)")
        self._background.append(function)
        return function

    def converter(self, kind: str) -> Callable[[_ConvertT], _ConvertT]:
        """Declare a kind of capture for the patterns below it: a function that takes a segment.

        It returns the value, or raises ValueError for what is of another kind::

            @routes.converter("date")
            def to_date(text: str) -> date:
                return date.fromisoformat(text)

            @routes.gemini("/log/{day:date}")
            async def log(request: Request, day: date) -> str: ...
        """
        _check_called("converter", "kind", kind)
        if not isinstance(kind, str) or not kind.isidentifier() or not kind.isascii():
            raise RouteError(f"converter {kind!r}: its name must be a word of letters, digits and _")
        if kind in KINDS or kind in self._further:
            raise RouteError(f"converter {kind}: there is a kind of that name already")

        def declare(convert: _ConvertT) -> _ConvertT:
            if not callable(convert):
                raise RouteError(f"converter {kind} must be a function (text)")
            if runs_on_loop(convert):
                raise RouteError(f"converter {kind}, {name_of(convert)} must be def: nothing awaits it")
            self._further[kind] = convert
            return convert

        return declare

    def include(self, other: "Routes", prefix: str = "") -> None:
        """Answer for the routes of another one too, with ``prefix`` before their paths.

        What is declared around these goes around them as well; kinds of captures are not handed on.
        """
        if not isinstance(other, Routes) or not isinstance(prefix, str):
            raise RouteError('include takes Routes and a prefix, as in routes.include(other, "/prefix")')
        try:
            pattern = Pattern.parse(prefix or "/")
        except ValueError as error:
            raise RouteError(f"include, prefix {plain(prefix)}: it {error}") from None
        if pattern.kinds:
            raise RouteError(f"include, prefix {plain(prefix)}: it must have no captures")
        if self in other._everyone():
            raise RouteError(f"include, prefix {prefix}: routes cannot include themselves")
        self._included.append((prefix.rstrip("/"), other))

    def _everyone(self) -> "Iterator[Routes]":
        """These and all that they include; who is included twice comes twice."""
        yield self
        for _, other in self._included:
            yield from other._everyone()

    def _placed(self, prefix: str, around: tuple[Middleware, ...]) -> Iterator[Route]:
        around = (*around, *self._around)
        for scheme, text, handler, policy in self._routes:
            try:
                pattern = Pattern.parse(prefix + text, self._further)
            except ValueError as error:  # too long now
                raise RouteError(f"route {prefix}{text}, {name_of(handler)}: the pattern {error}") from None
            yield Route(scheme, pattern, handler, policy, around)
        for inner, other in self._included:
            yield from other._placed(prefix + inner, around)


def _check_called(decorator: str, argument: str, given: object) -> None:
    """A decorator without its parentheses is called with the function, and would declare nothing."""
    if callable(given):
        raise RouteError(f'{name_of(given)} is declared for nothing: write @routes.{decorator}("{argument}")')


def declared(routes: Routes) -> Declared:
    """All that there is, for mounting.

    Raises:
        RouteError: A pattern became too long by its prefixes.
    """
    everyone = list(dict.fromkeys(routes._everyone()))
    return Declared(
        list(routes._placed("", ())),
        [lifespan for one in everyone for lifespan in one._lifespans],
        [function for one in everyone for function in one._background],
    )
