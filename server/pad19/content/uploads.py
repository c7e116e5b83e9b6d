"""Uploads into a folder: a Titan request becomes a file, or the end of one, or the text to be edited.

What may be uploaded is decided by `Terms`, and who may by somebody else, before. All that touches the disk
happens in a few threads of their own, so that many uploads at once do not keep readers waiting.
"""

import errno
import logging
import os
import sys
import unicodedata
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import trio

from pad19.protocol.failure import (
    BadRequest,
    NotFound,
    PermanentFailure,
    ServerUnavailable,
    TemporaryFailure,
)
from pad19.protocol.request import DEFAULT_PORT, Request
from pad19.protocol.response import MAX_META, Redirect, Reply, Response, Success
from pad19.protocol.status import Status
from pad19.protocol.titan import accepts, edit_target
from pad19.protocol.upload import Upload
from pad19.protocol.uri import URI

from .body import FileBody
from .edits import Edits, Tickets
from .file_tree import Draft, FileTree, Place, Quota
from .mimetype import UNKNOWN, MimeTypes

LOGGER = logging.getLogger("pad19.content")

THREADS = 8  # that write at once; disks do not get faster with more
MAX_NAME = 255  # bytes, on the file systems that there are
_MOVED = {Status.TEMPORARY_REDIRECT, Status.PERMANENT_REDIRECT}
# Controls, separators of lines, and what changes the direction of text or takes no room: names that look like
# others. Those that join letters do so in Persian and in emoji, and tags make flags.
_UNSEEN = {"Cc", "Cf", "Zl", "Zp"}
_JOINERS = "\u200c\u200d"
_TAGS = range(0xE0020, 0xE0080)
_FOLDER = "this is the path of a folder: add the name of a file"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Terms:
    """What may be uploaded to a path."""

    max_size: int  # bytes
    types: Sequence[str]  # see `accepts`
    quotas: Sequence[Quota] = ()

    def check(self, upload: Upload) -> None:
        """See whether an upload is within them, by what its client says.

        Raises:
            BadRequest: It is not.
        """
        if upload.size > self.max_size:
            raise BadRequest(f"at most {self.max_size} bytes may be uploaded here")
        if upload.size and not accepts(self.types, upload.mime) and not _is_typed_text(upload, self.types):
            raise BadRequest(f"{upload.mime} may not be uploaded here, only {', '.join(self.types)}")

    def check_type(self, mimetype: str) -> None:
        """See whether a file may have the type that visitors would get it with.

        Raises:
            BadRequest: It may not.
        """
        if not accepts(self.types, mimetype):
            kind = mimetype.partition(";")[0]
            said = (
                "has no ending that tells the type, as .gmi does" if kind == UNKNOWN else f"makes it {kind}"
            )
            raise BadRequest(f"the name {said}, and only {', '.join(self.types)} may be uploaded here")


def _is_typed_text(upload: Upload, types: Sequence[str]) -> bool:
    # What people type into Lagrange is text/plain, whatever the page is; its name tells more.
    plain = upload.mime.partition(";")[0].strip().lower() == "text/plain"
    return plain and any(kind.startswith("text/") for kind in types)


class Uploads:
    """A handler for requests with an `Upload`."""

    def __init__(
        self,
        root: Path,
        terms: Callable[[Request], Sequence[Terms]],
        edits: Edits,
        visit: Callable[[Request], Awaitable[Response]],
        mimetypes: MimeTypes | None = None,
        *,
        locks: Path,
        delete: bool = False,
        folders: bool = False,
        keep: int = 0,
    ) -> None:
        """Write below ``root``.

        Args:
            root: The content folder.
            terms: What may be uploaded to a path; all of them hold.
            edits: Remembers who edits what.
            visit: Answers the same request for a visitor, with all that guards the path: what somebody
                may not see, they cannot edit.
            mimetypes: The types that visitors get files with.
            locks: See `FileTree`.
            delete: Files can be deleted.
            folders: Folders that are missing are made.
            keep: How many previous versions of each file are kept.
        """
        self._terms = terms
        self._edits = edits
        self._visit = visit
        self._mimetypes = mimetypes or MimeTypes()
        self._delete = delete
        self._tree = FileTree(str(root), locks, keep=keep, folders=folders)
        self._threads = trio.CapacityLimiter(THREADS)

    async def __call__(self, request: Request) -> Response:
        """Store, delete or show a file.

        Raises:
            BadRequest: The path, the type or the size is none that may be uploaded, or the body is broken.
            NotFound: There is nothing to delete or edit.
            PermanentFailure: It must not be deleted or replaced, or it has changed since it was edited.
            ServerUnavailable: File descriptors ran out.
            TemporaryFailure: The disk is full or failed, or the client was too slow.
        """
        upload = request.upload
        if upload is None:
            raise NotFound
        place = _place(request)
        if upload.edit:
            return await self._show(request, place)
        if not upload.size:
            return await self._remove(request, place, upload)
        terms = self._terms(request)
        mimetype = self._mimetypes.of(place.name)
        for each in terms:
            each.check(upload)
            each.check_type(mimetype)
        quotas = dict.fromkeys(quota for each in terms for quota in each.quotas)
        for quota in quotas:
            quota.check(place)
        page = _page(request)
        await self._store(request, place, upload, [*quotas])
        return Redirect(page)

    async def _store(self, request: Request, place: Place, upload: Upload, quotas: Sequence[Quota]) -> None:
        tickets = await self._edits.recall(request)
        expected = await self._expected(place, tickets)
        draft: Draft = await self._in_thread(
            place, self._tree.draft, place, upload.size, expected=expected, quotas=quotas
        )
        try:
            async for chunk in upload:
                await self._in_thread(place, draft.write, chunk)
            await self._in_thread(place, draft.publish)
        finally:
            await self._close(draft)
        if expected is not None:  # they may be still at it
            with suppress(TemporaryFailure):  # it is done, whatever becomes of this
                await self._edits.use(tickets, expected, draft.digest)

    async def _close(self, draft: Draft) -> None:
        with trio.CancelScope(shield=True):
            try:  # removing what is large takes time
                await trio.to_thread.run_sync(draft.close, limiter=self._threads)
            except RuntimeError:  # the system has no thread left, but the room must not be held for ever
                draft.close()

    async def _remove(self, request: Request, place: Place, upload: Upload) -> Response:
        if not self._delete:
            raise PermanentFailure("nothing can be deleted here")
        await upload.read()  # there must be nothing
        tickets = await self._edits.recall(request)
        expected = await self._expected(place, tickets)
        await self._in_thread(place, self._tree.remove, place, expected=expected)
        if expected is not None:
            with suppress(TemporaryFailure):
                await self._edits.use(tickets, expected, "")
        return Success(f"# Deleted\n\n{request.path} is no more.\n".encode())

    async def _expected(self, place: Place, tickets: Tickets) -> str | None:
        """What must be there, by what somebody knows of it; None: they know nothing."""
        digests = {*tickets.digests}
        if len(digests) < 2:
            return next(iter(digests), None)
        found = await self._in_thread(place, self._tree.read, place, sys.maxsize)
        if found is not None:
            os.close(found.fd)
        now = found.digest if found else ""
        return now if now in digests else tickets.digests[-1]

    async def _show(self, request: Request, place: Place) -> Response:
        try:
            response = await self._visit(replace(request, scheme="gemini", upload=None))
        except NotFound:
            response = None
        if response is not None:
            if not isinstance(response.body, bytes):
                await response.body.aclose()
            if response.status in _MOVED:
                return _moved(request, response.meta, response.status)
            if response.status is not Status.SUCCESS:  # it is gone, or not for everybody
                return Reply(response.status, response.meta)
        largest = min(each.max_size for each in self._terms(request))
        found = await self._in_thread(place, self._tree.read, place, largest) if response else None
        if found is None:
            await self._edits.remember(request, "")  # should somebody else be quicker to write it
            raise NotFound
        body = FileBody(found.fd, found.size)
        try:
            await self._edits.remember(request, found.digest)
        except BaseException:
            await body.aclose()
            raise
        return Success(body, self._mimetypes.of(place.name))

    async def _in_thread(
        self, place: Place, function: Callable[..., T], *arguments: object, **options: object
    ) -> T:
        try:
            return await trio.to_thread.run_sync(
                partial(function, *arguments, **options), limiter=self._threads
            )
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE}:
                raise ServerUnavailable("too many open files, try again") from error
            if error.errno == errno.ENAMETOOLONG:
                raise BadRequest("the path is too long") from None
            # One line tells the operator all. The path is quoted because a client chose it.
            LOGGER.error("%r: it cannot be uploaded: %s", str(place), error.strerror)  # noqa: TRY400
            if error.errno in _FULL:
                raise TemporaryFailure("there is no room for it now") from error
            raise TemporaryFailure("it cannot be stored now") from error


def _place(request: Request) -> Place:
    """Where a path leads, by names that are safe.

    Raises:
        BadRequest: One of them cannot be a name.
        PermanentFailure: One of them is reserved.
    """
    if "%2F" in request.raw_path.upper():
        raise BadRequest("an encoded slash cannot be part of a name")
    *folders, name = request.segments
    if not name:
        raise BadRequest(_FOLDER)
    for each in (*folders, name):
        if not each:
            raise BadRequest("the path has an empty segment")
        if each.startswith("."):
            raise PermanentFailure("names that begin with a dot are not for uploads")
        if not all(map(_is_seen, each)) or each != each.strip().strip(_JOINERS):
            raise BadRequest("the path has a name with characters that nobody can see")
        if len(each.encode()) > MAX_NAME:
            raise BadRequest(f"the path has a name of more than {MAX_NAME} bytes")
    return Place(tuple(folders), name)


def _is_seen(char: str) -> bool:
    return unicodedata.category(char) not in _UNSEEN or char in _JOINERS or ord(char) in _TAGS


def _moved(request: Request, target: str, status: Status) -> Response:
    """The redirect for somebody who edits.

    Raises:
        BadRequest: It only adds the slash of a folder.
    """
    target = edit_target(request, target)
    if target == edit_target(request, f"{request.raw_path}/"):
        raise BadRequest(_FOLDER)
    return Reply(status, target)


def _page(request: Request) -> str:
    """The gemini:// URI of what is uploaded.

    Raises:
        BadRequest: It is too long to be sent.
    """
    port = None if request.port == DEFAULT_PORT else request.port
    page = str(URI("gemini", None, request.host, port, request.raw_path, request.raw_query, None))
    if len(page) > MAX_META:  # an IRI becomes up to three times as long
        raise BadRequest("the URI is too long once it is percent-encoded")
    return page
