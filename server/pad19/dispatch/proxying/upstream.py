"""Another Gemini server, as one of its clients sees it: reach it, know it by its certificate, ask."""

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import trio

from pad19.protocol.client import Identity
from pad19.protocol.request import DEFAULT_PORT
from pad19.protocol.response_reader import BadHeader, Header
from pad19.protocol.uri import URI
from pad19.tls.certificate import Credentials
from pad19.tls.client import ConnectFailed, Connection, connect, reason
from pad19.tls.context import client_context
from pad19.tls.known_hosts import KeyChanged, KnownHosts, KnownHostsError

LOGGER = logging.getLogger("pad19.proxy")

# Seconds that the end may take behind a header without a body. Nobody needs it; but what comes in its
# place shows that the upstream and we do not mean the same.
LINGER = 1.0


class UpstreamFailed(Exception):
    """The upstream failed. The message is a sentence for the log that names it."""

    errormsg = "the server behind this page failed"  # all that the visitor learns


class TookTooLong(UpstreamFailed):
    """The upstream let a deadline pass."""

    errormsg = "the server behind this page took too long"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds that an upstream may take."""

    connect: float  # until TLS is established
    header: float  # from the request to the whole header
    stall: float  # for each pause in the body


class Trust(Protocol):
    """What decides whether a server is the one that it should be."""

    async def check(self, name: str, server: Identity) -> None:
        """Look at the certificate of ``name``, which is ``host:port``.

        Raises:
            UpstreamFailed: It is another server's.
        """


class Pinned:
    """Any of these fingerprints, of the certificate or of its public key, in the form of `Identity`."""

    def __init__(self, fingerprints: Collection[str]) -> None:
        self._fingerprints = frozenset(fingerprints)

    async def check(self, name: str, server: Identity) -> None:
        """As `Trust` says."""
        if self._fingerprints.isdisjoint({server.fingerprint, server.key_fingerprint}):
            expected = " or ".join(sorted(self._fingerprints))
            raise UpstreamFailed(
                f"{name} has the certificate {server.fingerprint} with the public key "
                f"{server.key_fingerprint}, but {expected} is expected: this may be another server"
            )


class Remembered:
    """The public key of the first time (TOFU), until the certificate expires in which it came."""

    def __init__(self, known_hosts: KnownHosts) -> None:
        self._known_hosts = known_hosts
        self._accepted: dict[str, str] = {}  # fingerprints by name: not worth another look into the file

    async def check(self, name: str, server: Identity) -> None:
        """As `Trust` says. A key that cannot be written down is refused: any other would do as well."""
        if self._accepted.get(name) == server.fingerprint:
            return

        def look() -> list[str]:
            return self._known_hosts.check(name, server, datetime.now(UTC), must_remember=True)

        try:
            notes = await trio.to_thread.run_sync(look, abandon_on_cancel=True)
        except (KeyChanged, KnownHostsError) as error:
            raise UpstreamFailed(str(error)) from error
        for note in notes:
            LOGGER.warning("%s", note)
        self._accepted[name] = server.fingerprint


class Upstream:
    """The server that a URI leads to. ``credentials``: our own client certificate for it."""

    def __init__(
        self,
        to: URI,
        trust: Trust,
        timeouts: Timeouts,
        *,
        credentials: Credentials | None = None,
    ) -> None:
        self._place = (to.host or "", to.port or DEFAULT_PORT)
        self.name = "{}:{}".format(*self._place)
        self.timeouts = timeouts
        self._trust = trust
        self._context = client_context(credentials)

    async def ask(self, uri: URI, preface: bytes = b"") -> tuple[Connection, Header]:
        """Send one request, to this server whatever its URI says; the SNI names the host of the URI.

        ``preface``: see `connect`. The caller closes the connection. It holds the body, if there is one.

        Raises:
            UpstreamFailed: There is no valid answer, and nothing is left open.
        """
        host, port = self._place
        name, timeouts = self.name, self.timeouts
        connection = None
        try:
            with _within(timeouts.connect, f"{name} did not accept a TLS connection"):
                connection = await connect(
                    uri.host or host, port, self._context, via=self._place, preface=preface
                )
                await self._trust.check(name, connection.server)
            with _within(timeouts.header, f"{name} sent no header"):
                header = await connection.ask(str(uri))
            if header.status // 10 != 2:
                await self._expect_end(connection)
        except BaseException as error:
            if connection is not None:
                await connection.stream.abort()
            if isinstance(error, ConnectFailed):
                raise UpstreamFailed(str(error)) from error
            if isinstance(error, BadHeader):
                raise UpstreamFailed(f"{name} gave no valid answer: {error}") from error
            if isinstance(error, trio.BrokenResourceError):
                raise UpstreamFailed(f"{name} broke off the connection ({reason(error)})") from error
            raise
        return connection, header

    async def _expect_end(self, connection: Connection) -> None:
        more = b""
        with trio.move_on_after(LINGER):
            try:
                more = await connection.read()
            except trio.BrokenResourceError:
                return  # no end for a body, but there is none to miss
        if more:
            raise UpstreamFailed(
                f"{self.name} gave no valid answer: something follows a header without a body"
            )


@contextmanager
def _within(seconds: float, otherwise: str) -> Iterator[None]:
    try:
        with trio.fail_after(seconds):
            yield
    except trio.TooSlowError as error:
        raise TookTooLong(f"{otherwise} within {seconds:g} s") from error
