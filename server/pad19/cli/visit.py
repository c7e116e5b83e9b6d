"""Fetching as ``pad19 get`` does it: ask, follow, answer, show.

Every failure is a click exception, of one sentence. Standard output belongs to the body; all that is
said goes to standard error.
"""

import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import IO
from urllib.parse import quote

import click
import trio

from pad19.protocol.request import DEFAULT_PORT
from pad19.protocol.response_reader import BadHeader, Header
from pad19.protocol.uri import URI, InvalidURI, parse, resolve
from pad19.tls.certificate import Credentials
from pad19.tls.client import ConnectFailed, Connection, connect, reason
from pad19.tls.context import client_context
from pad19.tls.errors import Truncated
from pad19.tls.known_hosts import KeyChanged, KnownHosts, KnownHostsError

from .output import Output
from .typed_uri import requestable

MAX_REDIRECTS = 5  # in a row (network specification, section "Redirection")
MAX_NAMES = 8  # of a certificate that are shown


@dataclass(slots=True, kw_only=True)
class Visit:
    """One URI and where it leads.

    ``credentials`` and ``via`` (HOST, PORT or the URI's) are for the host and port of ``start`` only.
    """

    start: URI = field(kw_only=False)
    credentials: Credentials | None
    redirects: bool
    via: tuple[str, int | None] | None
    timeout: float  # seconds
    known_hosts: KnownHosts
    trust: bool
    verbose: bool
    _said: set[str] = field(default_factory=set, init=False)

    async def run(self) -> None:
        """Show the header of every answer, and the body of the last.

        Raises:
            click.exceptions.Exit: The last answer was not 2x.
            click.ClickException: There was none, or not all of it.
        """
        uri, redirects = self.start, 0
        while True:
            header = await self.exchange(str(uri), at=uri)
            match header.status // 10:
                case 2:
                    return
                case 1:
                    uri, redirects = _answered(uri, header), 0
                case 3 if self.redirects:
                    if redirects == MAX_REDIRECTS:
                        raise click.ClickException(f"there are more than {MAX_REDIRECTS} redirects in a row")
                    uri, redirects = self._redirected(uri, header.meta), redirects + 1
                case _:
                    raise click.exceptions.Exit(1)

    async def exchange(
        self,
        line: str,
        upload: AsyncGenerator[bytes, None] | None = None,
        *,
        at: URI | None = None,
        into: IO[bytes] | None = None,
    ) -> Header:
        """One request: show the header of its answer, and the body if that is 2x.

        ``upload``: what is sent behind the line. ``at``: whose server is asked, if not that of the start.
        ``into``: takes the body instead of standard output.

        Raises:
            click.ClickException: There was no answer, or not all of it.
        """
        at = at or self.start
        host, port = at.host or "", at.port or DEFAULT_PORT
        name = f"{host}:{port}"
        ours = self._is_start(at)
        context = client_context(self.credentials if ours else None)
        via = (self.via[0], self.via[1] or port) if ours and self.via else None
        begin = trio.current_time()
        deadline = begin + self.timeout
        try:
            with _until(deadline, f"{name} did not accept a TLS connection within {self.timeout:g} s"):
                connection = await connect(host, port, context, via=via)
            async with connection:
                self._look_at(connection, host, name)
                with _until(deadline, f"{name} sent no header within {self.timeout:g} s") as scope:
                    if upload is None:
                        header = await connection.ask(line)
                    else:
                        header = await connection.upload(line, self._unhurried(upload, scope))
                self._tell("header", f"after {_milliseconds(trio.current_time() - begin)}")
                click.echo(str(header), err=True)
                if header.status // 10 == 2:
                    await self._show(connection, header, name, into)
        except ConnectFailed as error:
            raise click.ClickException(str(error)) from error
        except BadHeader as error:
            raise click.ClickException(f"{name} gave no valid answer: {error}") from error
        except trio.BrokenResourceError as error:
            raise click.ClickException(f"{name} broke off the connection ({reason(error)})") from error
        return header

    def _is_start(self, uri: URI) -> bool:
        start = self.start
        return (uri.host, uri.port or DEFAULT_PORT) == (start.host, start.port or DEFAULT_PORT)

    def _look_at(self, connection: Connection, host: str, name: str) -> None:
        """Describe the server's certificate, warn about it, and compare its key."""
        server, now = connection.server, datetime.now(UTC)
        took = _milliseconds(connection.connect_seconds)
        self._tell("connected", f"to {connection.address} in {took}")
        took = _milliseconds(connection.handshake_seconds)
        self._tell("handshake", f"{connection.stream.version} {connection.cipher} in {took}")
        self._tell("certificate", server.fingerprint)
        self._tell("public key", server.key_fingerprint)
        self._tell("valid", f"{server.not_before:%Y-%m-%d} to {server.not_after:%Y-%m-%d}")
        names = _enumerated(connection.names)
        self._tell("names", names)
        if problem := server.problem(now):
            self._say(f"Warning: {name}: {problem}")
        if not connection.covers(host):
            self._say(f"Warning: {name}: this certificate is for {names}")
        try:
            notes = self.known_hosts.check(name, server, now, trust=self.trust)
        except KeyChanged as error:
            mend = "if you know that the key was changed, accept the new one with --trust"
            raise click.ClickException(f"{error}; {mend}") from error
        except KnownHostsError as error:
            raise click.ClickException(f"{error}; name another one with --known-hosts") from error
        for note in notes:
            self._say(note)

    async def _unhurried(
        self, upload: AsyncGenerator[bytes, None], scope: trio.CancelScope
    ) -> AsyncGenerator[bytes, None]:
        """The same chunks, each of which takes no longer than the timeout to be sent."""
        async with aclosing(upload):
            async for chunk in upload:
                scope.deadline = trio.current_time() + self.timeout
                yield chunk
        scope.deadline = trio.current_time() + self.timeout

    async def _show(self, connection: Connection, header: Header, name: str, into: IO[bytes] | None) -> None:
        output = _Into(into) if into else Output(header.meta)
        begin, size = trio.current_time(), 0
        try:
            while data := await self._read(connection, name):
                output.write(data)
                size += len(data)
        finally:
            output.finish()
        self._tell("body", f"{size} bytes in {_milliseconds(trio.current_time() - begin)}")

    async def _read(self, connection: Connection, name: str) -> bytes:
        incomplete = "the body may be incomplete"
        pause = f"{name} sent nothing for {self.timeout:g} s: {incomplete}"
        try:
            with _until(trio.current_time() + self.timeout, pause):
                return await connection.read()
        except Truncated as error:
            raise click.ClickException(f"{name} closed without close_notify: {incomplete}") from error
        except trio.BrokenResourceError as error:
            raise click.ClickException(
                f"{name} broke off the connection ({reason(error)}): {incomplete}"
            ) from error

    def _redirected(self, uri: URI, target: str) -> URI:
        try:
            # Not with the old query: a reference without path and query would inherit it.
            to = resolve(replace(uri, query=None), parse(target))
            if to.scheme != uri.scheme:
                raise click.ClickException(f"the redirect leads to another scheme, {to.scheme}: not followed")
            to = requestable(to)
        except InvalidURI as error:
            raise click.ClickException(f"the redirect cannot be followed: {error}") from error
        if self.credentials is not None and not self._is_start(to):
            self._say(f"The client certificate is not sent to {to.host}:{to.port or DEFAULT_PORT}")
        return to

    def _tell(self, label: str, value: str) -> None:
        if self.verbose:
            click.echo(f"  {label:<11}  {value}", err=True)

    def _say(self, sentence: str) -> None:
        """Say it once, however many redirects lead to the same server."""
        if sentence not in self._said:
            self._said.add(sentence)
            click.echo(sentence, err=True)


@dataclass(frozen=True, slots=True)
class _Into:
    """As `Output`, for a file."""

    file: IO[bytes]

    def write(self, data: bytes) -> None:
        self.file.write(data)

    def finish(self) -> None:
        """Nothing waits for more."""


@contextmanager
def _until(deadline: float, otherwise: str) -> Iterator[trio.CancelScope]:
    try:
        with trio.fail_at(deadline) as scope:
            yield scope
    except trio.TooSlowError as error:
        raise click.ClickException(otherwise) from error


def _answered(uri: URI, header: Header) -> URI:
    """The same URI with what the user answers as its query."""
    if not all(stream and stream.isatty() for stream in (sys.stdin, sys.stderr)):
        raise click.ClickException("an answer is asked for; append it to the URL, behind a question mark")
    if header.status == 11:
        answer = click.prompt("", "", prompt_suffix="> ", hide_input=True, show_default=False, err=True)
    else:
        # Not click.prompt(): it may write to standard output, into the body.
        click.echo("> ", nl=False, err=True)
        line = sys.stdin.buffer.readline()
        if not line:
            raise click.Abort
        answer = line.decode(sys.stdin.encoding, "surrogateescape").rstrip("\r\n")
    try:
        return requestable(replace(uri, query=quote(answer, safe="", errors="surrogateescape")))
    except InvalidURI as error:
        raise click.ClickException(f"this answer cannot be sent: {error}") from error


def _enumerated(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return (", ".join(names[:MAX_NAMES]) or "no host at all") + more


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"
