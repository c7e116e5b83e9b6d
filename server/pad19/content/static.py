"""Static files: a path beneath a root becomes an answer.

Small files are answered from memory as long as the disk looks the same (`memory`), so an edit shows
at once and nothing has to be told about it. Everything else happens in worker threads, since disks
may be slow.
"""

import errno
import logging
import os
from pathlib import Path

import trio

from pad19.protocol.failure import NotFound, ServerUnavailable, TemporaryFailure
from pad19.protocol.request import Request
from pad19.protocol.response import Redirect, Reply, Response, Success
from pad19.protocol.status import Status
from pad19.protocol.uri import percent_encode

from . import listing as listings
from .body import FileBody
from .files import Absent, open_beneath, signature
from .listing import SIDECAR
from .memory import Kept, Memory, Witnesses
from .mimetype import MimeTypes
from .sidecar import Directive, Header, Mimetype, Parameters
from .sidecars import Sidecars

LOGGER = logging.getLogger("pad19.content")

SMALL = 64 * 1024  # bytes; files up to this size are kept in memory, larger ones are streamed
PREAMBLE = ".header.gmi"
WELL_KNOWN = ".well-known"  # RFC 8615; the one dotted name that is public


class StaticFiles:
    """A handler: `Request` to `Response`, for one folder.

    ``index``: the names that answer for a folder, in this order. ``listing``: folders without one
    are listed. ``hidden``: names that begin with a dot are served, except sidecar files.
    """

    def __init__(
        self,
        root: Path,
        mimetypes: MimeTypes | None = None,
        *,
        index: tuple[str, ...] = ("index.gmi", "index.gemini"),
        listing: bool = False,
        hidden: bool = False,
    ) -> None:
        self._root = str(root)
        self._mimetypes = mimetypes or MimeTypes()
        self._index = index
        self._listing = listing
        self._hidden = hidden
        self._memory = Memory()
        self._sidecars = Sidecars(self._root)

    async def __call__(self, request: Request) -> Response:
        """Answer with a file, a listing, a redirect, or what a sidecar file says.

        Raises:
            NotFound: Nothing that may be served is there.
            ServerUnavailable: File descriptors ran out.
            TemporaryFailure: The disk failed.
        """
        # An encoded separator would have to be part of a name, where it cannot be.
        if "%" in request.raw_path and "%2F" in request.raw_path.upper():
            raise NotFound
        path = request.path
        if (response := self._memory.get(path)) is not None:
            return response
        self._check_names(path)
        try:
            found = await trio.to_thread.run_sync(self._look_up, path, request.raw_query)
        except Absent:
            raise NotFound from None
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE}:
                raise ServerUnavailable("too many open files, try again") from error
            # One line tells the operator all; a trace of our calls would not add to it.
            LOGGER.error("%s: %s", error.filename or self._root, error.strerror)  # noqa: TRY400
            raise TemporaryFailure("the file cannot be read now") from error
        if isinstance(found, Kept):
            self._memory.keep(path, found)
            return found.response
        return found

    def _check_names(self, path: str) -> None:
        """Refuse what cannot or must not name a file, without asking the disk."""
        *folders, last = path[1:].split("/")
        for depth, name in enumerate([*folders, last] if last else folders):
            if not name or name == SIDECAR:  # "//" is no shorthand for "/"
                raise NotFound
            if name.startswith(".") and not self._hidden and (depth or name != WELL_KNOWN):
                raise NotFound

    # From here on in a worker thread.

    def _look_up(self, path: str, raw_query: str | None) -> Response | Kept:
        relative = path[1:]
        witnesses = self._sidecars.witnesses(relative)  # before the files are opened: a later change shows
        directive = self._sidecars.find(relative)
        if answer := _answer(directive):
            return answer
        opened = open_beneath(self._root, relative.rstrip("/"))
        if not opened.is_folder:
            if relative.endswith("/"):
                os.close(opened.fd)
                raise Absent("a file is no folder")
            return self._file(relative, opened.fd, directive, witnesses)
        if relative and not relative.endswith("/"):
            target = "/".join(percent_encode(name) for name in path.split("/")) + "/"
            return Redirect(target if raw_query is None else f"{target}?{raw_query}", permanent=True)
        return self._folder(relative, directive, witnesses)

    def _folder(self, relative: str, directive: Directive | None, witnesses: Witnesses) -> Response | Kept:
        for name in self._index:
            try:
                opened = open_beneath(self._root, relative + name)
            except Absent:
                continue
            if opened.is_folder:
                continue
            directive = directive or self._sidecars.find(relative + name)
            if answer := _answer(directive):
                os.close(opened.fd)
                return answer
            return self._file(relative + name, opened.fd, directive, witnesses)
        if self._listing:
            return self._list(relative)
        raise Absent("no index")

    def _file(
        self, relative: str, fd: int, directive: Directive | None, witnesses: Witnesses
    ) -> Success | Kept:
        mimetype = self._mimetype(relative.rpartition("/")[2], directive)
        status = os.fstat(fd)
        if status.st_size > SMALL:
            return Success(FileBody(fd, status.st_size), mimetype)
        with open(fd, "rb", buffering=0) as file:
            content = file.read(SMALL + 1)
        response = Success(content, mimetype)
        if len(content) != status.st_size:  # it changes under our hands
            return response
        witness = (os.path.join(self._root, relative), signature(status))
        return Kept(response, len(content), (witness, *witnesses))

    def _mimetype(self, name: str, directive: Directive | None) -> str:
        match directive:
            case Parameters(text):
                return self._mimetypes.of(name, text)
            case Mimetype(text) | Header(_, text):
                return text
            case None:
                return self._mimetypes.of(name)

    def _list(self, relative: str) -> Success:
        entries = listings.scan(os.path.join(self._root, relative), root=self._root, hidden=self._hidden)
        text = listings.write(
            f"/{relative}", entries, preamble=self._preamble(relative), parent=bool(relative)
        )
        return Success(text.encode(), self._mimetypes.of("index.gmi"))

    def _preamble(self, relative: str) -> str | None:
        try:
            opened = open_beneath(self._root, relative + PREAMBLE)
        except Absent:
            return None
        if opened.is_folder:
            return None
        with open(opened.fd, "rb") as file:
            return file.read(SMALL).decode("utf-8-sig", "replace")


def _answer(directive: Directive | None) -> Reply | None:
    """The header that a sidecar file gives instead of a file."""
    if isinstance(directive, Header) and directive.status is not Status.SUCCESS:
        return Reply(directive.status, directive.text)
    return None
