"""What answers in front of a capsule's files: routes, programs, other servers.

`Backends` is what all of them share in a worker. It is put together before the event loop runs, and
must be alive before the first request.
"""

import logging
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import trio

from pad19.content.static import StaticFiles
from pad19.dispatch.prefixes import Prefixes
from pad19.dispatch.presence import Attended, Presence
from pad19.dispatch.router import Handler
from pad19.dispatch.zones.guard import Zones
from pad19.dispatch.zones.intake import ByScheme
from pad19.protocol.request import Request
from pad19.protocol.response import Response, Success

from .config.capsule import Capsule
from .config.model import Config, ConfigError
from .config.toml_file import FILE_NAME
from .lifespans import Living, run_lifespans
from .signature import Signatures, signatures
from .sources import code
from .uploads import may_upload, uploads_for, zones_in_vain

if TYPE_CHECKING:
    from pad19.routes.cgi.process import Programs
    from pad19.routes.mounting import Mounted
    from pad19.store.database import Database
    from pad19.store.sqlite import SQLiteStore

    from .workbench import Workbench

LOGGER = logging.getLogger("pad19.service")

STORE = "store.sqlite3"  # below server.state
EDITS = "who edits what"  # the namespace of the store: no host, which is what routes have
KNOWN_HOSTS = "known_hosts"  # below server.state
ROUTES = "routes"  # likewise; in it, a folder for each capsule
THREADS = 16  # for routes that are no async def, those of all capsules together


class Backends:
    """Makes handlers, and owns what they need."""

    def __init__(
        self,
        config: Config,
        *,
        is_development: bool = False,
        is_rehearsal: bool = False,
        stands_in: bool = False,
        warns: bool = True,
    ) -> None:
        """Begin.

        Args:
            config: A checked one.
            is_development: Mistakes in routes are shown to visitors, and are no reason not to serve.
            is_rehearsal: Routes are loaded, but neither they nor programs nor other servers answer: there
                is an empty page where they would, also if they cannot be loaded. What does not work is told.
            stands_in: For a worker that died. What does not work is no reason not to serve the rest, and is
                answered with 42.
            warns: Of what is served, but hardly as it was meant. One of several workers is enough.
        """
        self.presence = Presence()
        # Who serves a folder as it lies there may write one in it, perhaps with tokens.
        self.withheld = (f"/{FILE_NAME}",) if config.source is None else ()
        self.files: Signatures = {}  # source files of routes, as they were before they were read
        self.warns = warns and not stands_in  # whom it replaces has
        self.stands_in = stands_in
        self.problems: list[str] = []  # what does not work; a sentence each
        self._config = config
        self._is_development = is_development
        self._is_rehearsal = is_rehearsal
        self._packages = 0
        self._mounted: list[Living] = []
        self._threads = trio.CapacityLimiter(THREADS)
        self._programs: Programs | None = None
        self._database: Database | None = None

    def in_front_of(self, files: StaticFiles, capsule: Capsule, zones: Zones | None = None) -> Handler:
        """The handler of a capsule. Without routes, programs and uploads, that is the files' own.

        ``zones``: they say who may upload.

        Raises:
            ConfigError: Routes cannot be loaded.
        """
        handlers = {**dict(self._gateways(capsule)), **dict(self._proxies(capsule))}
        inner: Handler = Prefixes(handlers, files) if handlers else files
        front: Handler

        async def visit(request: Request) -> Response:
            return await front(request)  # with routes, which guard what is below them

        if capsule.titan is None:
            if paths := ", ".join(zones_in_vain(capsule)):
                problem = f"uploads to its zones ({paths}) are refused; to take them, write [capsule.titan]"
                self._warn(capsule, problem)
        else:
            edits = self._namespace(EDITS).namespace(capsule.hosts[0])
            if not (capsule.routes or capsule.mount or may_upload(capsule, capsule.titan)):
                self._warn(
                    capsule,
                    "nobody may upload; give a [[capsule.zone]] write or token, or [capsule.titan] token",
                )
            state = self._config.server.state
            titan = uploads_for(capsule, capsule.titan, zones or Zones(()), edits, visit, handlers, state)
            inner = ByScheme(inner, titan)
        front = self._routes(files, inner, capsule) if capsule.routes or capsule.mount else inner
        return front

    @asynccontextmanager
    async def living(self) -> AsyncIterator[None]:
        """Programs may be started, the store is there, routes have what they need beside requests.

        Raises:
            ConfigError: The store cannot be used, or a lifespan failed: at its beginning, or later on.
        """
        end = trio.Event()
        async with AsyncExitStack() as stack:
            if self._database:
                stack.push_async_callback(self._database.aclose)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.presence.run)
                if self._programs:
                    await nursery.start(self._programs.run)
                if self._database:
                    await self._check(self._database)
                await nursery.start(run_lifespans, self._mounted, end)
                try:
                    yield
                finally:
                    end.set()
                    nursery.cancel_scope.cancel()

    def _gateways(self, capsule: Capsule) -> Iterator[tuple[str, Handler]]:
        if not capsule.cgi and not capsule.scgi:
            return
        from pad19.routes.cgi.environment import Gateway
        from pad19.routes.cgi.handler import CGI  # few have them, and start time counts
        from pad19.routes.cgi.process import Limits, Programs
        from pad19.routes.cgi.scgi import SCGI

        limits = self._config.cgi
        gateway = Gateway(capsule.content, capsule.client_hash)
        if self._programs is None:
            allowed = Limits(limits.programs, limits.timeout_s, limits.cpu_s, limits.memory)
            self._programs = Programs(allowed, limits.environment)
        for prefix, folder in capsule.cgi.items():
            cgi = CGI(prefix, folder, gateway, self._programs)
            yield prefix, cgi.rehearse if self._is_rehearsal else self._attended(cgi)
        for prefix, listen in capsule.scgi.items():
            backend = listen.path or (listen.host, listen.port)
            handler = SCGI(prefix, backend, gateway, timeout=limits.timeout_s)
            yield prefix, self._attended(handler)

    def _proxies(self, capsule: Capsule) -> Iterator[tuple[str, Handler]]:
        if not capsule.proxies:
            return
        from pad19.dispatch.proxying.paths import ProxyPaths
        from pad19.dispatch.proxying.proxy import Proxy
        from pad19.dispatch.proxying.upstream import Pinned, Remembered, Timeouts, Upstream
        from pad19.tls.certificate import CertificateError, load
        from pad19.tls.known_hosts import KnownHosts

        remembered = Remembered(KnownHosts(self._config.server.state / KNOWN_HOSTS))
        for proxy in capsule.proxies:
            try:
                credentials = load(proxy.certificate, proxy.key) if proxy.certificate and proxy.key else None
            except CertificateError as error:
                from .makeshift import closed

                self.fails((str(error),))
                yield proxy.path, closed
                continue
            upstream = Upstream(
                proxy.to,
                Pinned(proxy.pin) if proxy.pin else remembered,
                Timeouts(proxy.connect_s, proxy.header_s, proxy.stall_s),
                credentials=credentials,
            )
            handler = Proxy(
                ProxyPaths(proxy.path, proxy.to, keep_host=proxy.host == "keep"),
                upstream,
                connections=proxy.connections,
                trust_eof=proxy.trust_eof,
                introduces=proxy.proxy_protocol,
            )
            yield proxy.path, self._attended(handler)

    def _attended(self, handler: Handler) -> Handler:
        """Cancelled when the client leaves; in a rehearsal, an empty page."""
        return _empty if self._is_rehearsal else Attended(handler, self.presence)

    def _routes(self, files: StaticFiles, inner: Handler, capsule: Capsule) -> Handler:
        from pad19.content.by_path import server_of
        from pad19.routes import error_page
        from pad19.routes.loading.loader import Loaded, LoadError, OnBroken, load
        from pad19.routes.loading.overlooked import overlooked
        from pad19.routes.mounting import Mounted

        from .workbench import Instead, Workbench

        if capsule.routes:
            self.files |= signatures(code(capsule.routes)[0])
        self._packages += 1
        package = f"capsule_{self._packages}"

        def read(on_broken: OnBroken | None = None) -> Loaded:
            loaded = load(capsule.routes, capsule.mount, package=package, on_broken=on_broken)
            for problem in overlooked(capsule.routes, loaded.files) if capsule.routes else ():
                self._warn(capsule, problem)
            return loaded

        mount = partial(
            Mounted,
            inner=inner,
            settings=capsule.settings,
            store=self._namespace(capsule.hosts[0]),
            content=capsule.content,
            state=self._config.server.state / ROUTES / capsule.hosts[0],
            serve_file=server_of(files, capsule.content),
            threads=self._threads,
            lang=capsule.lang,
            on_error=error_page.answer if self._is_development else None,
            attend=self.presence.attend,
        )
        mounted: Mounted | Workbench
        if self._is_development:
            mounted = Workbench(read, mount)
        elif self.stands_in or self._is_rehearsal:
            from . import makeshift

            instead = Instead(lambda _: lambda _: makeshift.CLOSED, lambda module: self.fails((str(module),)))
            mounted = Workbench(read, mount, instead)
        else:
            try:
                mounted = mount(read().routes)
            except LoadError as error:
                raise ConfigError(error.problems) from None
        if mounted.takes_uploads and capsule.titan is None:
            self._warn(capsule, "uploads to its routes are refused; to take them, write [capsule.titan]")
        if self._is_rehearsal:
            return _Rehearsed(mounted)
        self._mounted.append(mounted)
        return mounted

    async def _check(self, database: "Database") -> None:
        from pad19.store.interface import StoreError

        try:
            await database.check()
        except StoreError as error:
            self.fails((str(error),))

    def fails(self, problems: Iterable[str]) -> None:
        """Something cannot be used.

        Raises:
            ConfigError: And that is a reason not to serve.
        """
        if self._is_rehearsal:
            self.problems += problems
        elif self.stands_in:
            from .makeshift import told

            self.problems += map(told, problems)
        else:
            raise ConfigError(tuple(problems)) from None

    def _warn(self, capsule: Capsule, problem: str) -> None:
        if self.warns:
            LOGGER.warning("%s: %s", capsule.hosts[0], problem)

    def _namespace(self, name: str) -> "SQLiteStore":
        from pad19.store.database import Database
        from pad19.store.sqlite import SQLiteStore

        if self._database is None:
            self._database = Database(self._config.server.state / STORE, time.time)
        return SQLiteStore(self._database).namespace(name)


class _Rehearsed:
    """Routes that do not answer, in front of files that do."""

    def __init__(self, mounted: "Mounted | Workbench") -> None:
        self._mounted = mounted

    async def __call__(self, request: Request) -> Response:
        return await (_empty if self._mounted.matches(request) else self._mounted)(request)


async def _empty(_request: Request) -> Response:
    return Success(b"", "text/plain")
