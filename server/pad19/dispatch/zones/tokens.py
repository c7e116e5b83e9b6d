"""Passwords for uploads: Titan's ``token``.

They are kept and compared as digests, all of them each time, so that the time it takes tells nothing about
how much of a guess was right, or how long it should be.
"""

from collections.abc import Iterable
from pathlib import Path

from .reread import Reread

MIN_LENGTH = 8  # characters; shorter ones can be guessed over the network


class Tokens:
    """The right ones.

    ``files``: with one on each line; blank lines and those that begin with a ``#`` are skipped. They are
    read again when they change.
    """

    def __init__(self, tokens: Iterable[str] = (), files: Iterable[Path] = ()) -> None:
        self._digests = frozenset(map(_digest, tokens))
        self._files = [Reread(path, _parse) for path in files]

    def __bool__(self) -> bool:
        """Whether there are any, or might be."""
        return bool(self._digests or self._files)

    def has(self, token: str) -> bool:
        """Whether this one is right. One in a file that cannot be read is not."""
        from hmac import compare_digest  # see _digest()

        digest = _digest(token)
        known = [*self._digests, *(each for file in self._files for each in file.get() or ())]
        matches = [compare_digest(digest, each) for each in known]  # each of them, whichever is right
        return any(matches)


def _digest(token: str) -> bytes:
    from hashlib import sha256  # brings all of OpenSSL along: 4 MB, which the supervisor need not have

    return sha256(token.encode()).digest()


def _parse(data: bytes) -> tuple[frozenset[bytes], list[str]]:
    found: set[bytes] = set()
    problems: list[str] = []
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        try:
            token = line.decode().strip()
        except UnicodeDecodeError:
            problems.append(f"line {number} is no token: it is not UTF-8")
            continue
        if not token or token.startswith("#"):
            continue
        if len(token) < MIN_LENGTH:
            problems.append(f"line {number} is no token: it has less than {MIN_LENGTH} characters")
            continue
        found.add(_digest(token))
    return frozenset(found), problems
