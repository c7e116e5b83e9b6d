"""Lists of certificates for `zones`: written out, in a file of fingerprints, or issued by an authority."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from pad19.content.notices import Notices
from pad19.protocol.client import Identity
from pad19.tls.authority import Authorities

from .fingerprints import Entry, parse_lines
from .reread import Reread


class Fingerprints:
    """Those of certificates, or of their public keys."""

    def __init__(self, fingerprints: Iterable[str]) -> None:
        self._fingerprints = frozenset(fingerprints)

    def has(self, identity: Identity) -> bool:
        """Whether one of the two is among them."""
        return not self._fingerprints.isdisjoint((identity.fingerprint, identity.key_fingerprint))


class FingerprintFile:
    """The lines of a file, as they are when somebody asks.

    ``is_complete``: a line that cannot be read may be anybody's. So it has to be where those are listed
    who are kept out, while a broken line of those who are let in is only their own misfortune.
    """

    def __init__(self, path: Path, *, is_complete: bool = False) -> None:
        self._is_complete = is_complete
        self._file = Reread(path, partial(_parse, is_complete=is_complete))

    def has(self, identity: Identity) -> bool | None:
        """Whether it is there; None: that cannot be told."""
        listed = self._file.get()
        if listed is None:
            return None
        fingerprints, is_whole = listed
        return fingerprints.has(identity) or (None if self._is_complete and not is_whole else False)


def _parse(data: bytes, *, is_complete: bool) -> tuple[tuple[Fingerprints, bool], list[str]]:
    lines = [*parse_lines(data)]
    fingerprints = Fingerprints(entry.fingerprint for _, entry in lines if isinstance(entry, Entry))
    what = (
        "may mean anybody, so until it is mended all visitors with a certificate are answered with 40"
        if is_complete
        else "counts for nobody"
    )
    problems = [f"line {number} {what}: it {said}" for number, said in lines if isinstance(said, str)]
    return (fingerprints, not problems), problems


class AuthorityFile:
    """Certificates that were issued by an authority in a file. ``now``: aware."""

    def __init__(self, path: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._path = path
        self._now = now
        self._file = Reread(path, Authorities.parse)
        self._notices = Notices()

    def has(self, identity: Identity) -> bool | None:
        """Whether it was, and the authority is valid; None: that cannot be told."""
        authorities = self._file.get()
        if authorities is None:
            return None
        issuer = authorities.issuer(identity)
        if issuer is None:
            return False
        if problem := issuer.problem(self._now()):
            self._notices.tell(
                str(self._path), f"lets nobody in by {issuer.common_name or 'its authority'}: {problem}"
            )
            return False
        return True
