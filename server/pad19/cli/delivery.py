"""The client's side of Titan: what `put` and `edit` do with a server.

Every failure is a click exception, of one sentence. What is said goes to standard error.
"""

import re
import sys
from collections.abc import AsyncGenerator
from contextlib import ExitStack
from dataclasses import replace
from typing import IO, TYPE_CHECKING

import click

from pad19.content.mimetype import MimeTypes
from pad19.protocol.request import DEFAULT_PORT, MAX_URI
from pad19.protocol.response_reader import Header
from pad19.protocol.titan import EDIT, SCHEME, edit_uri_for, uri_for
from pad19.protocol.upload import DEFAULT_MIMETYPE
from pad19.protocol.uri import URI, InvalidURI, parse, resolve

from .typed_uri import complete

if TYPE_CHECKING:
    from .visit import Visit

CHUNK = 64 * 1024  # bytes
NOT_FOUND = 51
MAX_REDIRECTS = 5  # in a row (network specification, section "Redirection")
_HALF_A_SCHEME = re.compile(r"titan(?://|:/(?!/)|:(?![/0-9]))", re.IGNORECASE)  # as in `complete`
_EDIT = re.compile(rf";{EDIT}(?=\?|\Z)")

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
    if _HALF_A_SCHEME.match(text):
        raise click.BadParameter("write titan:// in front of the host, or nothing.", param_hint="URL")
    if text.lower().startswith(f"{SCHEME}://"):
        text = f"gemini{text[len(SCHEME) :]}"
    try:
        return replace(complete(text, "only to titan and gemini URLs can be uploaded"), scheme=SCHEME)
    except InvalidURI as error:
        raise click.BadParameter(f"{error}.", param_hint="URL") from error


def without_edit(uri: str) -> str:
    """A URI as it is uploaded to, given one that asks for the text to edit."""
    return _EDIT.sub("", uri)


class Delivery:
    """Uploads to one URI."""

    def __init__(self, visit: "Visit", target: URI, token: str | None) -> None:
        self._visit = visit
        self._target = target
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
        line = uri_for(str(self._target), size=size, mimetype=mimetype, token=self._token)
        self._finish(await self._visit.exchange(_requestable(line), _chunks(file, size)), "upload to")

    async def delete(self) -> None:
        """Delete what is there.

        Raises:
            click.exceptions.Exit: The server did not do it.
            click.ClickException: It did not answer.
        """
        line = uri_for(str(self._target), size=0, token=self._token)
        self._finish(await self._visit.exchange(_requestable(line)), "delete")

    async def fetch(self, into: IO[bytes]) -> str:
        """The text that is to be edited, which is empty if there is none yet. Returns its type.

        Where it has moved on the same server, that is where it will be uploaded.

        Raises:
            click.exceptions.Exit: The server does not give it away.
            click.ClickException: It did not answer, or what it has is no text.
        """
        for _ in range(MAX_REDIRECTS + 1):
            line = _requestable(edit_uri_for(str(self._target)))
            header = await self._visit.exchange(line, into=into)
            if header.status // 10 != 3:
                break
            self._target = self._moved(header)
        else:
            raise click.ClickException(f"there are more than {MAX_REDIRECTS} redirects in a row")
        if header.status == NOT_FOUND:
            guessed = self.guess(self._target.path)
            return guessed if guessed.startswith("text/") else DEFAULT_MIMETYPE
        if header.status // 10 != 2:
            raise click.exceptions.Exit(1)
        mimetype = header.meta.partition(";")[0].strip()
        if not mimetype.lower().startswith("text/"):
            raise click.ClickException(f"this is {mimetype}, which is no text")
        return mimetype

    def _finish(self, header: Header, do: str) -> None:
        """See whether it is done. ``do``: what to do elsewhere, if not."""
        if header.status // 10 == 3:
            # A relative redirect leads to another place for uploads; that to the page has its scheme.
            there = self._redirected(header)
            if there.scheme != "gemini":
                raise click.ClickException(f"it has moved: {do} {there}")
        elif header.status // 10 != 2:
            raise click.exceptions.Exit(1)

    def _moved(self, header: Header) -> URI:
        """Where the text is that was asked for."""
        there = self._redirected(header)
        same = (there.host, there.port or DEFAULT_PORT) == (
            self._target.host,
            self._target.port or DEFAULT_PORT,
        )
        if not same or there.scheme not in {SCHEME, "gemini"}:
            raise click.ClickException(f"it has moved: edit {there}")
        return replace(there, scheme=SCHEME)

    def _redirected(self, header: Header) -> URI:
        """The target of a redirect, without ``;edit``."""
        try:
            # Not with the old query: a reference without path and query would inherit it.
            there = resolve(replace(self._target, query=None), parse(header.meta))
            return parse(without_edit(str(replace(there, fragment=None))))
        except InvalidURI as error:
            raise click.ClickException(f"the redirect cannot be followed: {error}") from error


def _requestable(line: str) -> str:
    if len(line) > MAX_URI:
        raise click.ClickException(f"the URL, with all that belongs to it, is longer than {MAX_URI} bytes")
    return line


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
