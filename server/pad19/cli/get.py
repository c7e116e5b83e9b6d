"""``pad19 get``: what is on the command line. What is done with it is in `visit`."""

import math
from pathlib import Path

import click

from pad19.cli import CONTEXT
from pad19.protocol.uri import URI, InvalidURI, parse

from .typed_uri import complete


@click.command(context_settings=CONTEXT)
@click.argument("uri", metavar="URL")
@click.option(
    "--cert",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A client certificate (PEM), for the URL's own host and port only.",
)
@click.option(
    "--key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Its key; without this, the key is in the same file, or beside it with the ending .key.",
)
@click.option("--redirect/--no-redirect", default=True, help="Follow redirects, up to five.  [default: yes]")
@click.option(
    "--connect",
    metavar="HOST[:PORT]",
    help="Connect there in place of the URL's host: for hosts that are not in the DNS yet.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=30,
    show_default=True,
    metavar="SECONDS",
    help="How long the header may take, and each pause in the body.",
)
@click.option("--trust", is_flag=True, help="Accept a changed public key of the server, and remember it.")
@click.option(
    "--known-hosts",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where the public keys of servers are remembered, in place of your own file.",
)
@click.option("-v", "--verbose", is_flag=True, help="Show the connection, the certificate and timings.")
def get(
    uri: str,
    cert: Path | None,
    key: Path | None,
    redirect: bool,
    connect: str | None,
    timeout: float,
    trust: bool,
    known_hosts: Path | None,
    verbose: bool,
) -> None:
    """Fetch URL: its header goes to standard error, its body to standard output.

    The scheme can be left out, and characters that a URL cannot hold are encoded. The public key of
    a server is remembered on the first visit; a server with another one is refused until the
    certificate of the first has expired.

    The exit status is 0 for a complete answer of status 2x, 1 for all else, and 2 for a wrong command line.
    """
    if key is not None and cert is None:
        raise click.UsageError("--key goes with --cert.")
    if math.isnan(timeout):  # which is in every range, as comparisons go
        raise click.BadParameter("it is not a number.", param_hint="--timeout")
    try:
        target = complete(uri)
    except InvalidURI as error:
        raise click.BadParameter(f"{error}.", param_hint="URL") from error
    via = _host_and_port(connect) if connect is not None else None

    import trio

    from pad19.tls.certificate import CertificateError, load
    from pad19.tls.known_hosts import KnownHosts, KnownHostsError

    from .known_hosts import default_path
    from .visit import Visit

    try:
        credentials = load(cert, key or _key_of(cert)) if cert is not None else None
        path = known_hosts or default_path()
    except CertificateError as error:
        raise click.BadParameter(f"{error}.", param_hint="--cert") from error
    except KnownHostsError as error:
        raise click.UsageError(f"{error}.") from error
    visit = Visit(
        target,
        credentials=credentials,
        redirects=redirect,
        via=via,
        timeout=timeout,
        known_hosts=KnownHosts(path),
        trust=trust,
        verbose=verbose,
    )
    try:
        trio.run(visit.run)
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
