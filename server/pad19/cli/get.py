"""``pad19 get``: what is on the command line. What is done with it is in `visit`."""

import click

from pad19.cli import CONTEXT
from pad19.protocol.uri import InvalidURI

from .typed_uri import complete
from .visiting import Flags, run, visiting


@click.command(context_settings=CONTEXT)
@click.argument("uri", metavar="URL")
@visiting(
    click.option(
        "--redirect/--no-redirect", default=True, help="Follow redirects, up to five.  [default: yes]"
    )
)
def get(uri: str, redirect: bool, flags: Flags) -> None:
    """Fetch URL: its header goes to standard error, its body to standard output.

    The scheme can be left out, and characters that a URL cannot hold are encoded. The public key of
    a server is remembered on the first visit; a server with another one is refused until the
    certificate of the first has expired.

    The exit status is 0 for a complete answer of status 2x, 1 for all else, and 2 for a wrong command line.
    """
    try:
        target = complete(uri)
    except InvalidURI as error:
        raise click.BadParameter(f"{error}.", param_hint="URL") from error
    run(flags.visit(target, redirects=redirect).run)
