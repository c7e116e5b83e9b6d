"""A part of a capsule, and who may read it, and who may upload to it."""

from dataclasses import dataclass, field
from typing import Protocol

from pad19.protocol.client import Client, Identity
from pad19.protocol.failure import (
    CertificateNotAuthorised,
    CertificateRequired,
    PermanentFailure,
    TemporaryFailure,
)
from pad19.protocol.request import Request

from .paths import Segments
from .tokens import Tokens


class CertificateList(Protocol):
    """Certificates that somebody chose."""

    def has(self, identity: Identity) -> bool | None:
        """Whether this one is among them; None: that cannot be told now."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Who may. By default nobody."""

    everybody: bool = False  # with or without a certificate
    any_certificate: bool = False
    lists: tuple[CertificateList, ...] = ()

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
    deny: tuple[CertificateList, ...] = ()
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


def _is_listed(identity: Identity, lists: tuple[CertificateList, ...]) -> bool:
    answers = [entry.has(identity) for entry in lists]
    if True in answers:
        return True
    if None in answers:
        raise TemporaryFailure("the list of who is let in cannot be read now, try again later")
    return False
