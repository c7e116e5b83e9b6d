"""The client's side of Titan: what `put` and `edit` do with a server.

Every failure is a click exception, of one sentence. What is said goes to standard error.
"""

import sys
from collections.abc import AsyncGenerator
from contextlib import ExitStack
from dataclasses import replace
from typing import IO, TYPE_CHECKING

import click

from pad19.content.mimetype import MimeTypes
from pad19.protocol.request import MAX_URI
from pad19.protocol.response_reader import Header
from pad19.protocol.titan import SCHEME, edit_uri_for, uri_for
from pad19.protocol.upload import DEFAULT_MIMETYPE
from pad19.protocol.uri import URI, InvalidURI

from .typed_uri import complete

if TYPE_CHECKING:
    from .visit import Visit

CHUNK = 64 * 1024  # bytes
NOT_FOUND = 51

token_option = click.option(
    "--token",
    envvar="PAD19_TOKEN",
    metavar="TEXT",
    help="A password that the server asks for. Others on this machine can see command lines; the variable "
    "PAD19_TOKEN they cannot.",
)


def target_of(typed: str) -> URI:
    """The titan URI that somebody typed, without parameters.

    Raises:
        click.BadParameter: It is none.
    """
    text = typed.strip()
    if text.lower().startswith(f"{SCHEME}://"):
        text = f"gemini{text[len(SCHEME) :]}"
    try:
        return replace(complete(text), scheme=SCHEME)
    except InvalidURI as error:
        raise click.BadParameter(f"{error}.", param_hint="URL") from error


class Delivery:
    """Uploads to one URI."""

    def __init__(self, visit: "Visit", target: URI, token: str | None) -> None:
        self._visit = visit
        self._target = str(target)
        self._path = target.path
        self._token = token

    @staticmethod
    def guess(name: str) -> str:
        """The type of a file, by the last part of its path."""
        return MimeTypes().of(name.rpartition("/")[2])

    async def send(self, file: IO[bytes], size: int, mimetype: str) -> None:
        """Upload so many bytes of a file.

        Raises:
            click.exceptions.Exit: The server did not take it.
            click.ClickException: It did not answer, or the file cannot be read.
        """
        line = uri_for(self._target, size=size, mimetype=mimetype, token=self._token)
        _finish(await self._visit.exchange(_requestable(line), _chunks(file, size)))

    async def delete(self) -> None:
        """Delete what is there.

        Raises:
            click.exceptions.Exit: The server did not do it.
            click.ClickException: It did not answer.
        """
        _finish(await self._visit.exchange(_requestable(uri_for(self._target, size=0, token=self._token))))

    async def fetch(self, into: IO[bytes]) -> str:
        """The text that is to be edited, which is empty if there is none yet. Returns its type.

        Raises:
            click.exceptions.Exit: The server does not give it away.
            click.ClickException: It did not answer, or what it has is no text.
        """
        header = await self._visit.exchange(_requestable(edit_uri_for(self._target)), into=into)
        if header.status == NOT_FOUND:
            guessed = self.guess(self._path)
            return guessed if guessed.startswith("text/") else DEFAULT_MIMETYPE
        if header.status // 10 != 2:
            raise click.exceptions.Exit(1)
        mimetype = header.meta.partition(";")[0].strip()
        if not mimetype.lower().startswith("text/"):
            raise click.ClickException(f"this is {mimetype}, which is no text")
        return mimetype


def _requestable(line: str) -> str:
    if len(line) > MAX_URI:
        raise click.ClickException(f"the URL, with all that belongs to it, is longer than {MAX_URI} bytes")
    return line


def _finish(header: Header) -> None:
    if header.status // 10 not in {2, 3}:
        raise click.exceptions.Exit(1)


async def _chunks(file: IO[bytes], size: int) -> AsyncGenerator[bytes, None]:
    """The file, with a bar on a terminal."""
    import trio

    left = size
    with ExitStack() as held:
        bar = None
        if size > CHUNK and sys.stderr and sys.stderr.isatty():
            bar = held.enter_context(click.progressbar(length=size, label="Uploading", file=sys.stderr))
        while left:
            try:
                data = await trio.to_thread.run_sync(file.read, min(CHUNK, left))
            except OSError as error:
                raise click.ClickException(f"the file cannot be read ({error.strerror})") from error
            if not data:
                raise click.ClickException("the file became shorter while it was sent")
            left -= len(data)
            yield data
            if bar:
                bar.update(len(data))
