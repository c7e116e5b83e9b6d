"""Static files: a path beneath a root becomes an answer.

Small files are answered from memory as long as the disk looks the same (`memory`), so an edit shows
at once and nothing has to be told about it. Everything else happens in worker threads, since disks
may be slow.
"""

import errno
import logging
import os
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import trio

from pad19.protocol.failure import BadRequest, NotFound, ServerUnavailable, TemporaryFailure
from pad19.protocol.request import Request
from pad19.protocol.response import MAX_META, Redirect, Reply, Response, Success
from pad19.protocol.status import Status
from pad19.protocol.uri import percent_encode

from . import listing as listings
from .body import FileBody
from .files import (
    WELL_KNOWN,
    Absent,
    Opened,
    Signature,
    Unreadable,
    open_beneath,
    open_file,
    signature,
    signature_of,
)
from .listing import is_reserved
from .memory import Kept, Memory
from .mimetype import MimeTypes
from .notices import Notices
from .sidecar import Directive, Header, Mimetype, Parameters
from .sidecars import Sidecars, Survey

LOGGER = logging.getLogger("pad19.content")

SMALL = 64 * 1024  # bytes; files up to this size are kept in memory, larger ones are streamed
# Threads that list folders at once. Large ones take a tenth of a second for 10 000 names, and the
# threads that look for files must not all be busy with them.
LISTERS = 2
INDEX = ("index.gmi", "index.gemini")
PREAMBLE = ".header.gmi"
# Serving the folder above the content is a mistake that is easily made, and keys are often in there.
SEARCHED = 256 * 1024  # bytes at the beginning of a large file that are searched for them, in about 50 us
_PRIVATE_KEY = re.compile(rb"^-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----\r?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class _Listed:
    """A folder that is to be listed."""

    relative: str
    directive: Directive | None


class StaticFiles:
    """A handler: `Request` to `Response`, for one folder.

    ``index``: the names that answer for a folder, in this order. ``listing``: folders without one
    are listed. ``hidden``: names that begin with a dot are served, except sidecar files and what uploads
    keep. ``withheld``: paths of files that nobody gets, by whatever name.
    """

    def __init__(
        self,
        root: Path,
        mimetypes: MimeTypes | None = None,
        *,
        index: tuple[str, ...] = INDEX,
        listing: bool = False,
        hidden: bool = False,
        withheld: Collection[str] = (),
    ) -> None:
        self._root = str(root)
        self._mimetypes = mimetypes or MimeTypes()
        self._index = index
        self._listing = listing
        self._hidden = hidden
        self._withheld = withheld
        self._memory = Memory()
        self._sidecars = Sidecars(self._root)
        self._notices = Notices()
        self._listers = trio.CapacityLimiter(LISTERS)
        self._is_lost = False  # the whole folder

    async def __call__(self, request: Request) -> Response:
        """Answer with a file, a listing, a redirect, or what a sidecar file says.

        Raises:
            NotFound: Nothing that may be served is there.
            BadRequest: The URI of a folder, with the slash that it lacks, is too long to be sent.
            ServerUnavailable: File descriptors ran out.
            TemporaryFailure: The disk failed, or the whole folder is out of reach.
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
            if isinstance(found, _Listed):
                found = await trio.to_thread.run_sync(self._list, found, limiter=self._listers)
        except Absent as error:
            self._check_root()
            if isinstance(error, Unreadable):
                what = f"is answered with 51: {error}. Let this process read it"
                self._notices.tell(os.path.join(self._root, path[1:]), what)
            raise NotFound from None
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE}:
                raise ServerUnavailable("too many open files, try again") from error
            # One line tells the operator all; a trace of our calls would not add to it. The name is
            # quoted because a client chose it.
            LOGGER.error("%r: %s", error.filename or self._root + path, error.strerror)  # noqa: TRY400
            raise TemporaryFailure("the file cannot be read now") from error
        self._is_lost = False
        if isinstance(found, Kept):
            self._memory.keep(path, found)
            return found.response
        return found

    def _check_names(self, path: str) -> None:
        """Refuse what cannot or must not name a file, without asking the disk."""
        if path in self._withheld:
            raise NotFound
        *folders, last = path[1:].split("/")
        for depth, name in enumerate([*folders, last] if last else folders):
            if not name:  # "//" is no shorthand for "/"
                raise NotFound
            if not name.startswith("."):
                continue
            if is_reserved(name) or (not self._hidden and (depth or name != WELL_KNOWN)):
                raise NotFound

    def _check_root(self) -> None:
        """Refuse to say that a page is gone where the whole folder is: a disk that is not mounted comes back.

        Raises:
            TemporaryFailure: It is missing, or this process may not enter it.
        """
        try:
            os.stat(os.path.join(self._root, "."))  # the dot: it takes the right to enter
        except OSError as error:
            if not self._is_lost:
                LOGGER.error(  # noqa: TRY400 - the operator's business, not a bug
                    "%r cannot be entered (%s): until it can, all its pages are answered with 40",
                    self._root,
                    error.strerror,
                )
            self._is_lost = True
            raise TemporaryFailure("the pages cannot be read now") from None
        self._is_lost = False

    # From here on in a worker thread.

    def _look_up(self, path: str, raw_query: str | None) -> Response | Kept | _Listed:
        relative = path[1:]
        survey = self._sidecars.survey(relative)  # before the files are opened: a later change shows
        directive = survey.find(relative)
        if answer := _answer(directive):
            return answer
        opened = open_beneath(self._root, relative.rstrip("/"))
        if not opened.is_folder:
            if relative.endswith("/"):
                os.close(opened.fd)
                raise Absent("a file is no folder")
            return self._file(relative, opened, directive, survey)
        if relative and not relative.endswith("/"):
            return _add_slash(path, raw_query)
        return self._folder(relative, directive, survey)

    def _folder(
        self, relative: str, directive: Directive | None, survey: Survey
    ) -> Response | Kept | _Listed:
        passed: list[tuple[str, Signature | None]] = []
        unreadable: Unreadable | None = None
        for name in self._index:
            index = relative + name
            location = os.path.join(self._root, index)
            seen = signature_of(location)
            try:
                opened = open_file(self._root, index)
            except Absent as error:
                if isinstance(error, Unreadable):
                    unreadable = error
                # There, but not to be served: should that change, the folder need not look different.
                if os.path.lexists(location):
                    passed.append((location, seen))
                continue
            applies = directive or survey.find(index)
            if answer := _answer(applies):
                os.close(opened.fd)
                return answer
            return self._file(index, opened, applies, survey, passed)
        if unreadable:  # its author meant it to be seen instead of a listing
            raise unreadable
        if self._listing:
            return _Listed(relative, directive)
        raise Absent("no index")

    def _file(
        self,
        relative: str,
        opened: Opened,
        directive: Directive | None,
        survey: Survey,
        passed: Iterable[tuple[str, Signature | None]] = (),
    ) -> Success | Kept:
        if self._is_withheld(opened.status):
            os.close(opened.fd)
            raise Absent("withheld")
        mimetype = self._mimetype(relative.rpartition("/")[2], directive)
        size = opened.status.st_size
        if size > SMALL:
            try:
                self._refuse_keys(relative, mimetype, os.pread(opened.fd, SEARCHED, 0))
            except BaseException:
                os.close(opened.fd)
                raise
            return Success(FileBody(opened.fd, size), mimetype)
        # Not what it has grown by since: where that ends is as good as any other place, or worse.
        content = opened.read(size)
        self._refuse_keys(relative, mimetype, content)
        # Had it changed by now, it would no longer look like this and not be given out again.
        witness = (os.path.join(self._root, relative), signature(opened.status))
        witnesses = (witness, *survey.witnesses, *passed)
        return Kept(Success(content, mimetype), len(content), witnesses, survey.looked)

    def _is_withheld(self, status: os.stat_result) -> bool:
        """A disk that ignores case has several names for a file, and so has any with links."""
        itself = status.st_dev, status.st_ino
        return any((signature_of(self._root + path) or ())[:2] == itself for path in self._withheld)

    def _refuse_keys(self, relative: str, mimetype: str, content: bytes) -> None:
        """Raise `Absent` for a private key, but not for a page that shows one: it was written to be read."""
        # The expression alone would take twenty times as long.
        if b"PRIVATE KEY-----" not in content or mimetype.startswith("text/gemini"):
            return
        if _PRIVATE_KEY.search(content):
            self._notices.tell(
                os.path.join(self._root, relative), "holds a private key and is not served: move it away"
            )
            raise Absent("a private key")

    def _mimetype(self, name: str, directive: Directive | None) -> str:
        match directive:
            case Parameters(text):
                return self._mimetypes.of(name, text)
            case Mimetype(text) | Header(_, text):
                return text
            case None:
                return self._mimetypes.of(name)

    def _list(self, wanted: _Listed) -> Success:
        relative = wanted.relative
        entries = listings.scan(self._root, relative, hidden=self._hidden)
        text = listings.write(
            f"/{relative}", entries, preamble=self._preamble(relative), parent=bool(relative)
        )
        return Success(text.encode(), self._mimetype("index.gmi", wanted.directive))

    def _preamble(self, relative: str) -> str | None:
        try:
            content = open_file(self._root, relative + PREAMBLE).read(SMALL)
        except Absent:
            return None
        return content.decode("utf-8-sig", "replace")


def _add_slash(path: str, raw_query: str | None) -> Redirect:
    """The redirect to a folder's own name: relative links in it would lead astray without the slash."""
    target = "/".join(percent_encode(name) for name in path.split("/")) + "/"
    if raw_query is not None:
        target += f"?{raw_query}"
    if len(target) > MAX_META:  # an IRI becomes up to three times as long
        raise BadRequest("the URI is too long once it is percent-encoded")
    return Redirect(target, permanent=True)


def _answer(directive: Directive | None) -> Reply | None:
    """The header that a sidecar file gives instead of a file."""
    if isinstance(directive, Header) and directive.status is not Status.SUCCESS:
        return Reply(directive.status, directive.text)
    return None
