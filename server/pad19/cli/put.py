"""``pad19 put``: upload a file, or delete one, by Titan."""

import os
import shutil
import stat
import sys
import tempfile
from contextlib import ExitStack
from typing import IO

import click

from pad19.cli import CONTEXT

from .delivery import Delivery, target_of, token_option
from .visiting import Flags, run, visiting


@click.command(context_settings=CONTEXT)
@click.argument("what", nargs=-1, required=True, metavar="FILE URL")
@click.option("--mime", metavar="TYPE", help="The type; otherwise it is guessed by the name.")
@token_option
@click.option("--delete", is_flag=True, help="Delete what is at URL; there is no FILE then.")
@visiting()
def put(what: tuple[str, ...], mime: str | None, token: str | None, delete: bool, flags: Flags) -> None:
    """Upload FILE to URL by Titan.

    FILE may be - for standard input. URL may begin with titan://, with gemini://, or with the host.

    The exit status is 0 if the server took it, which is an answer of 2x, or a redirect to a gemini:// page; 1
    for all else, and 2 for a wrong command line. A redirect to another place for uploads is not followed.
    """
    if len(what) != 2 - delete:
        raise click.UsageError("--delete takes a URL alone." if delete else "name a FILE and a URL.")
    target = target_of(what[-1])
    delivery = Delivery(flags.visit(target), target, token)
    if delete:
        run(delivery.delete)
        return
    with ExitStack() as held:
        file, size = _open(held, *what)
        if not size:
            raise click.ClickException(
                "there is nothing in it, which would delete the page; say --delete for that"
            )
        name = target.path if what[0] == "-" else what[0]
        run(lambda: delivery.send(file, size, mime or delivery.guess(name)))


def _open(held: ExitStack, name: str, url: str) -> tuple[IO[bytes], int]:
    """The file and its size, which has to be told first: what has none is copied."""
    if name == "-" and sys.stdin is None:  # `<&-`
        raise click.ClickException("standard input is closed; name a file")
    try:
        file = sys.stdin.buffer if name == "-" else held.enter_context(open(name, "rb"))  # noqa: SIM115 - it is
        if name != "-" and stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return file, os.fstat(file.fileno()).st_size
        copy = held.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - likewise
        shutil.copyfileobj(file, copy)
        size = copy.tell()
        copy.seek(0)
    except OSError as error:
        shown = "standard input" if name == "-" else name
        if isinstance(error, FileNotFoundError) and os.path.exists(url):  # noqa: PTH110 - Path's fails for long ones
            raise click.UsageError("the FILE comes first, and then the URL.") from error
        raise click.ClickException(
            f"{shown} cannot be read ({error.strerror}); mend that, or name another file"
        ) from error
    return copy, size
