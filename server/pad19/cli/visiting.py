"""What the commands that talk to servers have in common: flags, and the `Visit` that follows from them."""

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pad19.cli.options import PATH, Mistake
from pad19.protocol.uri import URI, InvalidURI, parse
from pad19.service.user_data import NoHomeFolder, user_data

if TYPE_CHECKING:
    from .visit import Visit

T = TypeVar("T")

_IDENTITY = [
    click.option(
        "--cert",
        type=PATH,
        metavar="FILE",
        help="A client certificate (PEM), for the URL's own host and port only.",
    ),
    click.option(
        "--key",
        type=PATH,
        metavar="FILE",
        help="Its key; without this, the key is in the same file, or beside it with the ending .key.",
    ),
]
_CONNECTION = [
    click.option(
        "--connect",
        metavar="HOST[:PORT]",
        help="Connect there in place of the URL's host: for hosts that are not in the DNS yet.",
    ),
    click.option(
        "--timeout",
        type=click.FloatRange(0, min_open=True),
        default=30,
        show_default=True,
        metavar="SECONDS",
        help="How long the header may take, and each pause in the body.",
    ),
    click.option("--trust", is_flag=True, help="Accept a changed public key of the server, and remember it."),
    click.option(
        "--known-hosts",
        type=PATH,
        metavar="FILE",
        help="Where the public keys of servers are remembered, in place of your own file.",
    ),
    click.option("-v", "--verbose", is_flag=True, help="Show the connection, the certificate and timings."),
]


@dataclass(frozen=True, slots=True)
class Flags:
    """What was given."""

    cert: Path | None
    key: Path | None
    connect: str | None
    timeout: float
    trust: bool
    known_hosts: Path | None
    verbose: bool

    def visit(self, target: URI, *, redirects: bool = False) -> "Visit":
        """The visit that they make of a URI.

        Raises:
            click.UsageError: They are wrong.
            Mistake: The certificate is.
        """
        if self.key is not None and self.cert is None:
            raise click.UsageError("--key goes with --cert.")
        if math.isnan(self.timeout):  # which is in every range, as comparisons go
            raise click.BadParameter("it is not a number.", param_hint="--timeout")
        via = _host_and_port(self.connect) if self.connect is not None else None

        from pad19.tls.certificate import CertificateError, load
        from pad19.tls.known_hosts import KnownHosts

        from .visit import Visit

        try:
            credentials = load(self.cert, self.key or _key_of(self.cert)) if self.cert is not None else None
            known_hosts = KnownHosts(self.known_hosts or user_data() / "known_hosts")
        except CertificateError as error:
            raise Mistake(f"--cert: {error}") from error
        except NoHomeFolder as error:
            raise click.UsageError("You have no home folder; name a file with --known-hosts.") from error
        return Visit(
            target,
            credentials=credentials,
            redirects=redirects,
            via=via,
            timeout=self.timeout,
            known_hosts=known_hosts,
            trust=self.trust,
            verbose=self.verbose,
        )


def visiting(*between: Callable[[Any], Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the flags, with others in the middle of them; the function gets them as its ``flags``."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        def command(**arguments: Any) -> Any:
            given = {name: arguments.pop(name) for name in Flags.__dataclass_fields__}
            return function(flags=Flags(**given), **arguments)

        command.__name__, command.__doc__ = function.__name__, function.__doc__
        for option in reversed([*_IDENTITY, *between, *_CONNECTION]):
            command = option(command)
        # Those that were declared below this one.
        command.__click_params__ += getattr(function, "__click_params__", [])  # type: ignore[attr-defined]  # click's own
        return command

    return decorate


def run(function: Callable[[], Awaitable[T]]) -> T:
    """Run something that connects, until it is done or Ctrl-C ends it."""
    import trio

    try:
        return trio.run(function)
    except BaseExceptionGroup as group:  # around Ctrl-C, while trio tries the addresses of a host
        if group.split(KeyboardInterrupt)[1] is None:
            raise click.Abort from group
        raise


def _host_and_port(text: str) -> tuple[str, int | None]:
    wrong = click.BadParameter(
        "write HOST or HOST:PORT, such as 127.0.0.1:1965 or [::1]:1965.", param_hint="--connect"
    )
    try:
        uri = parse(f"//{text}")
    except InvalidURI as error:
        raise wrong from error
    if uri.host is None or uri != URI(None, None, uri.host, uri.port, "", None, None):
        raise wrong
    return uri.host, uri.port


def _key_of(certificate: Path) -> Path:
    try:
        both = b"PRIVATE KEY-----" in certificate.read_bytes()
    except OSError:
        both = True  # reading it again will say what is wrong
    return certificate if both else certificate.with_suffix(".key")
