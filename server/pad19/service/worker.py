"""A worker: one validated configuration, served until it is told to stop.

It never changes its mind. What can fail for the operator (certificates, folders) fails in
`Site.build`, before the first connection is taken.
"""

import gc
import logging
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

import trio

from pad19.dispatch.connection import Connections, Deadlines
from pad19.dispatch.forwarded import ForwardedListener, Forwarders
from pad19.dispatch.limits.admission import Admission
from pad19.dispatch.limits.shared_counts import SharedCounts
from pad19.dispatch.listener import Listener
from pad19.dispatch.record import Record
from pad19.dispatch.router import Handler, Router
from pad19.protocol.address import is_address
from pad19.tls.certificate import CertificateError, Credentials, load
from pad19.tls.certificate_folder import files
from pad19.tls.context import Contexts
from pad19.tls.making import load_or_make

from .config.capsule import Capsule
from .config.hosts import default_host
from .config.model import Config, ConfigError
from .config.routes_folder import problem_beside_file
from .descriptors import make_room
from .handlers import handler_for
from .logs.access_log import formatter
from .logs.writer import LogWriter
from .mounting import Backends
from .sockets import Bound
from .uploads import state_problem

LOGGER = logging.getLogger("pad19.service")

# Requests leave no cycles behind, so the collector finds nothing and may look more rarely.
_COLLECT_EVERY = (10_000, 50, 100)


@dataclass(frozen=True, slots=True)
class Site:
    """Everything that is served: a handler and credentials for every host."""

    handlers: dict[str, Handler]
    credentials: dict[str, Credentials]  # the first are for clients that name no host
    made: frozenset[str]  # hosts whose certificate is new
    backends: Backends
    uploads: frozenset[str] = frozenset()  # hosts that take them

    @classmethod
    def build(
        cls,
        config: Config,
        backends: Backends | None = None,
        kept: Mapping[str, Credentials] | None = None,
        known: Collection[str] = (),
    ) -> Self:
        """Load routes and certificates, and where there are none make certificates. Blocks.

        ``kept``: certificates by host that were loaded before, and need not be again. ``known``: files that
        visitors have seen the certificates of, which are not made anew.

        Raises:
            ConfigError: Certificates that cannot be used or made, routes that cannot be loaded, no place for
                the locks of uploads; all of them together.
        """
        backends = backends or Backends(config)
        handlers: dict[str, Handler] = {}
        credentials: dict[str, Credentials] = {}
        made: set[str] = set()
        problems: list[str] = []
        try:
            if problem := state_problem(config):
                backends.fails((problem,))
        except ConfigError as error:
            problems += error.problems
        if backends.warns and (warning := problem_beside_file(config)):
            LOGGER.warning("%s", warning)
        for capsule in config.capsules:
            try:
                handlers |= dict.fromkeys(capsule.hosts, handler_for(capsule, backends))
            except ConfigError as error:
                problems += error.problems
        pairs = [(host, capsule) for capsule in config.capsules for host in capsule.hosts]
        default = default_host([host for host, _ in pairs])
        pairs.sort(key=lambda pair: pair[0] != default)  # what comes first is for clients without SNI
        for host, capsule in pairs:
            if shares_default(capsule, host, default):
                if default in credentials:
                    credentials[host] = credentials[default]
                    made |= {host} if default in made else set()
                continue
            if kept and host in kept:
                credentials[host] = kept[host]
                continue
            try:
                credentials[host], new = _credentials(capsule, host, config, known)
            except CertificateError as error:
                problems.append(str(error))
                continue
            if new:
                made.add(host)
            for warning in credentials[host].warnings if backends.warns else ():
                LOGGER.warning("%s", warning)
        if problems:
            raise ConfigError(tuple(dict.fromkeys(problems)))
        uploads = frozenset(host for capsule in config.capsules if capsule.titan for host in capsule.hosts)
        return cls(handlers, credentials, frozenset(made), backends, uploads)


def certificate_files(config: Config) -> set[Path]:
    """What `Site.build` reads."""
    pairs = [
        (capsule.certificate, capsule.key)
        if capsule.certificate is not None and capsule.key is not None
        else files(host, config.server.certs)
        for capsule in config.capsules
        for host in capsule.hosts
    ]
    return {path for pair in pairs for path in pair}


def shares_default(capsule: Capsule, host: str, default: str) -> bool:
    """Whether a host is shown with the default's certificate: no client would ever see another one."""
    return host != default and is_address(host) and capsule.certificate is None


def _credentials(
    capsule: Capsule, host: str, config: Config, known: Collection[str]
) -> tuple[Credentials, bool]:
    if capsule.certificate is not None and capsule.key is not None:
        return load(capsule.certificate, capsule.key, host=host, elsewhere=True), False
    pair = certificate, key = files(host, config.server.certs)
    if os.fspath(certificate) in known and not any(map(os.path.lexists, pair)):
        # A folder that is not mounted, or is being restored. Visitors trust the key that was there.
        raise CertificateError(
            f"{certificate} and {key.name} are missing: put them back, or restart pad19 to make others"
        )
    return load_or_make(host, config.server.certs)


def admission_for(config: Config, shared: SharedCounts | None = None) -> Admission:
    """What the limits allow, together with the other workers if they are shared."""
    limits = config.limits
    return Admission(limits.connections, limits.per_address, rate=limits.rate, shared=shared)


async def serve(
    config: Config,
    site: Site,
    sockets: Sequence[Bound],
    log: LogWriter,
    stop: trio.Event,
    stop_now: trio.Event | None = None,
    *,
    admission: Admission | None = None,
    count: Callable[[Record], None] | None = None,
    line: Callable[[Record], str] | None = None,
    closed: Callable[[], None] = lambda: None,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Serve until ``stop``, then finish what runs within the grace period; owns the sockets and the log.

    ``stop_now`` ends it at once. ``ready`` is called when connections are being taken, ``count`` for
    each one that has ended. ``line`` writes the access log, in place of what is configured.
    ``closed`` is called when no more connections are taken.
    """
    limits = config.limits
    admission = admission or admission_for(config)
    line = line or formatter(config.log.format, config.log.addresses)

    def record(entry: Record) -> None:
        log.write(line(entry))
        if count:
            count(entry)

    listeners, timed = _listeners(config, site, sockets, admission, record)
    make_room(limits.connections)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_EVERY)
    async with log, trio.open_nursery() as background, site.backends.living():
        background.start_soon(log.run)
        for connections in timed:
            background.start_soon(connections.keep_time)
        async with trio.open_nursery() as running:
            if stop_now is not None:
                background.start_soon(_cancel_on, stop_now, running.cancel_scope)
            try:
                async with trio.open_nursery() as accepting:
                    for listener in listeners:
                        accepting.start_soon(listener.run, running)
                    ready()
                    await stop.wait()
                    accepting.cancel_scope.cancel()
            finally:
                for listener, bound in zip(listeners, sockets, strict=True):
                    listener.take_rest(running)
                    bound.close()
                closed()
            if admission.total:
                LOGGER.info(
                    "stopping: open connections (%d) have %g s to finish", admission.total, limits.grace_s
                )
            running.cancel_scope.deadline = trio.current_time() + limits.grace_s
        background.cancel_scope.cancel()


def _listeners(
    config: Config,
    site: Site,
    sockets: Sequence[Bound],
    admission: Admission,
    record: Callable[[Record], None],
) -> tuple[list[Listener], tuple[Connections, ...]]:
    """One for each socket, and whose `Connections.keep_time` must run meanwhile."""
    limits = config.limits
    connect = partial(
        Connections,
        Contexts(site.credentials),
        Router(site.handlers, site.uploads),
        admission,
        Deadlines(limits.handshake_s, limits.request_s, limits.upload_s),
    )
    connections = connect(record, site.backends.presence)
    checks = connect(lambda _: None, trusted=True)  # of forwarders, every two seconds
    check_port = config.server.check_port

    def listener_for(bound: Bound) -> Listener:
        if bound.forwarder:
            forwarders = Forwarders(bound.forwarder.networks, limits.handshake_s)
            return ForwardedListener(
                bound.socket,
                connections,
                checks,
                admission,
                forwarders,
                record,
                check_port=check_port,
                stall=limits.stall_s,
            )
        port = bound.listen.port if check_port and bound.listen.path is None else None
        return Listener(bound.socket, connections, admission, port=port, stall=limits.stall_s)

    return [listener_for(bound) for bound in sockets], (connections, checks)


async def _cancel_on(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()
