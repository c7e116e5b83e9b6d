"""Zones: who may read what, and who may upload where, decided before anything else looks at the path.

A zone guards a path and all that is below it; of several, the longest counts. Who answers behind it
may read a path in another way than we do: ``//`` may be ``/`` to a program, ``%2F`` a separator,
``/MEMBERS/`` the same folder as ``/members/`` to a disk, and ``/members/`` is answered with an index
file. So a path is read in all of these ways, and the zone of each reading has to let the client in.
Reading too much into a path closes it too often; it never opens it.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pad19.protocol.client import Client, Identity
from pad19.protocol.failure import (
    CertificateNotAuthorised,
    CertificateRequired,
    Failure,
    PermanentFailure,
    TemporaryFailure,
)
from pad19.protocol.request import Request
from pad19.protocol.response import Response
from pad19.protocol.uri import InvalidURI, percent_decode

from .router import Handler
from .tokens import Tokens

# What disks that ignore case ignore besides (Unicode's Default_Ignorable_Code_Point).
_IGNORABLE = re.compile(
    "[\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)

Segments = tuple[str, ...]


class List(Protocol):
    """Certificates that somebody chose."""

    def has(self, identity: Identity) -> bool | None:
        """Whether this one is among them; None: that cannot be told now."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Who may. By default nobody."""

    everybody: bool = False  # with or without a certificate
    any_certificate: bool = False
    lists: tuple[List, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether it is nobody at all."""
        return not (self.everybody or self.any_certificate or self.lists)


@dataclass(frozen=True, slots=True)
class Zone:
    """A part of a capsule. Those in ``deny`` may neither read nor write."""

    path: Segments  # see `parse_path`
    read: Grant
    write: Grant = field(default_factory=Grant)
    deny: tuple[List, ...] = ()
    tokens: Tokens = field(default_factory=Tokens)  # who has one may write, with any certificate or none

    def admit(self, client: Client, *, write: bool = False, token: str | None = None) -> None:
        """Let the client pass, or not. Its certificate is valid, if it has one.

        Raises:
            CertificateRequired: It has none, and some certificate would do.
            CertificateNotAuthorised: It has another one than those that may pass.
            PermanentFailure: Nobody may pass, or only who has a token, and this is none.
            TemporaryFailure: A file that would say it is of no use now.
        """
        grant = self.write if write else self.read
        if write and self.tokens:
            grant = self._with_token(grant, client, token)
        if grant.is_empty:
            raise PermanentFailure("nobody may upload here" if write else "nobody may read this")
        identity = client.certificate
        if identity is None:
            if grant.everybody:
                return
            will_do = "any will do" if grant.any_certificate else "one that its owner knows"
            raise CertificateRequired(f"this part of the capsule needs a client certificate: {will_do}")
        if _is_listed(identity, self.deny):
            raise CertificateNotAuthorised(f"your certificate is not let in here: {identity.fingerprint}")
        if grant.everybody or grant.any_certificate or _is_listed(identity, grant.lists):
            return
        # The owner needs it to let them in.
        raise CertificateNotAuthorised(
            "your certificate is not on the list; to be let in, send its fingerprint to the owner of this "
            f"capsule: {identity.fingerprint}"
        )

    def admit_upload(self, request: Request) -> None:
        """Let an upload pass, or not.

        Raises:
            Failure: See `admit`.
        """
        upload = request.upload
        if upload and upload.edit:
            self.admit(request.client)  # it shows what is there
            if self.tokens:
                return  # which cannot come along with it, only with what is uploaded then
        self.admit(request.client, write=True, token=upload.token if upload else None)

    def _with_token(self, grant: Grant, client: Client, token: str | None) -> Grant:
        """Who may write, given that somebody comes with this token or with none."""
        if token is not None and self.tokens.has(token):
            return _EVERYBODY
        if token is not None and (client.certificate is None or grant.is_empty):
            raise PermanentFailure("this token is not known here")
        if grant.is_empty:
            raise PermanentFailure("an upload here needs a token")
        return grant


_EVERYBODY = Grant(everybody=True)


def _is_listed(identity: Identity, lists: tuple[List, ...]) -> bool:
    answers = [entry.has(identity) for entry in lists]
    if True in answers:
        return True
    if None in answers:
        raise TemporaryFailure("the list of who is let in cannot be read now, try again later")
    return False


class Zones:
    """All zones of a capsule. ``index``: the names of files that answer for a folder."""

    def __init__(self, zones: Iterable[Zone], index: Sequence[str] = ()) -> None:
        self._exact: dict[Segments, list[Zone]] = {}
        self._folded: dict[Segments, list[Zone]] = {}
        for zone in zones:
            self._exact.setdefault(zone.path, []).append(zone)
            self._folded.setdefault(_folded(zone.path), []).append(zone)
        self._deepest = max(map(len, self._exact), default=0)
        ends = {path[-1] for path in self._folded if path}
        self._index = tuple(name for name in index if _fold(name) in ends)

    def check(self, request: Request, *, write: bool = False) -> None:
        """Let a request pass, or not. To write, there must be a zone that allows it.

        A titan path comes without its parameters.

        Raises:
            Failure: See `Zone.admit`.
        """
        zones = self.covering(request)
        if write and not zones:
            raise PermanentFailure("nobody may upload here")
        for zone in zones:
            if write:
                zone.admit_upload(request)
            else:
                zone.admit(request.client)

    def has_writer(self, request: Request) -> bool:
        """Whether the client's certificate alone lets it upload there, without a token."""
        zones = self.covering(request)
        try:
            for zone in zones:
                zone.admit(request.client, write=True)
        except Failure:
            return False
        return bool(zones) and request.client.certificate is not None

    def covering(self, request: Request) -> list[Zone]:
        """The zones that have to let a request in. There are several if its path has several readings."""
        zones: list[Zone] = []
        for reading in self._readings(request):
            for table, segments in ((self._exact, reading), (self._folded, _folded(reading))):
                zones += [zone for zone in self._longest(table, segments) if zone not in zones]
        return zones

    def _readings(self, request: Request) -> Iterator[Segments]:
        segments = request.segments
        resolved = _resolve(segments)
        yield segments
        if resolved != segments:
            yield resolved
        if request.path.endswith("/"):
            for name in self._index:
                yield (*resolved, name)

    def _longest(self, table: dict[Segments, list[Zone]], segments: Segments) -> list[Zone]:
        for length in range(min(len(segments), self._deepest), -1, -1):
            if found := table.get(segments[:length]):
                return found
        return []


class Guard:
    """A handler in front of another one."""

    def __init__(self, zones: Zones, inner: Handler) -> None:
        self._zones = zones
        self._inner = inner

    async def __call__(self, request: Request) -> Response:
        """Let the other one answer those who may pass.

        Outside of zones everything passes, also uploads: who takes those into files asks `Zones.check`,
        and routes have policies of their own.

        Raises:
            Failure: See `Zone.admit`; and whatever the other one raises.
        """
        is_upload = request.scheme == "titan"
        for zone in self._zones.covering(request):
            if is_upload:
                zone.admit_upload(request)
            else:
                zone.admit(request.client)
        return await self._inner(request)


def parse_path(text: str) -> Segments:
    """Read the path of a zone, ``/members/`` or ``/members``, which are the same.

    It may be percent-encoded or not.

    Raises:
        ValueError: It is none; the message continues "it ...".
    """
    if not text.startswith("/"):
        raise ValueError("must begin with a slash")
    if not text.isprintable():
        raise ValueError("must have no control characters")
    if "?" in text or "#" in text:
        raise ValueError("must be a path alone, without ? and #")
    try:
        segments = tuple(percent_decode(part) for part in text.strip("/").split("/")) if text != "/" else ()
    except InvalidURI as error:
        raise ValueError(f"must be a path, but it has {error}") from None
    if text.startswith("//") or text.endswith("//") or "" in segments:
        raise ValueError("must have no empty segment, as in //")
    if {".", ".."} & {*segments}:
        raise ValueError("must have no segment . or ..")
    if any("/" in segment or "\0" in segment for segment in segments):
        raise ValueError("must have no encoded slash and no NUL in a segment")
    return segments


def _resolve(segments: Segments) -> Segments:
    """As a program would read it that decodes before it cuts, and then opens the path."""
    kept: list[str] = []
    for name in "/".join(segments).split("/"):
        if name == "..":
            del kept[-1:]
        elif name not in {"", "."}:
            kept.append(name)
    return tuple(kept)


def _folded(segments: Segments) -> Segments:
    return tuple(map(_fold, segments))


def _fold(name: str) -> str:
    """The same text for all names that some disk takes for one."""
    if not name.isascii():
        name = unicodedata.normalize("NFKD", _IGNORABLE.sub("", name)).casefold()
        name = unicodedata.normalize("NFKD", name)
    return name.lower().rstrip(". ")  # FAT drops dots and spaces at the end
